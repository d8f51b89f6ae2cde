"""Orders a study can be reconciled to, and where accession numbers come from."""

import uuid

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from orders.models.patients import Patient, plain_text


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
    own = models.ForeignKey(
        Patient,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text=_("Whose it was before a merge; it goes back there when the merge is undone."),
    )
    told = models.JSONField(
        default=dict, editable=False, help_text=_("By column: what messages said last, and when they said it.")
    )
    awaits_number = models.BooleanField(
        default=False, editable=False, help_text=_("The order system has not given its accession number yet.")
    )
    status = models.CharField(max_length=12, choices=Status, default=Status.SCHEDULED)
    origin = models.CharField(max_length=12, choices=Origin, default=Origin.ENTERED)
    accession_number = models.CharField(max_length=16, blank=True, validators=[plain_text])
    accession_issuer = models.CharField(max_length=64, blank=True, validators=[plain_text])
    placer_order_number = models.CharField(max_length=64, blank=True)
    placer_issuer = models.CharField(max_length=64, blank=True, help_text=_("Who gave the placer order number (EI.2)."))
    filler_order_number = models.CharField(max_length=64, blank=True)
    filler_issuer = models.CharField(max_length=64, blank=True, help_text=_("Who gave the filler order number (EI.2)."))
    requested_procedure_id = models.CharField(max_length=16, blank=True, validators=[plain_text])
    scheduled_procedure_step_id = models.CharField(max_length=16, blank=True, validators=[plain_text])
    procedure_code = models.CharField(max_length=16, blank=True, validators=[plain_text])
    procedure_scheme = models.CharField(max_length=16, blank=True, validators=[plain_text])
    description = models.CharField(max_length=64, validators=[plain_text], help_text=_("The procedure, in words."))
    modality = models.CharField(max_length=16, blank=True)
    body_part = models.CharField(max_length=16, blank=True)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True, help_text=_("Why, as the order system reads it."))
    referring_physician = models.CharField(max_length=194, blank=True, validators=[plain_text])
    admission_id = models.CharField(max_length=64, blank=True, validators=[plain_text])
    study_instance_uid = models.CharField(max_length=64, blank=True)
    for_import = models.BooleanField(
        _("reconciliation order"), default=False, help_text=_("Of a procedure that exists for importing; never billed.")
    )
    seen_at = models.DateTimeField(null=True, editable=False, help_text=_("When a worklist last showed it."))
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
                condition=~Q(origin="generated")
                | Q(awaits_number=True)
                | (~Q(accession_number="") & ~Q(requested_procedure_id="")),
            ),
        ]
        indexes = [
            models.Index(fields=["patient", "-created_at"]),
            models.Index(fields=["-created_at", "-id"]),
            models.Index(fields=["placer_order_number"]),
            models.Index(fields=["filler_order_number"]),
        ]

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
