"""Deeds that need two: what one person asked for, and what a second, different person said to it."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from reconciliation.models.studies import Study


class Approval(models.Model):
    """One deed on one study as it was then: it waits only while the study has the same version."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits for a second person")
        APPROVED = "approved", _("Approved")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn by who asked")
        VOID = "void", _("Void: the study changed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    verb = models.CharField(max_length=16)  # the power that both must hold
    study = models.ForeignKey(Study, models.CASCADE, related_name="approvals")
    version = models.PositiveIntegerField(help_text=_("The study's when it was asked for."))
    what = models.JSONField(default=dict, help_text=_('What exactly was asked for: {"destinations": [key, ...]}.'))
    state = models.CharField(max_length=12, choices=State, default=State.WAITING)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(
                name="one_deed_of_a_kind_waits", fields=["study", "verb"], condition=Q(state="waiting")
            ),
            models.CheckConstraint(
                name="nobody_is_their_own_second_person",
                condition=~Q(state__in=["approved", "declined"]) | ~Q(decided_by=F("asked_by")),
            ),
            models.CheckConstraint(
                name="a_second_decision_says_who_and_when",
                condition=~Q(state__in=["approved", "declined"])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
            ),
        ]

    def __str__(self):
        return f"{self.verb}: {self.study}"
