"""Recorded consents, and the scanned forms that prove them."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.models import Basis
from reconciliation.models.studies import Study


class ConsentEvidence(models.Model):
    """A scanned form. Its bytes lie under their SHA-256 beside the vault, and are never changed."""

    class Type(models.TextChoices):
        PDF = "application/pdf", "PDF"
        JPEG = "image/jpeg", "JPEG"
        PNG = "image/png", "PNG"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    study = models.ForeignKey(Study, models.PROTECT, related_name="consent_evidence")
    digest = models.CharField(max_length=64, help_text=_("SHA-256 of the file: its name on disk."))
    media_type = models.CharField(max_length=16, choices=Type, help_text=_("As its content says."))
    size = models.PositiveIntegerField()
    kept_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    kept_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(name="a_scan_is_kept_once_a_study", fields=["study", "digest"])]

    def __str__(self):
        return f"{self.get_media_type_display()} of {self.kept_at:%Y-%m-%d}"


class Consent(models.Model):
    """On what basis the images may be kept and used, by whom it was given and recorded, and the evidence."""

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False, help_text=_("Its name in addresses."))
    study = models.ForeignKey(Study, models.PROTECT, related_name="consents")
    patient = models.ForeignKey("orders.Patient", models.PROTECT, null=True, related_name="consents")
    basis = models.CharField(max_length=16, choices=Basis)
    given_by = models.CharField(max_length=200, blank=True)
    relation = models.CharField(max_length=64, blank=True, help_text=_("Of a guardian to the patient."))
    given_on = models.DateField()
    scope = models.JSONField(default=list)
    evidence = models.TextField(blank=True)
    form_number = models.CharField(max_length=64, blank=True)
    witness = models.CharField(max_length=200, blank=True, help_text=_("Who heard it, when it was given in words."))
    scan = models.ForeignKey(ConsentEvidence, models.PROTECT, null=True, related_name="consents")
    until = models.DateField(null=True)
    by_rule = models.CharField(max_length=250, blank=True, help_text=_("The consent rules that were content with it."))
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    withdrawn_said_by = models.CharField(max_length=200, blank=True, help_text=_("Who withdrew it."))
    withdrawn_why = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_withdrawal_has_who_when_and_why",
                condition=Q(withdrawn_at__isnull=True, withdrawn_by__isnull=True, withdrawn_why="")
                | Q(withdrawn_at__isnull=False, withdrawn_by__isnull=False, withdrawn_why__gt=""),
            ),
        ]

    def __str__(self):
        return self.get_basis_display()
