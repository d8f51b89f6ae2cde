"""Our own truth: the hospital's patients, their identifiers, and the orders a study can be reconciled to."""

import uuid

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.rules.matching import name_key

person_name = RegexValidator(r"^[^\\\x00-\x1f]+$", _("A name has no backslash and no control character."))
plain_text = RegexValidator(r"^[^\\\x00-\x1f]*$", _("No backslash and no control character here."))


class Patient(models.Model):
    """A person whom the hospital knows."""

    class Sex(models.TextChoices):
        MALE = "M", _("male")
        FEMALE = "F", _("female")
        OTHER = "O", _("other")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(
        max_length=194,
        validators=[person_name],
        help_text=_("As DICOM writes it: Family^Given^Middle, other scripts after '='."),
    )
    name_key = models.CharField(max_length=194, editable=False, db_index=True)
    birth_date = models.DateField(null=True, blank=True)
    sex = models.CharField(max_length=1, choices=Sex, blank=True)
    changed_at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["name_key"]
        indexes = [models.Index(fields=["birth_date", "sex"])]

    def __str__(self):
        name = self.name.split("=")[0].replace("^", " ").strip()
        return f"{name}, {self.birth_date:%Y-%m-%d}" if self.birth_date else name

    def save(self, **kwargs):
        self.name_key = name_key(self.name)[:194]  # some letters fold into many
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "name_key", "changed_at"}
        super().save(**kwargs)

    def clean(self):
        """People write "Family, Given"; DICOM writes Family^Given."""
        if "^" not in self.name and "," in self.name:
            self.name = "^".join(part.strip() for part in self.name.split(",", 1))

    @property
    def birth_date_da(self) -> str:
        """The birth date as DICOM DA (`YYYYMMDD`), "" when unknown."""
        return f"{self.birth_date:%Y%m%d}" if self.birth_date else ""

    def identifier(self) -> "Identifier | None":
        """The identifier that goes into Patient ID: the primary one, else the oldest."""
        return min(self.identifiers.all(), key=lambda one: (not one.primary, one.pk), default=None)


class Identifier(models.Model):
    """What an assigning authority calls a patient: a value never stands without its issuer (HL7 CX.4)."""

    patient = models.ForeignKey(Patient, models.CASCADE, related_name="identifiers")
    value = models.CharField(max_length=64, validators=[plain_text])
    issuer = models.CharField(
        max_length=64, validators=[plain_text], help_text=_("Assigning authority, namespace ID (CX.4.1).")
    )
    universal_id = models.CharField(max_length=128, blank=True, help_text=_("Its OID or other universal ID (CX.4.2)."))
    universal_id_type = models.CharField(max_length=8, blank=True, help_text=_("ISO, UUID, DNS, ... (CX.4.3)."))
    primary = models.BooleanField(default=False, help_text=_("The one that goes into Patient ID of released objects."))

    class Meta:
        ordering = ["-primary", "id"]
        constraints = [models.UniqueConstraint(name="an_issuer_gives_an_id_once", fields=["issuer", "value"])]
        indexes = [models.Index(fields=["value"])]

    def __str__(self):
        return f"{self.value} ({self.issuer})"


class Order(models.Model):
    """A local order for an imaging procedure: received, entered, or generated here for importing."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("Scheduled")
        IN_PROGRESS = "in progress", _("In progress")
        COMPLETED = "completed", _("Completed")
        CANCELLED = "cancelled", _("Cancelled")

    class Origin(models.TextChoices):
        RECEIVED = "received", _("received by HL7")
        WORKLIST = "worklist", _("found on the worklist")
        ENTERED = "entered", _("entered by hand")
        GENERATED = "generated", _("generated here")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="orders")
    status = models.CharField(max_length=12, choices=Status, default=Status.SCHEDULED)
    origin = models.CharField(max_length=12, choices=Origin, default=Origin.ENTERED)
    accession_number = models.CharField(max_length=16, blank=True, validators=[plain_text])
    accession_issuer = models.CharField(max_length=64, blank=True, validators=[plain_text])
    placer_order_number = models.CharField(max_length=64, blank=True)
    filler_order_number = models.CharField(max_length=64, blank=True)
    requested_procedure_id = models.CharField(max_length=16, blank=True, validators=[plain_text])
    scheduled_procedure_step_id = models.CharField(max_length=16, blank=True, validators=[plain_text])
    procedure_code = models.CharField(max_length=16, blank=True, validators=[plain_text])
    procedure_scheme = models.CharField(max_length=16, blank=True, validators=[plain_text])
    description = models.CharField(max_length=64, validators=[plain_text], help_text=_("The procedure, in words."))
    modality = models.CharField(max_length=16, blank=True)
    body_part = models.CharField(max_length=16, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    referring_physician = models.CharField(max_length=194, blank=True, validators=[plain_text])
    admission_id = models.CharField(max_length=64, blank=True, validators=[plain_text])
    study_instance_uid = models.CharField(max_length=64, blank=True)
    for_import = models.BooleanField(
        _("reconciliation order"), default=False, help_text=_("Of a procedure that exists for importing; never billed.")
    )
    created_by = models.CharField(max_length=150, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                name="an_accession_number_is_given_once",
                fields=["accession_issuer", "accession_number"],
                condition=~Q(accession_number=""),
                violation_error_message=_("This accession number is given already."),
            ),
            models.CheckConstraint(
                name="a_generated_order_has_its_numbers",
                condition=~Q(origin="generated") | (~Q(accession_number="") & ~Q(requested_procedure_id="")),
            ),
        ]
        indexes = [models.Index(fields=["patient", "-created_at"]), models.Index(fields=["-created_at", "-id"])]

    def __str__(self):
        return f"{self.description} ({self.accession_number or 'no accession number'})"

    def save(self, **kwargs):
        """An order entered with its accession number alone is requested and scheduled under that number."""
        self.requested_procedure_id = self.requested_procedure_id or self.accession_number
        self.scheduled_procedure_step_id = self.scheduled_procedure_step_id or self.requested_procedure_id
        super().save(**kwargs)

    @property
    def is_open(self) -> bool:
        """Whether a study may still be reconciled to it."""
        return self.status != self.Status.CANCELLED


class AccessionSequence(models.Model):
    """Where accession numbers of generated orders come from: prefix and digits, 16 characters at most (VR SH)."""

    prefix = models.CharField(max_length=8, unique=True, validators=[RegexValidator(r"^[A-Z0-9-]*$")])
    digits = models.PositiveSmallIntegerField(default=8)
    next = models.PositiveBigIntegerField(default=1)
    issuer = models.CharField(max_length=64, blank=True, help_text=_("Issuer of Accession Number."))
    active = models.BooleanField(default=True, help_text=_("The newest active sequence is used."))

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="an_accession_sequence_has_digits",
                condition=Q(digits__gte=4, digits__lte=16),
                violation_error_message=_("Between 4 and 16 digits."),
            )
        ]

    def __str__(self):
        return f"{self.prefix}{'#' * self.digits}"

    def clean(self):
        """A sequence only goes forward: numbers that were given are never given again."""
        before = AccessionSequence.objects.filter(pk=self.pk).values_list("next", flat=True).first()
        if before and self.next < before:
            raise ValidationError({"next": _("The next number was %(before)s already.") % {"before": before}})
