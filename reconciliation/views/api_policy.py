"""REST: what each rule says and said on any day, and drafts of what it will say: the same verbs as in the pages."""

from datetime import datetime, time, timedelta

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from policies import drafts, drafts_admin, versions
from policies.exchange import name_of
from policies.models import PolicyDraft, PolicyVersion
from policies.problems import Denied, Invalid
from policies.versioned import may
from policies.versions import KINDS
from reconciliation import queue, whatif
from reconciliation.serializers import StepSerializer
from reconciliation.views.api import body, call, filters, listed, page_of, paged
from reconciliation.views.api_bodies import Cursor, OneOf

NAMES = {name_of(model): model for model in KINDS}
PEOPLE = ("made_by", "approved_by")


class Kind(serializers.Serializer):
    kind = OneOf(list(NAMES), required=False)

    @staticmethod
    def among(rows: QuerySet, given: dict) -> QuerySet:
        return rows.filter(kind=versions.kind_of(NAMES[given["kind"]])) if "kind" in given else rows


class VersionFilters(Kind):
    key = serializers.CharField(default="", max_length=64, help_text="Of one rule: every version of it.")
    cursor = serializers.IntegerField(default=0, min_value=0, help_text="As given in `next`.")


class DayFilters(serializers.Serializer):
    kind = OneOf(list(NAMES))
    day = serializers.DateField(required=False, help_text="As the rules were at the end of this day.")
    at = serializers.DateTimeField(required=False, help_text="As they were at this moment. Without either: now.")


class DraftFilters(Cursor, Kind):
    state = OneOf(PolicyDraft.State.choices, required=False)


class Decline(serializers.Serializer):
    reason = serializers.CharField(max_length=500, help_text="Whoever wrote the draft reads it.")


class OfARule(serializers.ModelSerializer):
    """What versions and drafts say alike."""

    kind = serializers.SerializerMethodField()
    says = serializers.JSONField(source="columns", help_text="The rule, column by column; null: it is deleted.")
    made_by = serializers.CharField(allow_null=True, help_text="null: the portal itself.")
    approved_by = serializers.CharField(allow_null=True)

    def get_kind(self, row) -> str:
        return row.kind.rpartition(".")[2]


class PolicyVersionSerializer(OfARule):
    class Meta:
        model = PolicyVersion
        fields = ["kind", "key", "number", "title", "says", "made_by", "made_at", "why", "effective_from"]
        fields += ["approved_by", "approved_at"]


class PolicyDraftSerializer(OfARule):
    class Meta:
        model = PolicyDraft
        fields = ["id", "kind", "key", "title", "says", "based_on", "state", "made_by", "made_at", "why"]
        fields += ["effective_from", "needs_approval", "approved_by", "approved_at", "problem"]


class ChangeOfRuleSerializer(serializers.Serializer):
    name = serializers.CharField()
    old = serializers.CharField(allow_blank=True)
    new = serializers.CharField(allow_blank=True)


class OpenedDraftSerializer(PolicyDraftSerializer):
    """One draft with what it changes, and the steps that its state allows."""

    changes = serializers.SerializerMethodField()
    steps = serializers.SerializerMethodField()

    class Meta(PolicyDraftSerializer.Meta):
        fields = [*PolicyDraftSerializer.Meta.fields, "changes", "steps"]

    def get_changes(self, draft) -> ChangeOfRuleSerializer(many=True):
        return ChangeOfRuleSerializer(drafts.differences(draft), many=True).data

    def get_steps(self, draft) -> StepSerializer(many=True):
        offered = drafts_admin.offered(self.context["request"], draft)
        return [{"verb": verb, "words": verb.capitalize(), "why_not": why} for verb, why in offered.items()]


class DifferingSerializer(serializers.Serializer):
    study = serializers.UUIDField(source="study.pk")
    decision = serializers.CharField(source="topic")
    old = serializers.CharField(allow_blank=True)
    new = serializers.CharField(allow_blank=True)
    open = serializers.BooleanField(help_text="Whether the decision is still to come.")


class RehearsalSerializer(serializers.Serializer):
    """What a draft would do to the studies that you may see: those held now, and those of the last month."""

    studies = serializers.IntegerField(source="total")
    looked = serializers.IntegerField(help_text="How many of them were looked at in the time given, the newest first.")
    held = serializers.IntegerField(help_text="Studies held now that would be decided about otherwise.")
    differ = serializers.SerializerMethodField(help_text="Decisions that would differ.")
    differing = DifferingSerializer(source="shown", many=True)
    silent = serializers.CharField(help_text="Why no study was looked at: no decision hangs on what changes.")

    def get_differ(self, found) -> int:
        return len(found.cases)


def _looked_at_by(request: Request, model: type) -> None:
    if not may(request, "view", model):
        raise Denied("Only who may look at the rules may do this.")


A_PAGE = page_of(PolicyVersionSerializer)


@call("GET", gives=A_PAGE, filters=VersionFilters)
def policy_versions(request: Request) -> Response:
    """Every version of every rule, the newest first; a deleted rule is found here too."""
    _looked_at_by(request, PolicyVersion)
    given = filters(VersionFilters, request)
    rows = Kind.among(PolicyVersion.objects.select_related(*PEOPLE).order_by("-id"), given)
    rows = rows.filter(key=given["key"]) if given["key"] else rows
    found = list((rows.filter(id__lt=given["cursor"]) if given["cursor"] else rows)[: queue.PAGE + 1])
    following = str(found[queue.PAGE - 1].pk) if len(found) > queue.PAGE else ""
    return listed(found[: queue.PAGE], PolicyVersionSerializer, request, following=following)


@call("GET", gives=A_PAGE, filters=DayFilters)
def policy_rules(request: Request) -> Response:
    """The rules of one kind as they are, or as they were on a past day: each in the version of that day."""
    _looked_at_by(request, PolicyVersion)
    given = filters(DayFilters, request)
    if "day" in given and "at" in given:
        raise Invalid("Say the day or the moment, not both.")
    rows = PolicyVersion.objects.filter(kind=versions.kind_of(NAMES[given["kind"]]), effective_from__lte=_moment(given))
    last = {row.key: row for row in rows.select_related(*PEOPLE).order_by("number")}
    found = sorted((row for row in last.values() if row.columns is not None), key=lambda row: row.title)
    return listed(found, PolicyVersionSerializer, request)


def _moment(given: dict) -> datetime:
    if day := given.get("day"):
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min)) - timedelta(microseconds=1)
    return given.get("at") or timezone.now()


@call("GET", gives=page_of(PolicyDraftSerializer), filters=DraftFilters)
def policy_drafts(request: Request) -> Response:
    """Changes of rules that wait or have waited, the newest first."""
    _looked_at_by(request, PolicyDraft)
    given = filters(DraftFilters, request)
    rows = Kind.among(PolicyDraft.objects.select_related(*PEOPLE).order_by("-made_at", "-id"), given)
    rows = rows.filter(state=given["state"]) if "state" in given else rows
    return paged(rows, PolicyDraftSerializer, request, cursor=given["cursor"], by="made_at")


def _draft(request: Request, key) -> PolicyDraft:
    _looked_at_by(request, PolicyDraft)
    return get_object_or_404(PolicyDraft.objects.select_related(*PEOPLE), pk=key)


def _shown(request: Request, draft: PolicyDraft) -> Response:
    return Response(OpenedDraftSerializer(draft, context={"request": request}).data)


@call("GET", gives=OpenedDraftSerializer)
def policy_draft(request: Request, key) -> Response:
    """One draft: what it changes, and who may do what with it."""
    return _shown(request, _draft(request, key))


def _step(request: Request, key, verb: str, **said) -> Response:
    draft = _draft(request, key)
    if barred := drafts_admin.why_not(request, draft, verb):
        raise Denied(str(barred))
    drafts_admin.STEPS[verb](draft, by=request.user, **said)
    return _shown(request, draft)


@call("POST", gives=OpenedDraftSerializer)
def submit_draft(request: Request, key) -> Response:
    """It comes into force, or waits for its day or for a second person. Look at `state`, and at `problem`."""
    return _step(request, key, "submit")


@call("POST", gives=OpenedDraftSerializer)
def approve_draft(request: Request, key) -> Response:
    """The second person's yes."""
    return _step(request, key, "approve")


@call("POST", takes=Decline, gives=OpenedDraftSerializer)
def decline_draft(request: Request, key) -> Response:
    """The second person's no: it is a draft again, with the reason as its problem."""
    return _step(request, key, "decline", **body(Decline, request))


@call("POST", gives=OpenedDraftSerializer)
def withdraw_draft(request: Request, key) -> Response:
    """It is given up. The rule stays as it is."""
    return _step(request, key, "withdraw")


@call("GET", gives=RehearsalSerializer)
def rehearse_draft(request: Request, key) -> Response:
    """Which decisions about studies would differ if it were in force. Nothing is written."""
    draft = _draft(request, key)
    if draft.state not in drafts.WAITING or versions.model_of(draft.kind) is None:
        raise Invalid("Only a draft that still waits is rehearsed.")
    found = whatif.effects(request, [drafts.wanted(draft)], past=True)
    return Response(RehearsalSerializer(found).data)
