"""People and what their groups may do."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from policies.models.partners import Category, Destination, Source
from policies.models.policy import Intent


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


class Grant(models.Model):
    """One group may do one thing, to studies of a scope, toward one destination (or any), for a time or for good."""

    group = models.ForeignKey("auth.Group", models.CASCADE, related_name="grants")
    power = models.CharField(max_length=16, choices=Power)
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, help_text=_("Empty: every source."))
    destination = models.ForeignKey(
        Destination, models.CASCADE, null=True, blank=True, help_text=_("Only for release. Empty: every destination.")
    )
    modality = models.CharField(max_length=16, blank=True, help_text=_("CT, MR, ... Empty: every modality."))
    intent = models.CharField(max_length=16, choices=Intent, blank=True, help_text=_("Empty: every intent."))
    category = models.CharField(max_length=16, choices=Category, blank=True, help_text=_("Empty: every category."))
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
            models.UniqueConstraint(
                name="a_grant_is_given_once",
                fields=["group", "power", "source", "destination", "modality", "intent", "category"],
                nulls_distinct=False,
                violation_error_message=_("This group has this grant already."),
            ),
        ]

    def __str__(self):
        return f"{self.group}: {self.power} {self.source or 'any source'} {self.destination or ''}".strip()
