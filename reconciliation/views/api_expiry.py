"""REST: what is over, whose deletion is approved, what is held; and another rule for one study."""

from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from orders.serializers import Known
from policies import authority
from policies.models import Power, RetentionRule
from policies.problems import Invalid
from reconciliation import expiry, keeping, queue, rejection_notes
from reconciliation.models import Deletion, LegalHold, RejectionNote
from reconciliation.serializers import StudySerializer
from reconciliation.views import api_bodies as bodies
from reconciliation.views.api import body, call, listed, page_of
from reconciliation.views.api_studies import seen, shown

MOST = 100  # studies in one list, and in one approval


class AgainstSerializer(serializers.Serializer):
    sentence = serializers.CharField()
    bars = serializers.BooleanField(help_text="Whether it cannot be approved because of this.")


class DueStudySerializer(serializers.Serializer):
    """A study whose retention is over; `person`: somebody decides about this very study."""

    study = serializers.UUIDField(source="study.pk")
    state = serializers.CharField(source="study.state")
    source = serializers.CharField(source="study.source.name")
    study_instance_uid = serializers.CharField(source="study.study_instance_uid")
    rule = serializers.CharField(source="rule.name")
    outcome = serializers.CharField(source="rule.outcome")
    due_on = serializers.DateField(source="due.day")
    arithmetic = serializers.CharField(source="due.sentence")
    instances = serializers.IntegerField(source="study.number_of_instances")
    bytes = serializers.IntegerField(source="study.size")
    against = AgainstSerializer(many=True)
    person = serializers.BooleanField(source="alone")


class DeletionSerializer(serializers.ModelSerializer):
    approved_by = serializers.CharField()
    waits = serializers.BooleanField(help_text="Whether a second person must agree first.")
    agreed_by = serializers.CharField(source="seconded_by", allow_null=True)
    agreed_at = serializers.DateTimeField(source="seconded_at", allow_null=True)
    rule = serializers.CharField(source="rule.name")

    class Meta:
        model = Deletion
        fields = ["id", "study", "state", "rule", "due_on", "arithmetic", "reason", "approved_by", "approved_at"]
        fields += ["waits", "agreed_by", "agreed_at", "not_before", "ended_at", "ended_by", "ended_why"]


class RefusedSerializer(serializers.Serializer):
    study = serializers.UUIDField()
    why = serializers.CharField()


class ApprovedSerializer(serializers.Serializer):
    approved = DeletionSerializer(many=True)
    refused = RefusedSerializer(many=True)


class RejectionNoteSerializer(serializers.ModelSerializer):
    """What an archive is told of a study that it got."""

    study = serializers.UUIDField(source="delivery.study_id")
    destination = serializers.CharField(source="delivery.destination.name")
    told_by = serializers.CharField(allow_null=True)

    class Meta:
        model = RejectionNote
        fields = ["id", "study", "destination", "title", "study_instance_uid", "state", "problem", "attempts", "due_at"]
        fields += ["made_at", "told_at", "told_by", "told_how"]


class HoldSerializer(serializers.ModelSerializer):
    placed_by = serializers.CharField()
    lifted_by = serializers.CharField(allow_null=True)

    class Meta:
        model = LegalHold
        fields = ["id", "study", "patient", "reason", "placed_by", "placed_at", "lifted_by", "lifted_at", "lifted_why"]


class ApproveDeletions(serializers.Serializer):
    studies = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=MOST)
    reason = serializers.CharField(max_length=2000)


class AgreeToDeletions(serializers.Serializer):
    deletions = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=MOST)


class NotAgreedSerializer(serializers.Serializer):
    deletion = serializers.UUIDField()
    why = serializers.CharField()


class AgreedSerializer(serializers.Serializer):
    agreed = DeletionSerializer(many=True)
    refused = NotAgreedSerializer(many=True)


class Why(serializers.Serializer):
    reason = serializers.CharField(max_length=2000)


class ToldHow(serializers.Serializer):
    how = serializers.CharField(max_length=2000, help_text="Whom you told there, and how.")


class PlaceHold(Why):
    whole_patient = serializers.BooleanField(default=False, help_text="Everything of the patient it is mapped to.")


class KeepStudy(bodies.Seen, Why):
    rule = Known(queryset=RetentionRule.objects.filter(active=True))


@call("GET", gives=page_of(DueStudySerializer))
def due(request: Request) -> Response:
    """Studies whose retention is over, the longest due first, with what stands against their deletion; 100 at most."""
    authority.require(request.user, Power.DELETE)
    rows = expiry.may_be_due(request.user)[:MOST]
    return listed(list(expiry.due(rows)), DueStudySerializer, request)


@call("POST", takes=ApproveDeletions, gives=ApprovedSerializer)
def approve_deletions(request: Request) -> Response:
    """Approve the deletion of these studies, after the grace time; each that cannot be approved with the reason why."""
    authority.require(request.user, Power.DELETE)
    given = body(ApproveDeletions, request)
    rows = list(expiry.may_be_due(request.user).filter(pk__in=given["studies"]))
    made, refused = expiry.approve_all(rows, reason=given["reason"], by=request.user)
    unknown = dict.fromkeys(set(given["studies"]) - {one.pk for one in rows}, "It is not on the list of what is due.")
    told = [{"study": key, "why": why} for key, why in {**refused, **unknown}.items()]
    return Response(ApprovedSerializer({"approved": made, "refused": told}).data)


@call("POST", takes=AgreeToDeletions, gives=AgreedSerializer)
def agree_deletions(request: Request) -> Response:
    """Agree, as the second person, to deletions that somebody else approved."""
    authority.require(request.user, Power.DELETE)
    asked = body(AgreeToDeletions, request)["deletions"]
    rows = list(expiry.approved(request.user).filter(pk__in=asked))
    made, refused = expiry.agree_all(rows, by=request.user)
    unknown = dict.fromkeys(set(asked) - {one.pk for one in rows}, "There is no such approval.")
    told = [{"deletion": key, "why": why} for key, why in {**refused, **unknown}.items()]
    return Response(AgreedSerializer({"agreed": made, "refused": told}).data)


@call("GET", gives=page_of(DeletionSerializer))
def approved(request: Request) -> Response:
    """Approvals that may still be taken back, and what is being deleted."""
    authority.require(request.user, Power.DELETE)
    return listed(expiry.approved(request.user), DeletionSerializer, request)


@call("POST", takes=Why, gives=DeletionSerializer)
def take_back(request: Request, key) -> Response:
    """Take an approval back, while the deletion has not begun."""
    authority.require(request.user, Power.DELETE)
    decision = get_object_or_404(expiry.approved(request.user), pk=key)
    expiry.take_back(decision, reason=body(Why, request)["reason"], by=request.user)
    decision.refresh_from_db()
    return Response(DeletionSerializer(decision).data)


@call("GET", gives=page_of(RejectionNoteSerializer))
def notes(request: Request) -> Response:
    """Archives that are still to be told that a study is over: by a note, or by a person."""
    authority.require(request.user, Power.DELETE)
    return listed(rejection_notes.untold(request.user), RejectionNoteSerializer, request)


@call("POST", gives=RejectionNoteSerializer)
def tell_archive(request: Request, key) -> Response:
    """Send a note (again) now."""
    note = _note(request, key)
    rejection_notes.again(note, by=request.user)
    return Response(RejectionNoteSerializer(note).data)


@call("POST", takes=ToldHow, gives=RejectionNoteSerializer)
def archive_told(request: Request, key) -> Response:
    """Record that a person told an archive."""
    note = _note(request, key)
    rejection_notes.told_by_hand(note, how=body(ToldHow, request)["how"], by=request.user)
    return Response(RejectionNoteSerializer(note).data)


def _note(request: Request, key) -> RejectionNote:
    authority.require(request.user, Power.DELETE)
    return get_object_or_404(rejection_notes.untold(request.user), pk=key)


@call("GET", gives=page_of(HoldSerializer))
def holds(request: Request) -> Response:
    """Live legal holds: nothing of these studies or patients is deleted."""
    authority.require(request.user, Power.DELETE)
    return listed(keeping.live_holds(request.user), HoldSerializer, request)


@call("POST", takes=PlaceHold, gives=HoldSerializer)
def hold(request: Request, key) -> Response:
    """Hold a study, or everything of its patient."""
    study, given = queue.get(request.user, key), body(PlaceHold, request)
    if given["whole_patient"] and study.local_patient is None:
        raise Invalid("This study has no patient of ours yet: hold the study itself.")
    what = {"patient": study.local_patient} if given["whole_patient"] else {"study": study}
    return Response(HoldSerializer(keeping.hold(**what, reason=given["reason"], by=request.user)).data)


@call("POST", takes=Why, gives=HoldSerializer)
def lift(request: Request, key) -> Response:
    """Lift a hold."""
    authority.require(request.user, Power.DELETE)
    held = get_object_or_404(keeping.live_holds(request.user), pk=key)
    keeping.lift(held, reason=body(Why, request)["reason"], by=request.user)
    return Response(HoldSerializer(held).data)


@call("POST", takes=KeepStudy, gives=StudySerializer)
def keep(request: Request, key) -> Response:
    """Keep one study by another rule from now on."""
    given = body(KeepStudy, request)
    keeping.rescue(seen(request, key, given), rule=given["rule"], reason=given["reason"], by=request.user)
    return shown(request, key)
