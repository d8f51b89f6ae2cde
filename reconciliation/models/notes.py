"""What an archive is told of a study that it got: a rejection note, sent or told by hand."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from reconciliation.models.deliveries import Delivery
from reconciliation.models.studies import UID


class RejectionNote(models.Model):
    """One destination that is told one thing of what was delivered. The row is the queue: due_at, attempts and lease
    are its own. It says everything itself: the study it speaks of may be deleted here."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting to be told")
        TELLING = "telling", _("Being told")
        TOLD = "told", _("Told")
        REFUSED = "refused", _("Refused: a person must act")
        BY_HAND = "by hand", _("Must be told by hand")
        TOLD_BY_HAND = "told by hand", _("Told by hand")

    OPEN = (State.WAITING, State.REFUSED, State.BY_HAND)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="rejection_notes")
    title = models.CharField(max_length=16, help_text=_("Code Value of its title, of DCM: 113039 is retention."))
    study_instance_uid = models.CharField(max_length=UID, help_text=_("As the destination has it, like all below."))
    header = models.JSONField(help_text=_("Values by DICOM keyword."))
    references = models.JSONField(help_text=_("Series, SOP Class and SOP Instance UID, and rows of each object."))
    said = models.TextField()
    made_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=State)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)
    told_at = models.DateTimeField(null=True)
    told_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    told_how = models.TextField(blank=True, help_text=_("Whom a person told, and how."))

    class Meta:
        ordering = ["made_at", "id"]
        constraints = [
            models.UniqueConstraint(name="a_delivery_is_told_a_thing_once", fields=["delivery", "title"]),
            models.CheckConstraint(
                name="told_means_when", condition=~Q(state__in=["told", "told by hand"]) | Q(told_at__isnull=False)
            ),
            models.CheckConstraint(
                name="told_by_hand_means_who_and_how",
                condition=~Q(state="told by hand") | Q(told_by__isnull=False, told_how__gt=""),
            ),
        ]
        indexes = [models.Index(fields=["state", "due_at"], name="notes_by_their_turn")]

    def __str__(self):
        return f"{self.delivery.destination}: {self.get_state_display()}"

    @property
    def is_open(self) -> bool:
        """Whether a person may act on it: it is neither told nor on its way this moment."""
        return self.state in self.OPEN
