"""The systems that know orders and patients: whom we tell of orders, and whom we ask."""

import uuid
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.hl7 import charsets
from policies.models import LOOPBACK, a_variable, a_web_address, an_ae_title


def a_character_set(name: str) -> None:
    """A name of HL7's table 0211, or one that is commonly written for it."""
    if not charsets.known(name):
        raise ValidationError(
            _("HL7 knows no such character set. UNICODE UTF-8, 8859/1 and ASCII are some that it does.")
        )


A_PORT = [MinValueValidator(1), MaxValueValidator(65535)]


class OrderSystem(models.Model):
    """A RIS or other system that is told of the orders generated here (Order Filler or Order Placer)."""

    class Pattern(models.TextChoices):
        LOCAL = "local", _("Nobody is told: the order is known here only")
        PLACER = "placer", _("We place the order (NW) and wait for its accession number")
        FILLER = "filler", _("We number the order ourselves and tell the number (SN)")

    class Form(models.TextChoices):
        ORM_O01 = "ORM_O01", _("ORM^O01 (2.3.1)")
        OMI_O23 = "OMI_O23", _("OMI^O23 (2.5.1)")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("As staff call it."))
    pattern = models.CharField(max_length=8, choices=Pattern, default=Pattern.LOCAL)
    form = models.CharField(_("message"), max_length=8, choices=Form, default=Form.ORM_O01)
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=2575, validators=A_PORT)
    tls = models.BooleanField(_("TLS"), default=False)
    receiving_application = models.CharField(max_length=180, blank=True, help_text=_("MSH-5"))
    receiving_facility = models.CharField(max_length=180, blank=True, help_text=_("MSH-6"))
    character_set = models.CharField(
        max_length=32, default="UNICODE UTF-8", validators=[a_character_set], help_text=_("MSH-18")
    )
    ordering_provider = models.CharField(
        max_length=194,
        blank=True,
        help_text=_("ORC-12 as ID^Family^Given. Empty: the referring physician whom the study names."),
    )
    patience = models.PositiveIntegerField(
        default=900, validators=[MinValueValidator(1)], help_text=_("Seconds until staff hear that nothing came back.")
    )
    active = models.BooleanField(default=True, help_text=_("The active one is told; at most one is."))

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                name="one_order_system_is_told",
                fields=["active"],
                condition=Q(active=True),
                violation_error_message=_("Another order system is active. Only one can be told of orders."),
            ),
            models.CheckConstraint(
                name="an_order_system_that_is_told_has_an_address",
                condition=Q(pattern="local") | Q(host__gt=""),
                violation_error_message=_("Give the host that orders are sent to."),
            ),
        ]

    def __str__(self):
        return self.name


class Worklist(models.Model):
    """A Modality Worklist that is asked for orders (C-FIND, IHE RAD-5)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("As staff call it."))
    ae_title = models.CharField(_("AE title"), max_length=16, validators=[an_ae_title])
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=104, validators=A_PORT)
    issuer = models.CharField(
        max_length=64, blank=True, help_text=_("Who issued a Patient ID there that does not say who issued it.")
    )
    patience = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1), MaxValueValidator(60)])
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class DemographicsSource(models.Model):
    """A system that is asked for patients: Patient Demographics Query (QBP^Q22, ITI-21) or FHIR Patient search."""

    class Protocol(models.TextChoices):
        PDQ = "pdq", _("HL7 v2 (QBP^Q22)")
        FHIR = "fhir", _("FHIR Patient")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("As staff call it."))
    protocol = models.CharField(max_length=8, choices=Protocol, default=Protocol.PDQ)
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=2575, validators=A_PORT)
    tls = models.BooleanField(_("TLS"), default=False)
    receiving_application = models.CharField(max_length=180, blank=True, help_text=_("MSH-5"))
    receiving_facility = models.CharField(max_length=180, blank=True, help_text=_("MSH-6"))
    url = models.CharField(
        _("FHIR address"), max_length=255, blank=True, validators=[a_web_address], help_text=_("Before /Patient.")
    )
    credentials = models.CharField(
        max_length=64,
        blank=True,
        validators=[a_variable],
        help_text=_("The NAME of the environment variable that holds 'user:password', or 'Bearer' and a token."),
    )
    issuer = models.CharField(max_length=64, blank=True, help_text=_("The domain whose identifiers are asked for."))
    cross_references = models.BooleanField(
        _("PIX"), default=False, help_text=_("It also answers which of our numbers an outside one is (QBP^Q23).")
    )
    patience = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1), MaxValueValidator(60)])
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="a_demographics_source_has_an_address",
                condition=Q(protocol="pdq", host__gt="") | Q(protocol="fhir", url__gt=""),
                violation_error_message=_("HL7 v2 needs a host; FHIR needs an address."),
            )
        ]

    def __str__(self):
        return self.name

    def clean(self):
        if self.credentials and self.url.startswith("http:") and urlsplit(self.url).hostname not in LOOPBACK:
            raise ValidationError({"credentials": _("Credentials are sent only to an address that begins https.")})


class Lookup(models.Model):
    """One look-up in other systems. The row is the queue; its key is that of whatever it is done for, known above."""

    id = models.UUIDField(primary_key=True, editable=False)
    by = models.CharField(max_length=150, help_text=_("Who asked, or the portal."))
    due_at = models.DateTimeField(null=True, help_text=_("When the systems are to be asked; empty: not any more."))
    lease_until = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True, help_text=_("When they were asked last."))
    answers = models.JSONField(default=list, help_text=_("By system: how much it knew, or why it said nothing."))
    news = models.BooleanField(default=False, help_text=_("Whether anything was not known here before."))

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="orders_look_due_at_idx")]

    def __str__(self):
        return str(self.id)

    @property
    def is_open(self) -> bool:
        """Whether answers are to come soon."""
        now = timezone.now()
        return bool((self.due_at and self.due_at <= now) or (self.lease_until and self.lease_until > now))
