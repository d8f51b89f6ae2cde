"""What managers set: procedures, matching, retention, and reasons."""

import uuid

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from policies.models.partners import Category, Intent, Source, or_none
from policies.rules import retention

# A subset of ISO 8601 durations: whole years, months, weeks, days.
iso_period = RegexValidator(r"^P(?=\d*[1-9])(\d+Y)?(\d+M)?(\d+W)?(\d+D)?$", _("Write the period like P5Y, P6M, P30D."))


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

    def clean(self):
        self.modality = self.modality.strip().upper()


class RetentionRule(models.Model):
    """How long the portal keeps a study that matches; the first match by priority is proposed."""

    class Clock(models.TextChoices):
        RECEIVED = retention.RECEIVED, _("the day it was received")
        STUDY_DATE = retention.STUDY_DATE, _("the study date")
        VIEWED = retention.VIEWED, _("the day it was last viewed here")
        REPORTED = retention.REPORTED, _("the day it was last reported")

    class Outcome(models.TextChoices):
        DELETE = retention.DELETE, _("The copy held here is deleted, once somebody approves it")
        TELL = retention.TELL, _("The copy is deleted once approved, and the archives are to be told")
        DECIDE = retention.DECIDE, _("It is kept until a person decides about this very study")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("Shown to staff with the proposal."))
    priority = models.IntegerField(default=100, help_text=_("The lowest number that matches wins."))
    note = models.TextField(_("source of the rule"), blank=True, help_text=_("The law or guideline it rests on."))
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    category = models.CharField(max_length=16, choices=Category, blank=True, help_text=_("Empty: every category."))
    modality = models.CharField(
        max_length=16, blank=True, help_text=_("CT, MR, ... Mammography is MG. Empty: every modality.")
    )
    intent = models.CharField(
        max_length=16,
        choices=Intent,
        blank=True,
        help_text=_("Empty: every intent, and studies that nobody has decided about (held, rejected)."),
    )
    from_age = models.PositiveSmallIntegerField(
        _("from the age of"), null=True, blank=True, help_text=_("Years, on the study date. Empty: any age.")
    )
    under = models.PositiveSmallIntegerField(
        _("under the age of"), null=True, blank=True, help_text=_("Years, on the study date: 18 is for minors.")
    )
    period = models.CharField(max_length=16, validators=[iso_period], help_text=_("ISO 8601, like P5Y or P90D."))
    clock = models.CharField(
        _("runs from"),
        max_length=16,
        choices=Clock,
        default=Clock.RECEIVED,
        help_text=_(
            "What is not known falls back on the day of reception. No reports reach the portal yet: "
            "'last reported' means the day of reception until they do."
        ),
    )
    birthday = models.PositiveSmallIntegerField(
        _("not before the birthday"),
        null=True,
        blank=True,
        help_text=_(
            "For minors: never over before the patient is this old. Whose birth date is not known is left to a person."
        ),
    )
    outcome = models.CharField(_("when it is over"), max_length=16, choices=Outcome, default=Outcome.DELETE)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "name"]

    def __str__(self):
        return f"{self.name} ({self.period})"

    def clean(self):
        self.modality = self.modality.strip().upper()
        if None not in (self.from_age, self.under) and self.from_age >= self.under:
            raise ValidationError(
                {"under": _("No patient is as old as that and younger than this: the rule never fits.")}
            )


class Reason(models.Model):
    """A reason code for saying no; every code means one thing."""

    code = models.SlugField(max_length=32, unique=True)
    sentence = models.CharField(max_length=200, help_text=_("As staff and the sender read it."))
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["sentence"]

    def __str__(self):
        return self.sentence


class ProcedureRule(models.Model):
    """A line of the procedure map: outside studies like this are imported under that procedure; the first fits."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    priority = models.IntegerField(default=100, help_text=_("The lowest number that matches wins."))
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    modality = models.CharField(max_length=16, blank=True, help_text=_("Empty: every modality."))
    body_part = models.CharField(max_length=16, blank=True, help_text=_("Body Part Examined. Empty: any."))
    words = models.CharField(
        max_length=128, blank=True, help_text=_("All of these words stand in the description, in any order.")
    )
    code = models.CharField(max_length=16, blank=True, help_text=_("The sender's Procedure Code. Empty: any."))
    scheme = models.CharField(
        _("coding scheme"), max_length=16, blank=True, help_text=_("Of the sender's code. Empty: any.")
    )
    procedure = models.ForeignKey(Procedure, models.CASCADE, related_name="rules")
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "pk"]
        constraints = [
            models.UniqueConstraint(
                *(or_none("source"), F("modality"), F("body_part"), F("words"), F("code"), F("scheme")),
                name="a_line_of_the_procedure_map_is_drawn_once",
                violation_error_message=_("Another line of the procedure map is for just such studies already."),
            )
        ]

    def __str__(self):
        asked = filter(None, [str(self.source or ""), self.modality, self.body_part, self.words, self.code])
        return f"{', '.join(asked) or 'everything'}: {self.procedure}"

    def clean(self):
        self.modality, self.body_part = self.modality.strip().upper(), self.body_part.strip().upper()


class MatchingWeight(models.Model):
    """How often a level of agreement occurs between two records of one person (m) and of two persons (u)."""

    field = models.CharField(max_length=16)
    level = models.CharField(max_length=16)
    m = models.FloatField(validators=[MinValueValidator(1e-9), MaxValueValidator(1.0)])
    u = models.FloatField(validators=[MinValueValidator(1e-9), MaxValueValidator(1.0)])
    decisions = models.PositiveIntegerField(
        null=True, blank=True, editable=False, help_text=_("From how many decisions it was learned.")
    )

    class Meta:
        ordering = ["field", "level"]
        constraints = [
            models.UniqueConstraint(name="a_level_is_weighed_once", fields=["field", "level"]),
            models.CheckConstraint(
                name="shares_are_between_nothing_and_all",
                condition=models.Q(m__gt=0, m__lte=1, u__gt=0, u__lte=1),
                violation_error_message=_("Both shares lie above 0 and are at most 1."),
            ),
        ]

    def __str__(self):
        return f"{self.field} {self.level}"


class MatchingPolicy(models.Model):
    """Whether studies of a source may be matched without a person, and from which certainty on. Off unless approved."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.OneToOneField(Source, models.CASCADE, related_name="matching_policy")
    automatic = models.BooleanField(
        default=False, help_text=_("Studies of this source are matched without a person. Rehearse it first.")
    )
    least_probability = models.FloatField(
        default=0.99, validators=[MinValueValidator(0.9), MaxValueValidator(1.0)], help_text=_("0.99 is 99 %.")
    )
    least_margin = models.FloatField(
        default=0.5,
        validators=[MinValueValidator(0.1), MaxValueValidator(1.0)],
        help_text=_("How far the first candidate must stand before the second."),
    )
    intent = models.CharField(max_length=16, choices=Intent, default=Intent.REFERENCE)
    approved_by = models.ForeignKey(
        "policies.User", models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "matching policies"
        constraints = [
            models.CheckConstraint(
                name="only_an_approved_policy_matches",
                condition=models.Q(automatic=False) | models.Q(approved_by__isnull=False, approved_at__isnull=False),
            ),
            models.CheckConstraint(
                name="a_policy_asks_for_certainty",
                condition=models.Q(least_probability__gte=0.9, least_probability__lte=1)
                & models.Q(least_margin__gte=0.1, least_margin__lte=1),
            ),
        ]

    def __str__(self):
        return f"{self.source}: {'automatic' if self.automatic else 'by a person'}"

    def signed_by(self, person, at) -> None:
        """Whoever puts an automatic policy in force approves it; one that is not automatic is nobody's."""
        self.approved_by, self.approved_at = (person, at) if self.automatic else (None, None)
