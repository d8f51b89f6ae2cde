"""A released study on its way to its destinations, and what each of them said."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from reconciliation.models.decisions import Mapping
from reconciliation.models.studies import UID, Instance, Study


class Delivery(models.Model):
    """One study on its way to one destination. The row is the queue: due_at, attempts and lease are its own."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting to be sent")
        SENDING = "sending", _("Being sent")
        SENT = "sent", _("Sent, proof awaited")
        DELIVERED = "delivered", _("Delivered")
        REFUSED = "refused", _("Refused: a person must act")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.PROTECT, related_name="deliveries")
    destination = models.ForeignKey("policies.Destination", models.PROTECT, related_name="deliveries")
    mapping = models.ForeignKey(Mapping, models.PROTECT, related_name="deliveries")
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True, help_text=_("When the destination had accepted every object, last."))
    looks = models.PositiveIntegerField(default=0, help_text=_("How often its proof was looked for."))
    misses = models.PositiveSmallIntegerField(default=0, help_text=_("Counts in a row that missed objects."))
    rounds = models.PositiveSmallIntegerField(default=0, help_text=_("How often lost objects were sent again."))
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(name="a_mapping_goes_to_a_place_once", fields=["mapping", "destination"]),
            models.CheckConstraint(
                name="delivered_means_when", condition=~Q(state="delivered") | Q(delivered_at__isnull=False)
            ),
            models.CheckConstraint(name="sent_means_when", condition=~Q(state="sent") | Q(sent_at__isnull=False)),
        ]
        indexes = [models.Index(fields=["state", "due_at"])]

    def __str__(self):
        return f"{self.study} to {self.destination}"

    @property
    def number_of_instances(self) -> int:
        """Of the objects that go out: all of the study but those that its mapping leaves here."""
        return self.study.number_of_instances - len(self.mapping.uids.get("left_out", []))


class DeliveredInstance(models.Model):
    """What a destination said to one object: accepted, committed, found again; or why not."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="instances")
    instance = models.ForeignKey(
        Instance, models.PROTECT, null=True, related_name="+", help_text=_("Empty once its study was deleted here.")
    )
    sop_instance_uid = models.CharField(max_length=UID, help_text=_("Under which the destination has it."))
    status = models.PositiveIntegerField(
        null=True, help_text=_("C-STORE status, or the reason given by STOW-RS; empty when no answer came.")
    )
    accepted = models.BooleanField(default=False)
    sentence = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=1)
    at = models.DateTimeField()
    committed_at = models.DateTimeField(null=True, help_text=_("When it reported that it keeps this object."))
    failure = models.PositiveIntegerField(null=True, help_text=_("Failure Reason (0008,1197) of its last report."))
    counted_at = models.DateTimeField(null=True, help_text=_("When this object was found there by a query."))

    class Meta:
        constraints = [
            models.UniqueConstraint(name="an_object_is_told_once", fields=["delivery", "instance"]),
            models.CheckConstraint(
                name="a_failure_is_no_commitment", condition=Q(failure__isnull=True) | Q(committed_at__isnull=True)
            ),
            models.CheckConstraint(
                name="only_what_was_accepted_is_proven",
                condition=Q(accepted=True) | Q(committed_at__isnull=True, counted_at__isnull=True),
            ),
        ]

    def __str__(self):
        return self.sentence or "accepted"


class Commitment(models.Model):
    """One request for storage commitment, known to the destination by its Transaction UID (PS3.4 J.3)."""

    transaction_uid = models.CharField(max_length=64, unique=True)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="commitments")
    objects_asked = models.PositiveIntegerField()
    asked_at = models.DateTimeField()
    taken = models.BooleanField(default=False, help_text=_("The destination answered that it will report."))
    answered_at = models.DateTimeField(null=True)
    committed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-asked_at"]

    def __str__(self):
        return self.transaction_uid
