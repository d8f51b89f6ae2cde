"""The ledger of what was done, the marks that hold it from outside, and what is told of it to an audit repository."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class LedgerLine(models.Model):
    """One deed. Holds labels and keys, never foreign keys: the ledger outlives what it speaks of.

    Lines cannot be changed or deleted (triggers in the migrations), and each carries the digest of the one before.
    """

    FORM = 2  # what the digest of a new line covers; lines of form 1 had neither number nor study in it

    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    actor_key = models.CharField(max_length=64, blank=True)
    verb = models.CharField(max_length=32)
    subject = models.CharField(max_length=32)
    subject_key = models.CharField(max_length=64, blank=True)
    subject_label = models.CharField(max_length=200, blank=True)
    study_key = models.CharField(max_length=36, blank=True, default="", help_text=_("The study that it is about."))
    reason = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    address = models.CharField(max_length=64, blank=True)
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64, unique=True)
    form = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["-id"]
        permissions = [("export_large", _("Can export very many lines at once"))]
        indexes = [
            models.Index(fields=["subject_key", "-id"]),
            models.Index(fields=["study_key", "-id"]),
            models.Index(fields=["verb", "-id"]),
            models.Index(fields=["actor_key", "-id"]),
            models.Index(fields=["actor", "-id"]),
            models.Index(fields=["address", "-id"]),
            models.Index(fields=["at"]),
        ]

    def __str__(self):
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.verb} {self.subject_label}"


class LedgerHead(models.Model):
    """The newest link of the chain: one row, locked by whoever adds the next line, moved on by the line itself.

    Triggers refuse every other move: back, to a digest of no line, or away.
    """

    digest = models.CharField(max_length=64, blank=True)
    line = models.BigIntegerField(default=0, help_text=_("The number of the newest line."))

    def __str__(self):
        return self.digest


class LedgerAnchor(models.Model):
    """How far the chain had come on the morning of a day; it also lies where nobody at the portal can change it."""

    day = models.DateField(unique=True)
    line = models.BigIntegerField()
    digest = models.CharField(max_length=64)
    lines = models.BigIntegerField(help_text=_("How many lines there were."))
    mailed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["day"]

    def __str__(self):
        return f"{self.day:%Y-%m-%d} {self.line} {self.digest} {self.lines}"


class AuditMessage(models.Model):
    """A line that the audit repository is to be told of, in the order of the lines. The row is the queue."""

    line = models.BigIntegerField(primary_key=True)
    facts = models.JSONField(default=dict, help_text=_("Study and patient as they were then."))
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)

    class Meta:
        ordering = ["line"]
        indexes = [models.Index(fields=["line"], condition=models.Q(sent_at=None), name="policies_audit_unsent")]

    def __str__(self):
        return str(self.line)
