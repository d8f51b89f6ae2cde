"""Outside studies as they came, and where each one stands."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.models import Category, Intent
from policies.rules.values import as_date
from reconciliation.dicom.arrival import Door

UID = 128  # PS3.5 9.1 allows 64 characters; what comes is sometimes longer, and is kept as it is


class Submission(models.Model):
    """What one sender handed over at one time: an association, a disc, a folder."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)  # the name of its spool folder
    door = models.CharField(max_length=8, choices=[(door.value, door.value) for door in Door])
    source = models.ForeignKey("policies.Source", models.PROTECT, related_name="submissions")
    calling_title = models.CharField(max_length=16, blank=True)
    address = models.CharField(max_length=64, blank=True)
    user = models.CharField(max_length=150, blank=True, help_text=_("Who read the disc or sent the upload."))
    note = models.TextField(blank=True)
    label = models.CharField(max_length=200, blank=True, help_text=_("What is written on the disc."))
    received_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, help_text=_("When the door was done and everything was indexed."))

    class Meta:
        ordering = ["-received_at", "-id"]
        indexes = [models.Index(fields=["-received_at", "-id"])]

    def __str__(self):
        return f"{self.source} ({self.door})"


class Study(models.Model):
    """An outside imaging study, from its first object to its last commitment.

    One row is one (Study Instance UID, part): part 0 is the first; a supplement, or objects of the same UID with
    another patient's identity, are the next.
    """

    class State(models.TextChoices):
        RECEIVING = "receiving", _("Receiving")
        HELD = "held", _("Held")
        MAPPED = "mapped", _("Mapped")
        CLEARED = "cleared", _("Cleared")
        RELEASED = "released", _("Released")
        DELIVERED = "delivered", _("Delivered")
        REJECTED = "rejected", _("Rejected")
        EXPIRED = "expired", _("Expired")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study_instance_uid = models.CharField(max_length=UID)
    part = models.PositiveIntegerField(default=0)
    follows = models.ForeignKey("self", models.PROTECT, null=True, related_name="followed_by")
    state = models.CharField(max_length=12, choices=State, default=State.RECEIVING)
    version = models.PositiveIntegerField(
        default=1, help_text=_("Goes up with every change; a commit names the one it saw.")
    )
    source = models.ForeignKey("policies.Source", models.PROTECT, related_name="studies")
    submission = models.ForeignKey(Submission, models.PROTECT, related_name="studies")

    # As received, decoded; DICOM keywords in snake case.
    patient_name = models.CharField(max_length=324, blank=True)
    patient_id = models.CharField(max_length=64, blank=True)
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    patient_birth_date = models.CharField(max_length=8, blank=True)
    patient_sex = models.CharField(max_length=16, blank=True)
    accession_number = models.CharField(max_length=64, blank=True)
    study_date = models.CharField(max_length=8, blank=True)
    study_time = models.CharField(max_length=16, blank=True)
    study_description = models.CharField(max_length=64, blank=True)
    study_id = models.CharField(max_length=16, blank=True)
    referring_physician_name = models.CharField(max_length=324, blank=True)
    institution_name = models.CharField(max_length=64, blank=True)
    modalities = models.JSONField(default=list)
    body_parts = models.JSONField(default=list)
    deidentified = models.BooleanField(
        default=False, help_text=_("(0012,0062) is YES, or (0028,0303) says that dates were changed.")
    )
    burned_in = models.BooleanField(default=False, help_text=_("(0028,0301) Burned In Annotation is YES."))
    signed = models.BooleanField(default=False, help_text=_("An object carries digital signatures."))
    segregated = models.BooleanField(default=False, help_text=_("A rule of record quality keeps it apart."))
    search_key = models.CharField(max_length=500, blank=True)

    number_of_series = models.PositiveIntegerField(default=0)
    number_of_instances = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    received_at = models.DateTimeField()
    last_arrival_at = models.DateTimeField()
    queued_at = models.DateTimeField(help_text=_("Its place in the queue: when it came, or got a new candidate."))
    proposed_at = models.DateTimeField(null=True)
    proposed_with = models.CharField(
        max_length=16, blank=True, help_text=_("Digest of the domains and weights that its proposals were made with.")
    )
    touched_at = models.DateTimeField(null=True, help_text=_("When a change was seen that its proposals may not know."))
    new_candidate_at = models.DateTimeField(null=True, help_text=_("Since when a candidate waits that nobody saw."))
    judged_at = models.DateTimeField(null=True, help_text=_("When the policy of its source was asked to match it."))
    for_a_person = models.BooleanField(
        default=False, help_text=_("A person undid a decision about it: it is never matched without one again.")
    )
    best_score = models.FloatField(null=True)
    best_class = models.CharField(max_length=12, blank=True)
    contenders = models.PositiveSmallIntegerField(default=0, help_text=_("Patients whom no rule can tell apart."))

    lease_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="leases")
    lease_since = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)

    local_patient = models.ForeignKey("orders.Patient", models.PROTECT, null=True, related_name="studies")
    order = models.ForeignKey("orders.Order", models.PROTECT, null=True, related_name="studies")
    intent = models.CharField(max_length=16, choices=Intent, blank=True)
    category = models.CharField(max_length=16, choices=Category, default=Category.INCORPORATED)
    mapping = models.ForeignKey("Mapping", models.PROTECT, null=True, related_name="+")
    consent = models.ForeignKey("Consent", models.PROTECT, null=True, related_name="+")
    retention = models.ForeignKey("policies.RetentionRule", models.PROTECT, null=True, related_name="studies")
    retention_reason = models.TextField(blank=True)
    retention_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text=_("Who chose another rule than policy proposed."),
    )
    retention_terms = models.JSONField(
        default=dict, help_text=_("The rule as it was when the study was cleared by it; empty: the rules of today.")
    )
    last_viewed_at = models.DateTimeField(null=True)
    last_reported_at = models.DateTimeField(null=True)
    due_on = models.DateField(null=True, db_index=True, help_text=_("When retention is over, as last worked out."))
    due_with = models.CharField(
        max_length=16, blank=True, help_text=_("Digest of the rules that day was worked out with. Empty: work it out.")
    )
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    released_at = models.DateTimeField(null=True)
    rejected_for = models.ForeignKey("policies.Reason", models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-received_at", "-id"]
        verbose_name_plural = "studies"
        constraints = [
            models.UniqueConstraint(name="a_part_of_a_study_is_one_row", fields=["study_instance_uid", "part"]),
            models.CheckConstraint(
                name="mapped_means_patient_intent_and_mapping",
                condition=~Q(state__in=["mapped", "cleared", "released", "delivered"])
                | Q(local_patient__isnull=False, mapping__isnull=False, intent__gt=""),
            ),
            models.CheckConstraint(
                name="cleared_means_consent_and_retention",
                condition=~Q(state__in=["cleared", "released", "delivered"])
                | Q(consent__isnull=False, retention__isnull=False),
            ),
            models.CheckConstraint(
                name="released_means_who_and_when",
                condition=~Q(state__in=["released", "delivered"])
                | Q(released_by__isnull=False, released_at__isnull=False),
            ),
            models.CheckConstraint(
                name="rejected_means_a_reason", condition=~Q(state="rejected") | Q(rejected_for__isnull=False)
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-queued_at", "-id"], name="queue_by_state"),
            models.Index(fields=["source", "-queued_at", "-id"], name="queue_by_source"),
            models.Index(fields=["-queued_at", "-id"], name="queue_newest_first"),
            models.Index(fields=["patient_id"]),
            models.Index(fields=["accession_number"]),
        ]

    def __str__(self):
        what = "/".join(self.modalities) or "A"
        return f"{what} study of {as_date(self.study_date) or self.study_date or 'unknown date'} from {self.source}"

    def audited(self) -> dict:
        """Which study and patient a line of the ledger is about, as they came."""
        return {
            "study": str(self.pk),
            "uid": self.study_instance_uid,
            "accession_number": self.accession_number,
            "instances": self.number_of_instances,
            "patient_id": self.patient_id,
            "patient_name": self.patient_name,
            "source": str(self.source),
        }


class Series(models.Model):
    study = models.ForeignKey(Study, models.CASCADE, related_name="series")
    series_instance_uid = models.CharField(max_length=UID)
    modality = models.CharField(max_length=16, blank=True)
    series_number = models.CharField(max_length=12, blank=True)
    series_description = models.CharField(max_length=64, blank=True)
    body_part_examined = models.CharField(max_length=16, blank=True)
    number_of_instances = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "series"
        constraints = [models.UniqueConstraint(name="a_series_is_one_row", fields=["study", "series_instance_uid"])]

    def __str__(self):
        return f"{self.modality} {self.series_number} {self.series_description}".strip()


class Instance(models.Model):
    """One object. Its bytes lie in the vault under `digest` and never change."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    series = models.ForeignKey(Series, models.CASCADE, related_name="instances")
    submission = models.ForeignKey(Submission, models.PROTECT, related_name="instances")
    sop_instance_uid = models.CharField(max_length=UID, db_index=True)
    sop_class_uid = models.CharField(max_length=UID)
    transfer_syntax_uid = models.CharField(max_length=UID)
    instance_number = models.CharField(max_length=12, blank=True)
    frames = models.PositiveIntegerField(default=1)
    rows = models.PositiveIntegerField(default=0)
    columns = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64, db_index=True, help_text=_("SHA-256 of the file: its name in the vault."))
    content_digest = models.CharField(max_length=64, help_text=_("SHA-256 of the data set without its file meta."))
    nth = models.PositiveSmallIntegerField(
        default=1, help_text=_("Which content under its SOP Instance UID this is, in the order of arrival.")
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="the_same_content_is_kept_once",
                fields=["series", "sop_instance_uid", "content_digest", "transfer_syntax_uid"],
            )
        ]

    def __str__(self):
        return self.sop_instance_uid


class Unreadable(models.Model):
    """An arrival that could not be read: kept in the vault, listed, and explained."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    submission = models.ForeignKey(Submission, models.PROTECT, related_name="unreadable")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=255, blank=True)
    reason = models.TextField()
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(name="an_arrival_is_listed_once", fields=["submission", "number"])]

    def __str__(self):
        return self.reason
