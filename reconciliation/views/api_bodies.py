"""What the REST calls take: bodies, and what may stand after the question mark."""

from rest_framework import serializers

from orders.models import Order, Patient
from orders.serializers import Known
from policies.models import Category, Destination, Intent, Reason, RetentionRule
from policies.rules.matching import Class
from reconciliation.consent_serializers import GivenConsent, OneOf
from reconciliation.renaming import Doubled

ORDERS = Order.objects.select_related("patient").prefetch_related("patient__identifiers")
TOLD_ORDERS = ORDERS.prefetch_related("notices__system", "notices__order")
PATIENTS = Patient.objects.prefetch_related("identifiers")


class Cursor(serializers.Serializer):
    cursor = serializers.CharField(default="", max_length=300, help_text="As given in `next`.")


class StudyFilters(Cursor):
    state = serializers.CharField(default="", max_length=100, help_text="`open`, or states with commas between them.")
    source = serializers.UUIDField(required=False)
    modality = serializers.RegexField(r"^[A-Z0-9_ ]{1,16}$", required=False)
    mine = serializers.BooleanField(default=False, help_text="Those on which you hold the lease.")
    segregated = serializers.BooleanField(default=False, help_text="Those that a rule of record quality keeps apart.")
    finding = serializers.SlugField(default="", max_length=48, help_text="The code of a finding that they have.")
    new = serializers.BooleanField(default=False, help_text="Those with a new candidate that nobody saw.")
    second = serializers.BooleanField(default=False, help_text="What waits for a second person.")
    q = serializers.CharField(
        default="", max_length=200, help_text="Words of the name, an identifier, a number, a UID."
    )

    def get_fields(self):
        classes = OneOf([*map(str, Class), "none"], required=False, help_text="Of the best proposal.")
        return super().get_fields() | {"class": classes}


class PatientFilters(serializers.Serializer):
    # The cursor is the id of the last patient seen: the list goes by name, and a name has no place in an address.
    cursor = serializers.UUIDField(required=False, help_text="As given in `next`.")
    q = serializers.CharField(default="", max_length=200, help_text="An identifier, an accession number, or a name.")


class OrderFilters(Cursor):
    q = serializers.CharField(default="", max_length=200, help_text="An accession number, or what finds a patient.")
    patient = serializers.UUIDField(required=False)


class LedgerQuestion(serializers.Serializer):
    verb = serializers.CharField(default="", max_length=32)
    actor = serializers.CharField(default="", max_length=150, help_text="A part of the name of a person, or an actor.")
    subject = serializers.CharField(default="", max_length=64, help_text="The key of what it was done to.")
    study = serializers.CharField(default="", max_length=64, help_text="A key, UID, accession number or patient ID.")
    to = serializers.CharField(default="", max_length=10, help_text="The last day, as 2026-03-04.")
    address = serializers.CharField(default="", max_length=64)
    words = serializers.CharField(default="", max_length=200, help_text="In reason, label and detail.")

    def get_fields(self):
        since = serializers.CharField(default="", max_length=10, help_text="The first day, as 2026-03-04.")
        return super().get_fields() | {"from": since}


class LedgerExport(LedgerQuestion):
    reason = serializers.CharField(
        default="", max_length=200, help_text="What it is for; needed for many lines. Name no patient in an address."
    )


class LedgerFilters(LedgerQuestion):
    cursor = serializers.IntegerField(default=0, min_value=0, help_text="As given in `next`.")


class CheckLedger(serializers.Serializer):
    after = serializers.IntegerField(default=0, min_value=0, help_text="The line that was checked last.")


class OfStudy(serializers.Serializer):
    study = serializers.UUIDField(required=False, help_text="What may be chosen for this study.")


class Seen(serializers.Serializer):
    """`version` is the one that the caller saw; a stale one is refused. Without it the present one counts."""

    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)


class TakeLease(serializers.Serializer):
    reason = serializers.CharField(
        max_length=2000, default="", allow_blank=True, help_text="Needed to take it over from somebody."
    )


class CancelOrder(serializers.Serializer):
    reason = serializers.CharField(max_length=200, help_text="The order system is told.")


class Choice(serializers.Serializer):
    """An order, or a patient alone for an import without an order."""

    order = Known(queryset=ORDERS, default=None, allow_null=True)
    patient = Known(queryset=PATIENTS, default=None, allow_null=True)


class Uids(serializers.Serializer):
    """Who chooses anything here must hold the power to override."""

    new_uids = serializers.BooleanField(
        default=False,
        help_text="New UIDs for those of study, series, objects and frames of reference that are not valid.",
    )
    doubled = OneOf(
        [("", "leave it open"), *Doubled.choices],
        default="",
        allow_blank=True,
        help_text="Which goes out where two contents came under one SOP Instance UID. Until it is said, that blocks.",
    )


class Plan(Choice, Uids):
    """What a preview is asked for."""

    intent = OneOf(
        [("", "not said yet"), *Intent.choices], default="", allow_blank=True, help_text="A rule may depend on it."
    )


class MapStudy(Plan, Seen):
    intent = OneOf(Intent.choices)
    shown = serializers.CharField(
        default="", allow_blank=True, help_text="From preview/: refused when the changes would be others by now."
    )


class Categorise(Seen):
    category = OneOf(Category.choices)


class DeclineRelease(Seen):
    reason = serializers.CharField(max_length=2000, help_text="Who asked for the release reads it.")


class UnmapStudy(Seen):
    reason = serializers.CharField(max_length=2000, default="", allow_blank=True)


class Override(serializers.Serializer):
    code = serializers.CharField(max_length=48)
    reason = serializers.CharField(max_length=2000)


class ClearStudy(Seen):
    consent = GivenConsent()
    retention = Known(
        queryset=RetentionRule.objects.filter(active=True),
        default=None,
        allow_null=True,
        help_text="A rule of retention-rules/; null keeps the one that policy proposes.",
    )
    retention_reason = serializers.CharField(max_length=2000, default="", allow_blank=True)
    overrides = Override(many=True, default=list)


class ReleaseStudy(Seen):
    destinations = Known(queryset=Destination.objects.all(), many=True, allow_empty=False)


class RejectStudy(Seen):
    reason = serializers.SlugRelatedField(
        "code", queryset=Reason.objects.all(), error_messages={"does_not_exist": "There is no such reason to choose."}
    )
    comment = serializers.CharField(max_length=2000, default="", allow_blank=True)


class ReinstateStudy(Seen):
    comment = serializers.CharField(max_length=2000, default="", allow_blank=True)
