"""Outside studies and what was decided about them."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.consent import Basis
from policies.models import Intent
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
    mapping = models.ForeignKey("Mapping", models.PROTECT, null=True, related_name="+")
    consent = models.ForeignKey("Consent", models.PROTECT, null=True, related_name="+")
    retention = models.ForeignKey("policies.RetentionRule", models.PROTECT, null=True, related_name="studies")
    retention_reason = models.TextField(blank=True)
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
        return f"{what} study of {self.study_date or 'unknown date'} from {self.source}"


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


class Proposal(models.Model):
    """A candidate for a study, with its score and its evidence field by field. Nothing is chosen by it."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="proposals")
    rank = models.PositiveSmallIntegerField()
    patient = models.ForeignKey("orders.Patient", models.CASCADE)
    order = models.ForeignKey("orders.Order", models.CASCADE, null=True)
    score = models.FloatField()
    klass = models.CharField(max_length=12)
    margin = models.FloatField()
    runner_up = models.CharField(max_length=200, blank=True)
    ambiguous = models.BooleanField(default=False)
    evidence = models.JSONField(default=list)

    class Meta:
        ordering = ["rank"]
        constraints = [models.UniqueConstraint(name="a_rank_is_held_once", fields=["study", "rank"])]

    def __str__(self):
        return f"{self.rank}. {self.score:.0%} {self.klass}"


class StudyKey(models.Model):
    """What a study asked for when its candidates were looked for, and whom it found: a change there touches it."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="keys")
    key = models.CharField(max_length=80)

    class Meta:
        constraints = [models.UniqueConstraint(name="a_key_touches_a_study_once", fields=["key", "study"])]

    def __str__(self):
        return self.key


class Lookout(models.Model):
    """Up to when the changes of patients and orders were looked through for studies that they touch: one row."""

    through = models.DateTimeField()

    def __str__(self):
        return f"{self.through:%Y-%m-%d %H:%M:%S}"


class Mapping(models.Model):
    """The decision: study, patient, order, intent, and the exact list of attribute changes that follows."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.PROTECT, related_name="mappings")
    patient = models.ForeignKey("orders.Patient", models.PROTECT)
    order = models.ForeignKey("orders.Order", models.PROTECT, null=True)
    intent = models.CharField(max_length=16, choices=Intent)
    local = models.JSONField(help_text=_("What patient and order said when this was decided."))
    klass = models.CharField(max_length=12, help_text=_("How well the choice fits what was received."))
    evidence = models.JSONField(default=list)
    changes = models.JSONField()
    uids = models.JSONField(default=dict, help_text=_("New UIDs by old ones, and objects that stay here."))
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    by_policy = models.CharField(
        max_length=250, blank=True, help_text=_("The policy that chose, and who approved it. Empty: a person chose.")
    )
    made_at = models.DateTimeField()
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-made_at"]

    def __str__(self):
        return f"{self.study} to {self.order or 'no order'}"


class Finding(models.Model):
    """Something that the quality policy found."""

    class Severity(models.TextChoices):
        BLOCK = "block", _("Blocks")
        OVERRIDE = "override", _("May go on with a reason")
        WARN = "warn", _("Note")

    study = models.ForeignKey(Study, models.CASCADE, related_name="findings")
    code = models.CharField(max_length=48)
    severity = models.CharField(max_length=8, choices=Severity)
    sentence = models.TextField()
    found_at = models.DateTimeField(auto_now_add=True)
    overridden_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    overridden_at = models.DateTimeField(null=True)
    override_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(name="a_finding_is_made_once", fields=["study", "code"]),
            models.CheckConstraint(
                name="an_override_has_who_when_and_why",
                condition=Q(overridden_by__isnull=True, overridden_at__isnull=True, override_reason="")
                | Q(
                    overridden_by__isnull=False,
                    overridden_at__isnull=False,
                    override_reason__gt="",
                    severity__in=["block", "override"],
                ),
            ),
        ]

    def __str__(self):
        return self.sentence

    @property
    def is_open(self) -> bool:
        """Whether it still stands in the way of clearance. What blocks is not overridden, but may be settled."""
        return self.severity != self.Severity.WARN and self.overridden_by_id is None


class Consent(models.Model):
    """On what basis the images may be kept and used, by whom it was given and recorded, and the evidence."""

    study = models.ForeignKey(Study, models.PROTECT, related_name="consents")
    basis = models.CharField(max_length=16, choices=Basis)
    given_by = models.CharField(max_length=200, blank=True)
    scope = models.JSONField(default=list)
    evidence = models.TextField()
    until = models.DateField(null=True)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    def __str__(self):
        return self.get_basis_display()


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
    instance = models.ForeignKey(Instance, models.PROTECT, related_name="+")
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
