"""What is proposed, found and decided about a study."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.models import Intent
from reconciliation.models.studies import Study


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
    rule = models.CharField(
        max_length=48, blank=True, help_text=_("The rule of record quality that found it. Empty: no such rule did.")
    )
    severity = models.CharField(max_length=8, choices=Severity)
    sentence = models.TextField()
    found_at = models.DateTimeField(auto_now_add=True)
    overridden_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    overridden_at = models.DateTimeField(null=True)
    override_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["found_at"], name="findings_by_day")]
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
