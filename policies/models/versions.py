"""The rules are records too: what each one said at any time, and drafts of what it will say."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class PolicyVersion(models.Model):
    """What a rule said from one moment on. Written once: triggers in the migration refuse to change or delete it."""

    kind = models.CharField(max_length=64, help_text=_("The model, like policies.source."))
    key = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=250, help_text=_("As it was called then."))
    columns = models.JSONField(null=True, help_text=_("Empty: the rule was deleted."))
    made_by = models.ForeignKey(
        "policies.User", models.PROTECT, null=True, related_name="+", help_text=_("Empty: the portal itself.")
    )
    made_at = models.DateTimeField()
    why = models.TextField(blank=True)
    effective_from = models.DateTimeField(db_index=True)
    approved_by = models.ForeignKey("policies.User", models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(name="a_version_is_numbered_once", fields=["kind", "key", "number"]),
            models.CheckConstraint(
                name="nobody_approves_their_own_version",
                condition=Q(approved_by__isnull=True) | Q(made_by__isnull=True) | ~Q(approved_by=models.F("made_by")),
            ),
        ]

    def __str__(self):
        return f"{self.title}, version {self.number}"


class PolicyDraft(models.Model):
    """What a rule will say, once it is submitted, approved where that is asked for, and its day has come."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SUBMITTED = "submitted", _("Waits for approval")
        APPROVED = "approved", _("Waits for its day")
        IN_FORCE = "in force", _("In force")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=64)
    key = models.CharField(max_length=64, help_text=_("Of the rule, also of one that does not exist yet."))
    title = models.CharField(max_length=250)
    columns = models.JSONField(null=True, help_text=_("Empty: the rule is to be deleted."))
    based_on = models.PositiveIntegerField(default=0, help_text=_("The version it was written from. 0: a new rule."))
    made_by = models.ForeignKey("policies.User", models.PROTECT, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)
    why = models.TextField()
    effective_from = models.DateTimeField(null=True, blank=True, help_text=_("Empty: at once."))
    needs_approval = models.BooleanField(default=False)
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    approved_by = models.ForeignKey("policies.User", models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True, help_text=_("Why it could not come into force."))

    class Meta:
        ordering = ["-made_at"]
        constraints = [
            models.CheckConstraint(
                name="nobody_approves_their_own_draft",
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=models.F("made_by")),
            ),
            models.CheckConstraint(
                name="what_needs_approval_has_it",
                condition=~Q(state__in=["approved", "in force"], needs_approval=True)
                | Q(approved_by__isnull=False, approved_at__isnull=False),
            ),
        ]

    def __str__(self):
        return self.title
