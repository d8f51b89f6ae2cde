"""What the rules said about a study when it was decided: kept, so that it can be worked out again."""

from django.db import models

from reconciliation.models.studies import Study


class Decided(models.Model):
    """One decision of the rules: the facts that it was made from, and what came of it."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="decided")
    topic = models.CharField(max_length=16)
    at = models.DateTimeField()
    facts = models.JSONField()
    key = models.CharField(max_length=250, blank=True)
    words = models.TextField(blank=True)

    class Meta:
        ordering = ["at", "id"]
        verbose_name_plural = "decided"

    def __str__(self):
        return f"{self.topic}: {self.words}"
