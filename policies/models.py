"""What must hold: people, partners, grants, retention rules, and the ledger of what was done."""

import uuid
from urllib.parse import urlsplit

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

# PS3.5 table 6.2-1, VR AE: up to 16 characters, no backslash, no control characters, not only spaces.
an_ae_title = RegexValidator(
    r"^(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )$", _("An AE title has 1 to 16 characters, no backslash.")
)
# A subset of ISO 8601 durations: whole years, months, weeks, days.
iso_period = RegexValidator(r"^P(?=\d*[1-9])(\d+Y)?(\d+M)?(\d+W)?(\d+D)?$", _("Write the period like P5Y, P6M, P30D."))

# Only these can be named: a page of the administration must not be able to send out any other secret of the process.
a_variable = RegexValidator(
    r"^IMGSHARE_CREDENTIALS_[A-Z0-9_]+$", _("Name an environment variable that begins with IMGSHARE_CREDENTIALS_.")
)
a_web_address = RegexValidator(
    r"^https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?$",
    _("An address like https://archive.example/dicom-web, without a query and without a password."),
)
MOST_ASSOCIATIONS = 16
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class User(AbstractUser):
    """A person who signs in. What they may do comes from the grants of their groups, not from here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    def __str__(self):
        return self.get_full_name() or self.username


class Intent(models.TextChoices):
    REFERENCE = "reference", _("For reference (a prior, never on a reading list)")
    READ = "read", _("To be read here")


class Source(models.Model):
    """The organisation or system that something came from; the DICOM door lets in known ones only."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=64, unique=True, help_text=_("As staff call it: the hospital, clinic or system.")
    )
    ae_title = models.CharField(
        _("AE title"),
        max_length=16,
        null=True,
        blank=True,
        unique=True,
        validators=[an_ae_title],
        help_text=_("The calling AE title of its DICOM sender. Empty: it does not send by DICOM."),
    )
    address = models.GenericIPAddressField(
        null=True, blank=True, help_text=_("If given, the sender must also call from this address.")
    )
    issuer = models.CharField(
        _("issuer of patient IDs"),
        max_length=64,
        help_text=_("Who issued the patient IDs in its objects; kept with the outside ID in every released object."),
    )
    active = models.BooleanField(default=True, help_text=_("An inactive source is refused at every door."))

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def clean(self):
        self.ae_title = self.ae_title or None


class Destination(models.Model):
    """An archive or workstation that released studies are delivered to, and what proves that they are there."""

    class Protocol(models.TextChoices):
        DIMSE = "dimse", _("DICOM (C-STORE)")
        STOW = "stow", _("DICOMweb (STOW-RS)")

    class Proof(models.TextChoices):
        NONE = "none", _("None: accepted is enough")
        COUNT = "count", _("Count: the archive is asked again for every object")
        COMMITMENT = "commitment", _("Commitment: the archive commits itself to every object, then they are counted")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("As staff call it."))
    protocol = models.CharField(max_length=8, choices=Protocol, default=Protocol.DIMSE)
    ae_title = models.CharField(
        _("AE title"),
        max_length=16,
        blank=True,
        validators=[an_ae_title],
        help_text=_("Its reports of storage commitment must come under this title too."),
    )
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=104, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    associations = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_ASSOCIATIONS)],
        help_text=_("How many connections one delivery may use at a time. Ask the archive's administrator."),
    )
    stow_url = models.CharField(
        _("STOW-RS address"),
        max_length=255,
        blank=True,
        validators=[a_web_address],
        help_text=_("For DICOMweb: the address before /studies, like https://archive.example/dicom-web."),
    )
    credentials = models.CharField(
        max_length=64,
        blank=True,
        validators=[a_variable],
        help_text=_(
            "The NAME of the environment variable that holds the credentials for DICOMweb: 'user:password', or "
            "'Bearer' and a token. The secret itself is never entered here."
        ),
    )
    proof = models.CharField(
        max_length=12,
        choices=Proof,
        default=Proof.COMMITMENT,
        help_text=_("What must be seen before a study counts as delivered. Choose Count if it cannot commit."),
    )
    commitment_patience = models.PositiveIntegerField(
        default=3600,
        validators=[MinValueValidator(1)],
        help_text=_("Seconds that it may take to report a commitment; then it is asked again."),
    )
    query_url = models.CharField(
        _("QIDO-RS address"),
        max_length=255,
        blank=True,
        validators=[a_web_address],
        help_text=_("Where objects are counted by DICOMweb. Empty: the STOW-RS address, or else C-FIND."),
    )
    query_ae_title = models.CharField(
        _("AE title for C-FIND"),
        max_length=16,
        blank=True,
        validators=[an_ae_title],
        help_text=_("If the archive answers queries under another title, at the same host and port."),
    )
    offered = models.BooleanField(
        _("ticked by default"), default=False, help_text=_("Offered already ticked when a study is released.")
    )
    active = models.BooleanField(default=True, help_text=_("An inactive destination is not offered."))

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="a_destination_has_an_address",
                condition=Q(protocol="dimse", ae_title__gt="", host__gt="") | Q(protocol="stow", stow_url__gt=""),
                violation_error_message=_("DICOM needs an AE title and a host; DICOMweb needs a STOW-RS address."),
            ),
            models.CheckConstraint(
                name="commitment_needs_an_ae_title",
                condition=~Q(proof="commitment") | Q(ae_title__gt="", host__gt=""),
                violation_error_message=_("Storage commitment is asked for by DICOM: give an AE title and a host."),
            ),
            models.CheckConstraint(
                name="associations_are_one_to_sixteen",
                condition=Q(associations__gte=1, associations__lte=MOST_ASSOCIATIONS),
                violation_error_message=_("Use 1 to 16 connections at a time."),
            ),
            models.CheckConstraint(
                name="patience_is_a_time",
                condition=Q(commitment_patience__gte=1),
                violation_error_message=_("A report takes at least a second."),
            ),
        ]

    def __str__(self):
        return self.name

    def clean(self):
        for address in (self.stow_url, self.query_url):
            if self.credentials and address.startswith("http:") and urlsplit(address).hostname not in LOOPBACK:
                raise ValidationError({"credentials": _("Credentials are sent only to an address that begins https.")})

    @property
    def counts_by_web(self) -> bool:
        """Whether objects are counted by QIDO-RS; else by C-FIND."""
        return bool(self.query_url) or self.protocol == self.Protocol.STOW


class Power(models.TextChoices):
    """What a grant lets its holders do. The values are the words of the ledger and of refusals."""

    VIEW = "view", _("view studies")
    RECONCILE = "reconcile", _("reconcile (choose the order, record consent and retention)")
    ORDER = "create order", _("create reconciliation orders")
    OVERRIDE = "override", _("override findings and change proposed retention")
    RELEASE = "release", _("release studies")
    REJECT = "reject", _("reject studies")
    AUDIT = "audit", _("read the ledger")


class Grant(models.Model):
    """One group may do one thing, to studies of one source (or any), toward one destination (or any)."""

    group = models.ForeignKey("auth.Group", models.CASCADE, related_name="grants")
    power = models.CharField(max_length=16, choices=Power)
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    destination = models.ForeignKey(
        Destination, models.CASCADE, null=True, blank=True, help_text=_("Only for release. Empty: every destination.")
    )

    class Meta:
        ordering = ["group__name", "power"]
        constraints = [
            models.CheckConstraint(
                name="only_release_has_a_destination",
                condition=Q(destination__isnull=True) | Q(power=Power.RELEASE),
                violation_error_message=_("Only a grant to release can name a destination."),
            ),
            models.CheckConstraint(
                name="the_ledger_is_read_whole_or_not",
                condition=Q(source__isnull=True) | ~Q(power=Power.AUDIT),
                violation_error_message=_("The ledger is one: a grant to read it names no source."),
            ),
            models.UniqueConstraint(
                name="a_grant_is_given_once",
                fields=["group", "power", "source", "destination"],
                nulls_distinct=False,
                violation_error_message=_("This group has this grant already."),
            ),
        ]

    def __str__(self):
        return f"{self.group}: {self.power} {self.source or 'any source'} {self.destination or ''}".strip()


class Procedure(models.Model):
    """A local procedure that exists for importing: never billed, never on a reading list unless asked."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=16, help_text=_("Code Value, at most 16 characters."))
    scheme = models.CharField(_("coding scheme"), max_length=16, default="99LOCAL")
    meaning = models.CharField(max_length=64, help_text=_("As staff read it: 'Outside CT, for reference'."))
    modality = models.CharField(max_length=16, blank=True, help_text=_("CT, MR, ... Empty: any."))
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["meaning"]
        constraints = [models.UniqueConstraint(name="a_procedure_code_is_unique", fields=["scheme", "code"])]

    def __str__(self):
        return f"{self.meaning} ({self.code})"


class RetentionRule(models.Model):
    """How long the portal keeps a study that matches; the first match by priority is proposed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("Shown to staff with the proposal."))
    priority = models.IntegerField(default=100, help_text=_("The lowest number that matches wins."))
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    modality = models.CharField(max_length=16, blank=True, help_text=_("Empty: every modality."))
    intent = models.CharField(max_length=16, choices=Intent, blank=True, help_text=_("Empty: every intent."))
    period = models.CharField(max_length=16, validators=[iso_period], help_text=_("ISO 8601, like P5Y or P90D."))
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "name"]

    def __str__(self):
        return f"{self.name} ({self.period})"


class Reason(models.Model):
    """A reason code for saying no; every code means one thing."""

    code = models.SlugField(max_length=32, unique=True)
    sentence = models.CharField(max_length=200, help_text=_("As staff and the sender read it."))
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["sentence"]

    def __str__(self):
        return self.sentence


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
