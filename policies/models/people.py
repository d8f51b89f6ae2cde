"""People and what their groups may do."""

import uuid

from django.apps import apps
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from policies.models.partners import Category, Destination, Intent, Source, or_none


class User(AbstractUser):
    """A person who signs in. What they may do comes from the grants of their groups, not from here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    def __str__(self):
        return self.get_full_name() or self.username


class Power(models.TextChoices):
    """What a grant lets its holders do. The values are the words of the ledger and of refusals."""

    STAGE = "stage", _("bring in discs and uploads")
    VIEW = "view", _("view studies")
    RECONCILE = "reconcile", _("reconcile (choose the order, record consent and retention)")
    ORDER = "create order", _("create reconciliation orders")
    OVERRIDE = "override", _("override findings and change proposed retention")
    RELEASE = "release", _("release studies")
    REJECT = "reject", _("reject studies")
    SHARE = "share", _("share studies with others outside")
    DOWNLOAD = "download", _("download images")
    RECALL = "recall", _("recall released studies")
    DELETE = "delete", _("approve that studies are deleted")
    SET_POLICY = "set policy", _("set policy")
    APPROVE_POLICY = "approve policy", _("approve policy")
    GRANT = "grant", _("grant powers to others")
    AUDIT = "audit", _("read the ledger")
    EMERGENCY = "emergency", _("open a study in an emergency, with a reason and an alarm")


class Scope(models.Model):
    """The studies and places that a row is limited to; what is empty limits nothing."""

    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    destination = models.ForeignKey(
        Destination, models.CASCADE, null=True, blank=True, help_text=_("Empty: every destination.")
    )
    modality = models.CharField(max_length=16, blank=True, help_text=_("CT, MR, ... Empty: every modality."))
    intent = models.CharField(max_length=16, choices=Intent, blank=True, help_text=_("Empty: every intent."))
    category = models.CharField(max_length=16, choices=Category, blank=True, help_text=_("Empty: every category."))

    class Meta:
        abstract = True

    def clean(self):
        self.modality = self.modality.strip().upper()


class Grant(Scope):
    """One group may do one thing, to studies of a scope, toward one destination (or any), for a time or for good."""

    group = models.ForeignKey("auth.Group", models.CASCADE, related_name="grants")
    power = models.CharField(max_length=16, choices=Power)
    destination = models.ForeignKey(
        Destination, models.CASCADE, null=True, blank=True, help_text=_("Only for release. Empty: every destination.")
    )
    valid_from = models.DateField(null=True, blank=True, help_text=_("The first day. Empty: at once."))
    valid_until = models.DateField(null=True, blank=True, help_text=_("The last day. Empty: for good."))
    may_pass_on = models.BooleanField(
        default=False, help_text=_("Who holds it may grant it to others, within the same scope and time.")
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
            models.CheckConstraint(
                name="a_grant_ends_after_it_begins",
                condition=Q(valid_from=None) | Q(valid_until=None) | Q(valid_until__gte=F("valid_from")),
                violation_error_message=_("The last day lies before the first."),
            ),
            models.UniqueConstraint(
                *(F("group"), F("power"), or_none("source"), or_none("destination")),
                *(F("modality"), F("intent"), F("category")),
                name="a_grant_is_given_once",
                violation_error_message=_("This group has this grant already."),
            ),
        ]

    def __str__(self):
        """With every limit: it is what the ledger says of a grant."""
        limits = [self.source or "any source", self.destination and f"to {self.destination}", self.modality]
        limits += [self.intent, self.category, self.valid_from and f"from {self.valid_from:%Y-%m-%d}"]
        limits += [self.valid_until and f"until {self.valid_until:%Y-%m-%d}", self.may_pass_on and "may pass on"]
        return f"{self.group}: {self.power} {' '.join(str(one) for one in limits if one)}"


class SecondPerson(Scope):
    """Where a deed needs a second, different person. One rule that applies is enough.

    The second one holds the same power; a change of policy is approved by who holds `approve policy`.
    """

    # A rule for a deed that does not ask would be a lie: those that are not here have no verb yet.
    ASKED = (Power.RELEASE, Power.OVERRIDE, Power.DELETE, Power.SET_POLICY)

    power = models.CharField(max_length=16, choices=[(one.value, one.label) for one in ASKED])
    kind = models.CharField(
        _("kind of rule"),
        max_length=40,
        blank=True,
        help_text=_("Only for setting policy: rules of this kind change when a second person approves. Empty: all."),
    )
    modality = models.CharField(
        max_length=16, blank=True, help_text=_("Studies that have it among others, too. Empty: every modality.")
    )
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["power", "id"]
        verbose_name = _("second person")
        verbose_name_plural = _("second person: where two must agree")
        constraints = [
            models.UniqueConstraint(
                *(F("power"), or_none("source"), or_none("destination")),
                *(F("modality"), F("intent"), F("category"), F("kind")),
                name="a_second_person_is_asked_by_one_rule",
                violation_error_message=_("Another rule asks for a second person for just this already."),
            ),
            models.CheckConstraint(
                name="only_what_goes_out_is_asked_by_destination",
                condition=Q(destination=None) | Q(power__in=["release", "override"]),
                violation_error_message=_("Only a release, and what was overridden for it, has a destination."),
            ),
            models.CheckConstraint(
                name="policy_is_asked_by_its_kind",
                condition=Q(kind="") & ~Q(power="set policy")
                | Q(power="set policy", source=None, destination=None, modality="", intent="", category=""),
                violation_error_message=_(
                    "Setting policy is limited by the kind of rule alone, and nothing else has a kind of rule."
                ),
            ),
        ]

    def __str__(self):
        limits = [self.kind, self.source, self.destination and f"to {self.destination}", self.modality, self.intent]
        where = " ".join(str(one) for one in [*limits, self.category] if one)
        return f"{self.power}: {where or 'everything'}"

    def clean(self):
        super().clean()
        if self.kind and not any(self.kind == model._meta.model_name for model in apps.get_models()):
            raise ValidationError({"kind": _("There is no such kind of rule.")})
