"""Letters to senders about studies that were kept out."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from reconciliation.models.studies import Study


class Letter(models.Model):
    """What a sender is told about a rejected study, as it was written; it is never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.PROTECT, related_name="letters")
    text = models.TextField(help_text=_("Plain text, to be printed or copied."))
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["-made_at"]

    def __str__(self):
        return f"Letter of {self.made_at:%Y-%m-%d} about {self.study}"
