"""The ledger of what was done."""

from django.db import models


class LedgerLine(models.Model):
    """One deed. Holds labels and keys, never foreign keys: the ledger outlives what it speaks of.

    Lines cannot be changed or deleted (triggers in the migration), and each carries the digest of the one before.
    """

    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    actor_key = models.CharField(max_length=64, blank=True)
    verb = models.CharField(max_length=32)
    subject = models.CharField(max_length=32)
    subject_key = models.CharField(max_length=64, blank=True)
    subject_label = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    address = models.CharField(max_length=64, blank=True)
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["subject_key", "-id"]), models.Index(fields=["verb", "-id"])]

    def __str__(self):
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.verb} {self.subject_label}"


class LedgerHead(models.Model):
    """The newest link of the chain: one row, locked by whoever adds the next line."""

    digest = models.CharField(max_length=64, blank=True)

    def __str__(self):
        return self.digest
