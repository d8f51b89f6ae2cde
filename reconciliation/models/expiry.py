"""The end of a study's keeping: what must never be deleted, who approved what, and the proof that is left."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from reconciliation.models.studies import UID, Study


class LegalHold(models.Model):
    """While it lasts nothing of this study, or of this patient, is deleted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.PROTECT, null=True, blank=True, related_name="holds")
    patient = models.ForeignKey("orders.Patient", models.PROTECT, null=True, blank=True, related_name="holds")
    reason = models.TextField()
    placed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    placed_at = models.DateTimeField()
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    lifted_at = models.DateTimeField(null=True)
    lifted_why = models.TextField(blank=True)

    class Meta:
        ordering = ["-placed_at"]
        constraints = [
            models.CheckConstraint(
                name="a_hold_is_on_a_study_or_a_patient",
                condition=Q(study__isnull=False, patient__isnull=True) | Q(study__isnull=True, patient__isnull=False),
            ),
            models.CheckConstraint(name="a_hold_has_a_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="lifted_means_who_when_and_why",
                condition=Q(lifted_by__isnull=True, lifted_at__isnull=True, lifted_why="")
                | Q(lifted_by__isnull=False, lifted_at__isnull=False, lifted_why__gt=""),
            ),
        ]

    def __str__(self):
        return f"legal hold: {self.reason}"


class Deletion(models.Model):
    """The decision that one study is deleted: approved by a person, dated, and open to be taken back for a while."""

    class State(models.TextChoices):
        APPROVED = "approved", _("Approved, may be taken back")
        DELETING = "deleting", _("Being deleted")
        DONE = "done", _("Deleted")
        TAKEN_BACK = "taken back", _("Taken back")
        STOPPED = "stopped", _("Stopped: something stood against it")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.PROTECT, related_name="deletions")
    patient = models.ForeignKey("orders.Patient", models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=12, choices=State, default=State.APPROVED)
    rule = models.JSONField(help_text=_("The retention rule as it was when this was approved."))
    due_on = models.DateField()
    arithmetic = models.TextField(help_text=_("How that day was worked out."))
    reason = models.TextField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    approved_at = models.DateTimeField()
    wants_second = models.BooleanField(default=False, help_text=_("Policy wants a second person to agree."))
    seconded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    seconded_at = models.DateTimeField(null=True)
    not_before = models.DateTimeField(help_text=_("The end of the grace time."))
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=200, blank=True)
    ended_why = models.TextField(blank=True)

    class Meta:
        ordering = ["-approved_at"]
        constraints = [
            models.UniqueConstraint(
                name="a_study_is_deleted_by_one_decision",
                fields=["study"],
                condition=Q(state__in=["approved", "deleting", "done"]),
            ),
            models.CheckConstraint(name="an_approval_has_a_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="deleting_has_begun", condition=~Q(state__in=["deleting", "done"]) | Q(begun_at__isnull=False)
            ),
            models.CheckConstraint(
                name="a_deletion_is_agreed_to_by_another_person",
                condition=Q(seconded_by__isnull=True, seconded_at__isnull=True)
                | Q(seconded_by__isnull=False, seconded_at__isnull=False) & ~Q(seconded_by=F("approved_by")),
            ),
            models.CheckConstraint(
                name="nothing_is_deleted_by_one_where_two_are_wanted",
                condition=Q(wants_second=False) | ~Q(state__in=["deleting", "done"]) | Q(seconded_by__isnull=False),
            ),
            models.CheckConstraint(
                name="what_is_over_has_ended",
                condition=Q(state__in=["approved", "deleting"], ended_at__isnull=True)
                | Q(state__in=["done", "taken back", "stopped"], ended_at__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["state", "not_before"], name="deletions_by_their_day")]

    def __str__(self):
        return f"deletion of {self.study}"

    @property
    def waits(self) -> bool:
        """Whether a second person has not agreed yet."""
        return self.state == self.State.APPROVED and self.wants_second and self.seconded_by_id is None


class DeletionProof(models.Model):
    """What is left of the rows of a deleted study: what it was, object by object, and on whose word it went."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deletion = models.OneToOneField(Deletion, models.PROTECT, related_name="proof")
    study = models.ForeignKey(Study, models.PROTECT, related_name="proofs")
    study_instance_uid = models.CharField(max_length=UID)
    objects_deleted = models.JSONField(
        help_text=_("Series, SOP Instance UID, SOP Class UID, SHA-256 and size of each object.")
    )
    number_of_series = models.PositiveIntegerField()
    number_of_instances = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64, help_text=_("SHA-256 over the objects as listed: the ledger names it."))
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["-made_at"]

    def __str__(self):
        return f"{self.number_of_instances} objects of {self.study}"
