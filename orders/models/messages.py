"""HL7 messages that came in, as they came; notices that go out; and how a site's feed is to be read."""

import uuid
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from orders.hl7 import charsets
from orders.models.orders import Order
from orders.models.systems import OrderSystem
from policies.models import Organisation

a_field = RegexValidator(
    r"^([A-Z][A-Z0-9]{2}-[1-9][0-9]?(\.[1-9][0-9]?){0,2})(,[A-Z][A-Z0-9]{2}-[1-9][0-9]?(\.[1-9][0-9]?){0,2})*$",
    _("Name fields like OBR-18 or OBR-27.4; several, separated by commas: the first one that is filled counts."),
)


class Feed(models.Model):
    """How one sender's messages are read: what the standard leaves to the site."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("As staff call it: the RIS, the EMR."))
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="feeds",
        help_text=_("Whose patients and orders these are: the facility that MSH-4 names."),
    )
    sending_application = models.CharField(max_length=180, blank=True, help_text=_("MSH-3.1. Empty: any."))
    sending_facility = models.CharField(max_length=180, blank=True, help_text=_("MSH-4.1. Empty: any."))
    character_set = models.CharField(
        max_length=32, blank=True, help_text=_("What its text really is, whatever MSH-18 says: 8859/1, UNICODE UTF-8.")
    )
    time_zone = models.CharField(max_length=64, blank=True, help_text=_("Of times without an offset. Empty: ours."))
    issuer = models.CharField(
        max_length=64, blank=True, help_text=_("Who issued an identifier in PID-3 that does not say who issued it.")
    )
    anchor = models.CharField(
        _("domain that names patients"),
        max_length=64,
        blank=True,
        help_text=_("The repetition of PID-3 that counts, by its issuer. Empty: the first of a domain of ours."),
    )
    accession_number = models.CharField(max_length=64, default="IPC-1.1,OBR-18", validators=[a_field])
    requested_procedure_id = models.CharField(max_length=64, default="IPC-2.1,OBR-19", validators=[a_field])
    scheduled_procedure_step_id = models.CharField(max_length=64, default="IPC-4.1,OBR-20", validators=[a_field])
    study_instance_uid = models.CharField(max_length=64, default="IPC-3.1,ZDS-1.1", validators=[a_field])
    modality = models.CharField(max_length=64, default="IPC-5.1,OBR-24", validators=[a_field])
    scheduled_at = models.CharField(max_length=64, default="TQ1-7,OBR-27.4,ORC-7.4", validators=[a_field])
    admission_id = models.CharField(max_length=64, default="PV1-19.1,PID-18.1", validators=[a_field])
    active = models.BooleanField(default=True, help_text=_("Messages of an inactive feed are refused (AR)."))

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(name="a_sender_has_one_feed", fields=["sending_application", "sending_facility"])
        ]

    def __str__(self):
        return self.name

    def clean(self):
        if self.time_zone and self.time_zone not in available_timezones():
            raise ValidationError({"time_zone": _("There is no such time zone. Write it like Europe/Berlin.")})
        if self.character_set and not charsets.known(self.character_set):
            sentence = _("HL7 knows no such character set. Write it like 8859/1 or UNICODE UTF-8.")
            raise ValidationError({"character_set": sentence})


class Message(models.Model):
    """One HL7 message as it came, what was answered, and what it changed."""

    class Outcome(models.TextChoices):
        APPLIED = "applied", _("Applied")
        IGNORED = "ignored", _("Accepted; says nothing that we keep")
        REPEATED = "repeated", _("Came again; ignored")
        REFUSED = "refused", _("Refused")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    received_at = models.DateTimeField()
    peer = models.CharField(max_length=64, blank=True, help_text=_("The address that it came from."))
    feed = models.ForeignKey(Feed, models.SET_NULL, null=True, related_name="messages")
    sending_application = models.CharField(max_length=180, blank=True)
    sending_facility = models.CharField(max_length=180, blank=True)
    control_id = models.CharField(max_length=199, blank=True)
    type = models.CharField(max_length=16, blank=True, help_text=_("MSH-9.1"))
    trigger = models.CharField(max_length=16, blank=True, help_text=_("MSH-9.2"))
    version = models.CharField(max_length=16, blank=True)
    said_at = models.DateTimeField(null=True, help_text=_("MSH-7, or EVN-2 where that is there."))
    raw = models.BinaryField(help_text=_("Every byte between the frame's marks."))
    digest = models.CharField(max_length=64, editable=False, help_text=_("SHA-256 of these bytes."))
    search_key = models.CharField(max_length=500, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome)
    answer = models.CharField(max_length=2, help_text=_("MSA-1"))
    problem = models.TextField(blank=True)
    changed = models.JSONField(default=list, help_text=_("What it changed, in words."))

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                name="a_message_is_accepted_once",
                fields=["sending_application", "sending_facility", "control_id", "digest"],
                condition=Q(outcome__in=["applied", "ignored"]),
            )
        ]
        indexes = [
            models.Index(fields=["-received_at", "-id"]),
            models.Index(
                fields=["sending_application", "sending_facility", "control_id"], name="message_by_control_id"
            ),
        ]

    def __str__(self):
        return f"{self.type}^{self.trigger} {self.control_id}".strip()


class Notice(models.Model):
    """One HL7 message on its way out. The row is the queue: due_at, attempts and lease are its own."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting to be sent")
        SENDING = "sending", _("Being sent")
        ACCEPTED = "accepted", _("Accepted; its answer is awaited")
        ANSWERED = "answered", _("Answered")
        REFUSED = "refused", _("Refused: a person must act")
        WITHDRAWN = "withdrawn", _("Withdrawn: the order was cancelled")

    class Kind(models.TextChoices):
        NEW = "new", _("new order (NW)")
        NUMBER = "number", _("order number (SN)")
        CANCEL = "cancel", _("cancellation (CA, OC)")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="notices")
    system = models.ForeignKey(OrderSystem, models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=12, choices=Kind)
    control_id = models.CharField(max_length=20, unique=True, help_text=_("MSH-10, the same at every repetition."))
    raw = models.BinaryField()
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True, help_text=_("What the other system said, or why it was not reached."))
    unwritable = models.CharField(
        max_length=200, blank=True, help_text=_("Letters that the system's character set does not have; sent as '?'.")
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["state", "due_at"])]

    def __str__(self):
        return f"{self.get_kind_display()} to {self.system}"
