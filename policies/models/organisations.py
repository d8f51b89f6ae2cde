"""Organisations: whom sources and destinations belong to, and whom letters are written to."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class Organisation(models.Model):
    """A hospital, practice or company that we exchange images with."""

    class Kind(models.TextChoices):
        HOSPITAL = "hospital", _("Hospital")
        PRACTICE = "practice", _("Practice or clinic")
        IMAGING = "imaging", _("Imaging centre")
        TELERADIOLOGY = "teleradiology", _("Teleradiology provider")
        OURS = "ours", _("Our own house")
        OTHER = "other", _("Other")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=128, unique=True, help_text=_("Its full name, as a letter would say it."))
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.HOSPITAL)
    contact = models.CharField(
        _("contact person"), max_length=128, blank=True, help_text=_("Whom to ask when images are missing or wrong.")
    )
    mail = models.EmailField(_("e-mail"), blank=True)
    phone = models.CharField(max_length=64, blank=True, help_text=_("With its hours, if it has any."))
    address = models.TextField(_("postal address"), blank=True, help_text=_("As it stands on a letter."))
    notes = models.TextField(blank=True, help_text=_("What staff should know. Nothing about patients."))

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name
