"""What is asked of the record of an outside study, how grave it is, and what follows."""

import re
import uuid

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from pydicom.datadict import dictionary_VR, tag_for_keyword

from policies.models.partners import Source
from policies.models.policy import Reason
from policies.rules import amendments
from policies.rules.quality import CHECKS

CHECK_CODES = [(check.code, check.sentence) for check in CHECKS]
BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
MOST_LINES, LONGEST_LINE = 100, 128
OPEN_BRACKET = re.compile(r"\[[^\]]*$")


def a_keyword(text: str) -> None:
    """A DICOM keyword of an attribute that holds something to be read."""
    tag = tag_for_keyword(text)
    if tag is None:
        raise ValidationError(_("DICOM has no attribute with this keyword. Write it like BodyPartExamined."))
    if BINARY & set(dictionary_VR(tag).split(" or ")):
        raise ValidationError(_("This attribute holds no text that could be judged."))


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


class QualityRule(models.Model):
    """One thing that is asked of the record. A rule of a built-in check says how that check is asked."""

    class Kind(models.TextChoices):
        CHECK = "check", _("Built-in check")
        REQUIRED = "required", _("Must have a value")
        CONDITIONAL = "conditional", _("Must have a value where another attribute has one")
        VALUES = "values", _("Must be one of these values, if it has one")
        PATTERN = "pattern", _("Must fit a pattern, if it has a value")

    class Severity(models.TextChoices):
        BLOCK = "block", _("Blocks")
        OVERRIDE = "override", _("May go on with a reason")
        WARN = "warn", _("Note")

    class Follows(models.TextChoices):
        NOTHING = "", _("Nothing but the finding")
        CORRECT = "correct", _("The value is corrected when the study is released")
        SEGREGATE = "segregate", _("The study is kept apart, under Quality")
        REJECT = "reject", _("Rejection is proposed, with a letter to the sender")

    class Correction(models.TextChoices):
        NONE = "", _("None")
        TRIM = "trim", _("Blanks at both ends, and double ones, are taken out")
        UPPER = "upper", _("The same, and in capital letters")
        REPLACE = "replace", _("Values are replaced by the list below")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.SlugField(
        max_length=48, unique=True, help_text=_("Names the rule and its findings, with a hyphen: body-part-missing.")
    )
    kind = models.CharField(max_length=12, choices=Kind)
    check_code = models.CharField(_("built-in check"), max_length=48, choices=CHECK_CODES, blank=True)
    attribute = models.CharField(
        max_length=64, blank=True, validators=[a_keyword], help_text=_("A DICOM keyword, like BodyPartExamined.")
    )
    when = models.CharField(
        _("where this has a value"), max_length=64, blank=True, validators=[a_keyword], help_text=_("A DICOM keyword.")
    )
    accepted = models.TextField(
        _("values or patterns"),
        blank=True,
        help_text=_("One a line. In a pattern * is anything, ? one character, [0-9] one of these: [A-Z][A-Z]-[0-9]*"),
    )
    sentence = models.CharField(
        max_length=200,
        blank=True,
        help_text=_("As staff read it; {} becomes what it is about. Empty: the usual words."),
    )
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    modality = models.CharField(
        max_length=16, blank=True, help_text=_("Only series of this modality are looked at. Empty: all.")
    )
    severity = models.CharField(max_length=8, choices=Severity, default=Severity.WARN)
    follows = models.CharField(_("what follows"), max_length=12, choices=Follows, default=Follows.NOTHING, blank=True)
    correction = models.CharField(max_length=8, choices=Correction, default=Correction.NONE, blank=True)
    replacements = models.TextField(blank=True, help_text=_("One a line, like: ABDOMEN/PELVIS = ABDOMEN"))
    reason = models.ForeignKey(
        Reason, models.PROTECT, null=True, blank=True, help_text=_("For which rejection is proposed.")
    )
    active = models.BooleanField(
        default=True,
        help_text=_("A built-in check that is not active is not asked; without its rule it is, as it was."),
    )

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                name="a_quality_rule_asks_something",
                condition=models.Q(kind="check", check_code__gt="")
                | (~models.Q(kind="check") & models.Q(attribute__gt="")),
                violation_error_message=_("Choose a built-in check, or name an attribute."),
            ),
            models.CheckConstraint(  # what else the portal finds has codes without a hyphen
                name="a_quality_rule_has_a_code_of_its_own",
                condition=models.Q(code__contains="-") | models.Q(kind="check", code=models.F("check_code")),
                violation_error_message=_(
                    "Write a code with a hyphen, like body-part-missing: those without one are the portal's own."
                ),
            ),
            models.CheckConstraint(
                name="a_proposed_rejection_has_a_reason",
                condition=~models.Q(follows="reject") | models.Q(reason__isnull=False),
                violation_error_message=_("Choose the reason for which rejection is proposed."),
            ),
        ]

    def __str__(self):
        return self.code

    def clean(self):
        self.modality = self.modality.strip().upper()
        problems = dict(self._problems())
        if problems:
            raise ValidationError(problems)

    def _problems(self):
        if self.kind != self.Kind.CHECK and self.check_code:
            yield "check_code", _("Only a rule of a built-in check names one: leave this empty.")
        if self.kind == self.Kind.CHECK and self.attribute:
            yield "attribute", _("A built-in check knows what it looks at: leave this empty.")
        if self.kind == self.Kind.CONDITIONAL and not self.when:
            yield "when", _("Name the attribute on which it depends.")
        given = lines(self.accepted)
        if self.kind in (self.Kind.VALUES, self.Kind.PATTERN) and not given:
            yield "accepted", _("Say what is allowed.")
        if self.kind == self.Kind.PATTERN and any(OPEN_BRACKET.search(line) for line in given):
            yield "accepted", _("A [ needs its ], as in [0-9]. Write [[] where the character itself is meant.")
        if len(given) > MOST_LINES or any(len(line) > LONGEST_LINE for line in given):
            yield "accepted", _("At most 100 lines of 128 characters.")
        if self.follows == self.Follows.CORRECT:
            yield from self._problems_of_correction()

    def _problems_of_correction(self):
        if barred := amendments.why_not_written(self.attribute):
            yield "attribute", barred
        if not self.correction:
            yield "correction", _("Say how it is corrected.")
        if self.correction == self.Correction.REPLACE and not pairs(self.replacements):
            yield "replacements", _("Write each line like: old = new.")


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """The lines `old = new`."""
    cut = [line.partition("=") for line in lines(text)]
    return tuple((old.strip(), new.strip()) for old, equals, new in cut if equals and old.strip() and new.strip())
