"""What managers add to what IHE RAD-61 writes into outside objects."""

import uuid

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from policies.models.partners import Category, Intent, Source
from policies.rules import amendments
from policies.rules.values import why_unwritable


class CoercionRule(models.Model):
    """A label, whose value wins in an attribute, or the prefix under which studies read for others are imported."""

    class Kind(models.TextChoices):
        LABEL = "label", _("A label in an attribute")
        WINS = "wins", _("Whose value wins in an attribute")
        PREFIX = "prefix", _("A prefix before the sender's patient IDs (teleradiology)")

    class How(models.TextChoices):
        NONE = "", _("does not apply")
        BEFORE = "prefix", _("Label: before the sender's text")
        AFTER = "suffix", _("Label: after the sender's text")
        INSTEAD = "set", _("Label: in the place of the sender's text")
        LOCAL = "local", _("Ours wins, also when we have none")
        LOCAL_IF_PRESENT = "local_if_present", _("Ours wins where we have one")
        SENDER = "sender", _("The sender's stays")

    HOWS = {
        Kind.LABEL: {How.BEFORE, How.AFTER, How.INSTEAD},
        Kind.WINS: {How.LOCAL, How.LOCAL_IF_PRESENT, How.SENDER},
        Kind.PREFIX: {How.NONE},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True, help_text=_("Shown to staff with what it changes."))
    kind = models.CharField(max_length=8, choices=Kind)
    attribute = models.CharField(
        max_length=64, blank=True, help_text=_("A DICOM keyword, like StudyDescription. Empty for a prefix.")
    )
    how = models.CharField(max_length=16, choices=How, default=How.NONE, blank=True)
    text = models.CharField(
        max_length=64, blank=True, help_text=_("The label, {source} being the source's name; or the prefix, like TR1-.")
    )
    issuer = models.CharField(
        max_length=64,
        blank=True,
        help_text=_("Of a prefix: the assigning authority under which we file these numbers."),
    )
    priority = models.IntegerField(default=100, help_text=_("The lowest number comes first."))
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    category = models.CharField(max_length=16, choices=Category, blank=True, help_text=_("Empty: every category."))
    modality = models.CharField(max_length=16, blank=True, help_text=_("Empty: every modality."))
    intent = models.CharField(max_length=16, choices=Intent, blank=True, help_text=_("Empty: every intent."))
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [
            models.CheckConstraint(
                name="a_prefix_is_for_teleradiology_of_one_source",
                condition=~models.Q(kind="prefix")
                | models.Q(category="teleradiology", source__isnull=False, text__gt="", issuer__gt=""),
                violation_error_message=_(
                    "A prefix is for one source and for teleradiology, and has a text and an issuer: choose these."
                ),
            )
        ]

    def __str__(self):
        return self.name

    def clean(self):
        self.modality = self.modality.strip().upper()
        problems = dict(self._problems())
        if problems:
            raise ValidationError(problems)

    def _problems(self):
        if self.how not in self.HOWS.get(self.kind, {self.how}):
            yield "how", self._what_goes_with_it()
        if self.kind == self.Kind.PREFIX:
            yield from self._problems_of_prefix()
            return
        may = amendments.why_not_local if self.how in (self.How.LOCAL, self.How.LOCAL_IF_PRESENT) else None
        if barred := (may or amendments.why_not_written)(self.attribute):
            yield "attribute", barred
        elif self.kind == self.Kind.LABEL and not self.text.strip():
            yield "text", _("Write the label.")
        elif self.kind == self.Kind.LABEL and (barred := why_unwritable(self.attribute, self.text.strip())):
            yield "text", barred.partition(":")[0]

    def _what_goes_with_it(self) -> str:
        among = ", ".join(f"'{how.label}'" for how in self.How if how in self.HOWS[self.kind])
        return _("This does not go with the kind of the rule: choose one of %(among)s.") % {"among": among}

    def _problems_of_prefix(self):
        if self.attribute:
            yield "attribute", _("A prefix stands before the patient ID: leave this empty.")
        if self.intent or self.modality:
            yield "intent", _("A prefix is for all studies of the source that are teleradiology.")
        if barred := why_unwritable("PatientID", self.text.strip()):
            yield "text", barred.partition(":")[0]
