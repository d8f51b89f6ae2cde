"""Studies that somebody opened in an emergency without being entitled to: for a time, with an alarm, and reviewed."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from reconciliation.models.studies import Study


class EmergencyAccess(models.Model):
    """One person, one study, until a time of the database's clock."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.CASCADE, related_name="emergencies")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="emergencies")
    reason = models.TextField()
    opened_at = models.DateTimeField()
    until = models.DateTimeField()
    told_at = models.DateTimeField(null=True, help_text=_("When the alarm had been sent."))
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    reviewed_at = models.DateTimeField(null=True)
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ["-opened_at", "-id"]
        verbose_name = _("emergency access")
        verbose_name_plural = _("emergency accesses")
        constraints = [
            models.CheckConstraint(name="an_emergency_has_a_reason", condition=Q(reason__gt="")),
            models.CheckConstraint(
                name="a_review_says_who_when_and_what",
                condition=Q(reviewed_by=None, reviewed_at=None)
                | Q(reviewed_by__isnull=False, reviewed_at__isnull=False, comment__gt=""),
            ),
            models.CheckConstraint(
                name="nobody_reviews_their_own_emergency", condition=Q(reviewed_by=None) | ~Q(reviewed_by=F("by"))
            ),
        ]
        indexes = [
            models.Index(fields=["by", "until"], name="emergencies_of_a_person"),
            models.Index(fields=["-opened_at", "-id"], name="emergencies_newest_first"),
        ]

    def __str__(self):
        return f"{self.by}: {self.study}"
