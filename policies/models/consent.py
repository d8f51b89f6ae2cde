"""On what basis outside images may be kept, used and handed on: the rules that managers set."""

import uuid

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.models.partners import Category, Destination, Intent, Source
from policies.models.policy import iso_period
from policies.rules import consent as rules


class Basis(models.TextChoices):
    PATIENT = "patient", _("Consent of the patient")
    GUARDIAN = "guardian", _("Consent of a guardian")
    TREATMENT = "treatment", _("Needed for treatment")
    LEGAL = "legal duty", _("Legal duty")
    NONE = rules.NONE, _("No consent is needed")


class Purpose(models.TextChoices):
    CARE = "care", _("Care of this patient")
    TEACHING = "teaching", _("Teaching")
    RESEARCH = "research", _("Research")


class Direction(models.TextChoices):
    IN = rules.IN, _("Into our record")
    OUT = rules.OUT, _("Out to another organisation")


class Evidence(models.TextChoices):
    ANY = "any", _("Any: words, a form number, a witness or a scan")
    SCAN = "scan", _("The scanned form")
    FORM = "form", _("The number of the form")
    WITNESS = "witness", _("A witness by name")


class ConsentRule(models.Model):
    """Which consent a use of outside images needs; the first rule by priority whose conditions all hold speaks."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("Staff read it where the consent is recorded."))
    priority = models.IntegerField(default=100, help_text=_("The lowest number that fits wins."))
    direction = models.CharField(max_length=3, choices=Direction, blank=True, help_text=_("Empty: in and out."))
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    destination = models.ForeignKey(
        Destination,
        models.CASCADE,
        null=True,
        blank=True,
        help_text=_("Empty: every destination. A rule with one is asked when a study is released to it."),
    )
    category = models.CharField(max_length=16, choices=Category, blank=True, help_text=_("Empty: every category."))
    intent = models.CharField(max_length=16, choices=Intent, blank=True, help_text=_("Empty: every intent."))
    purposes = models.JSONField(default=list, blank=True, help_text=_("None chosen: every purpose."))
    younger_than = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text=_("Only for patients younger than so many years on the day the consent is given. Empty: every age."),
    )
    suffices = models.JSONField(default=list, help_text=_("Each of these is enough by itself."))
    period = models.CharField(
        max_length=16,
        blank=True,
        validators=[iso_period],
        help_text=_("How long a consent holds from the day given: ISO 8601, like P5Y or P90D. Empty: as given."),
    )
    evidence = models.CharField(
        max_length=8, choices=Evidence, default=Evidence.ANY, help_text=_("What has to be recorded with it.")
    )
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [
            models.CheckConstraint(
                name="a_consent_rule_says_what_suffices",
                condition=~Q(suffices=[]),
                violation_error_message=_("Choose at least one basis that suffices."),
            )
        ]

    def __str__(self):
        return self.name

    def clean(self):
        if self.destination_id and self.direction:
            raise ValidationError(
                {"direction": _("Leave it empty: the destination says whether it is ours or another organisation's.")}
            )
