"""Partners: where studies come from, where they go, and who assigns identifiers."""

import uuid
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from policies.models.organisations import Organisation
from policies.rules import senders

# PS3.5 table 6.2-1, VR AE: up to 16 characters, no backslash, no control characters, not only spaces.
an_ae_title = RegexValidator(
    r"^(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )$", _("An AE title has 1 to 16 characters, no backslash.")
)

# Only these can be named: a page of the administration must not be able to send out any other secret of the process.
a_variable = RegexValidator(
    r"^IMGSHARE_CREDENTIALS_[A-Z0-9_]+$", _("Name an environment variable that begins with IMGSHARE_CREDENTIALS_.")
)
a_web_address = RegexValidator(
    r"^https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?$",
    _("An address like https://archive.example/dicom-web, without a query and without a password."),
)
a_person = RegexValidator(r"^[^\\=^\x00-\x1f]*$", _("Write a name like 'Weber, Karl', without \\, ^ or =."))
A_CERTIFICATE = _("a certificate with this name (CN or subject alternative name) or SHA-256 fingerprint. For TLS only.")
MOST_ASSOCIATIONS = 16
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def a_network(text: str) -> None:
    """An address, or a network in CIDR form."""
    if why := senders.why_no_network(text):
        raise ValidationError(why)


class Category(models.TextChoices):
    """Why an outside study is here: what may become of it, and how long it stays, hangs on that."""

    INCORPORATED = "incorporated", _("Incorporated")  # into the patient's record
    SECOND_OPINION = "second opinion", _("Second opinion")  # or comparison: it informs a decision here
    TELERADIOLOGY = "teleradiology", _("Teleradiology")  # read for others, never linked to priors


class Intent(models.TextChoices):
    REFERENCE = "reference", _("For reference (a prior, never on a reading list)")
    READ = "read", _("To be read here")


NOWHERE = Value(uuid.UUID(int=0), output_field=models.UUIDField())


def or_none(column: str) -> Coalesce:
    """A key as a unique index compares it: two that are empty are the same (SQLite holds NULLs for different)."""
    return Coalesce(F(column), NOWHERE, output_field=models.UUIDField())


class Source(models.Model):
    """The organisation or system that something came from; the DICOM door lets in known ones only."""

    class Trust(models.TextChoices):
        NORMAL = "normal", _("Normal")
        QUARANTINE = "quarantine", _("Quarantine: a person looks at every study, nothing is matched by itself")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=64, unique=True, help_text=_("As staff call it: the hospital, clinic or system.")
    )
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="sources",
        help_text=_("Whom it belongs to: whom staff call when something is wrong."),
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
    certificate = models.CharField(
        max_length=255,
        blank=True,
        help_text=_("If given, it must show %s") % A_CERTIFICATE,
    )
    issuer = models.CharField(
        _("issuer of patient IDs"),
        max_length=64,
        help_text=_("Who issued the patient IDs in its objects; kept with the outside ID in every released object."),
    )
    category = models.CharField(
        max_length=16,
        choices=Category,
        default=Category.INCORPORATED,
        help_text=_("What its studies are, unless the desk says otherwise for one of them."),
    )
    intent = models.CharField(
        _("usual purpose"),
        max_length=16,
        choices=Intent,
        blank=True,
        help_text=_("Proposed at the desk, where a person confirms it. Empty: the desk is asked without a proposal."),
    )
    requester = models.CharField(
        _("usual requester"),
        max_length=194,
        blank=True,
        validators=[a_person],
        help_text=_(
            "Who asks for its studies here, like 'Weber, Karl' or 'Radiology'. Proposed at the desk for an order that "
            "is generated. Empty: the referring physician whom the study names."
        ),
    )
    trust = models.CharField(
        max_length=16,
        choices=Trust,
        default=Trust.NORMAL,
        help_text=_(
            "Put a new sender into quarantine until you know what it sends, whatever its matching policy says."
        ),
    )
    active = models.BooleanField(default=True, help_text=_("An inactive source is refused at every door."))

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def clean(self):
        self.ae_title = self.ae_title or None
        plain = SourceSystem.objects.filter(ae_title=self.ae_title, network="", certificate="").exclude(source=self.pk)
        if not (self.address or self.certificate) and self.ae_title and plain.exists():
            raise ValidationError({"ae_title": _("A further sender of another source is known by just this.")})


class SourceSystem(models.Model):
    """A further DICOM sender of a source. Two sources may use one AE title if something else tells them apart."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="systems")
    ae_title = models.CharField(_("AE title"), max_length=16, validators=[an_ae_title])
    network = models.CharField(
        _("address or network"),
        max_length=64,
        blank=True,
        validators=[a_network],
        help_text=_("Where it calls from, like 10.1.2.3 or 10.1.2.0/24. Empty: from anywhere."),
    )
    certificate = models.CharField(
        max_length=255, blank=True, help_text=_("If given, it must also show %s") % A_CERTIFICATE
    )

    class Meta:
        ordering = ["ae_title", "network"]
        verbose_name = _("further sender")
        verbose_name_plural = _("further senders")
        constraints = [
            models.UniqueConstraint(
                name="a_sender_is_one_source",
                fields=["ae_title", "network", "certificate"],
                violation_error_message=_("Another sender is known by just this already."),
            )
        ]

    def __str__(self):
        return self.ae_title

    def clean(self):
        """What is known by its AE title alone cannot be told from another that uses it too."""
        others = Source.objects.filter(ae_title=self.ae_title).exclude(pk=self.source_id)
        if not (self.network or self.certificate) and others.exists():
            raise ValidationError({"ae_title": _("Another source uses this AE title: give an address or a network.")})


class StowClient(models.Model):
    """A client of a source that sends by the web (STOW-RS): known by its account, by its certificate, or by both."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="clients")
    account = models.CharField(  # by name: rules are taken to portals where the account is made later
        max_length=150,
        blank=True,
        help_text=_("The user name that its token belongs to. Empty: it is known by its certificate alone."),
    )
    network = models.CharField(
        _("address or network"),
        max_length=64,
        blank=True,
        validators=[a_network],
        help_text=_("Where it calls from, like 10.1.2.3 or 10.1.2.0/24. Empty: from anywhere."),
    )
    certificate = models.CharField(max_length=255, blank=True, help_text=_("If given, it must show %s") % A_CERTIFICATE)

    class Meta:
        ordering = ["account", "certificate", "network"]
        verbose_name = _("DICOMweb client")
        verbose_name_plural = _("DICOMweb clients")
        constraints = [
            models.UniqueConstraint(
                name="a_client_is_one_source",
                fields=["account", "network", "certificate"],
                violation_error_message=_("Another client is known by just this already."),
            ),
            models.CheckConstraint(
                name="a_client_is_known_by_something",
                condition=Q(account__gt="") | Q(certificate__gt=""),
                violation_error_message=_("Give an account, a certificate, or both: an address alone proves nothing."),
            ),
        ]

    def __str__(self):
        return self.account or self.certificate


class Destination(models.Model):
    """An archive or workstation that released studies are delivered to, and what proves that they are there."""

    class Kind(models.TextChoices):
        PACS = "pacs", _("PACS")
        VNA = "vna", _("Vendor neutral archive")
        WORKSTATION = "workstation", _("Workstation")
        EMR = "emr", _("Electronic medical record")
        OTHER = "other", _("Other")

    class Protocol(models.TextChoices):
        DIMSE = "dimse", _("DICOM (C-STORE)")
        STOW = "stow", _("DICOMweb (STOW-RS)")

    class Proof(models.TextChoices):
        NONE = "none", _("None: accepted is enough")
        COUNT = "count", _("Count: the archive is asked again for every object")
        COMMITMENT = "commitment", _("Commitment: the archive commits itself to every object, then they are counted")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("As staff call it."))
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="destinations",
        help_text=_("Whom it belongs to. Empty: to us."),
    )
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.PACS)
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
    tls = models.BooleanField(
        _("TLS"),
        default=False,
        help_text=_("Speak DICOM to it over TLS. It must trust our certificate, and we its own."),
    )
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
    outside = models.BooleanField(
        _("another organisation's"),
        default=False,
        help_text=_("What goes there is handed out: the consent rules for that are asked."),
    )
    takes_rejection_notes = models.BooleanField(
        _("understands rejection notes"),
        default=False,
        help_text=_(
            "It removes or hides what a note of IHE IOCM names, as when retention is over. Ask its vendor. "
            "If not, a person has to tell it, and is reminded."
        ),
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


class AssigningAuthority(models.Model):
    """An identifier domain: who issues identifiers, and under which names it arrives (HL7 CX.4, DICOM issuers)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace_id = models.CharField(
        _("namespace ID"), max_length=64, unique=True, help_text=_("As we write it: CX.4.1, Issuer of Patient ID.")
    )
    universal_id = models.CharField(max_length=128, blank=True, help_text=_("Its OID or other universal ID (CX.4.2)."))
    universal_id_type = models.CharField(max_length=8, blank=True, help_text=_("ISO, UUID, DNS, ... (CX.4.3)."))
    local = models.BooleanField(
        default=False, help_text=_("Our own: its identifiers name our patients and go into Patient ID.")
    )
    trusted = models.BooleanField(
        default=False, help_text=_("Its identifiers are dependable enough to support a match without a person.")
    )

    class Meta:
        ordering = ["namespace_id"]
        verbose_name_plural = "assigning authorities"

    def __str__(self):
        return self.namespace_id


class AuthorityAlias(models.Model):
    """Another name under which an assigning authority arrives: a namespace, an OID, a facility."""

    authority = models.ForeignKey(AssigningAuthority, models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=128, unique=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"

    def __str__(self):
        return self.name

    def clean(self):
        """A name leads to one authority."""
        own = Q(namespace_id__iexact=self.name) | Q(universal_id__iexact=self.name)
        other = Q(name__iexact=self.name)
        taken = AssigningAuthority.objects.filter(own).exclude(pk=self.authority_id).first()
        if taken or AuthorityAlias.objects.filter(other).exclude(pk=self.pk).exists():
            raise ValidationError({"name": _("This is a name of another assigning authority already.")})
