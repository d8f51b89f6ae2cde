"""REST: studies, and every step that a person takes with them. Each call is one verb of the belt."""

import logging
from dataclasses import asdict

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orders.models import Lookup
from policies import audit
from reconciliation import (
    approvals,
    asking,
    category,
    clearance,
    delivery,
    intake,
    lease,
    mapping,
    matching,
    queue,
    release,
    renaming,
)
from reconciliation import serializers as shapes
from reconciliation.models import Delivery, Study
from reconciliation.views import api_bodies as bodies
from reconciliation.views import api_consent
from reconciliation.views.api import body, call, described, filters, listed, page_of, paged

log = logging.getLogger(__name__)
RELATED = (
    "submission",
    "order__patient",
    "consent__recorded_by",
    "consent__withdrawn_by",
    "retention",
    "released_by",
    "rejected_for",
    "follows__source",
)
FOLLOWED = (
    "findings__overridden_by",
    "local_patient__identifiers",
    "order__patient__identifiers",
    "approvals__asked_by",
)


def whole(rows: QuerySet[Study]) -> QuerySet[Study]:
    """With everything that the representation shows, in a constant number of queries."""
    return rows.select_related(*RELATED).prefetch_related(*FOLLOWED)


def seen(request: Request, key, given: dict) -> Study:
    """The study as the caller saw it: with the version that they name, else as it is now."""
    study = queue.get(request.user, key)
    study.version = given.get("version", study.version)
    return study


def represented(request: Request, key) -> dict:
    """The study as it is now."""
    study = get_object_or_404(whole(queue.studies(request.user, {})), pk=key)
    return shapes.StudySerializer(study, context={"request": request}).data


def shown(request: Request, key) -> Response:
    return Response(represented(request, key))


def of_uids(given: dict) -> renaming.Choice:
    return renaming.Choice(new_uids=given["new_uids"], doubled=given["doubled"])


def as_json(changes: list) -> list[dict]:
    return [change.to_json() for change in changes]


@call("GET", gives=page_of(shapes.StudySerializer), filters=bodies.StudyFilters)
def studies(request: Request) -> Response:
    """The studies that you may see, newest first; above them those with a new candidate that nobody saw."""
    given = filters(bodies.StudyFilters, request)
    asked = {name: str(value) for name, value in given.items() if value}
    if "q" in asked:
        audit.looked(request.user, "studies", key=asked["q"][:64], verb="search studies")
    rows = whole(queue.studies(request.user, asked))
    return paged(rows, shapes.StudySerializer, request, cursor=given["cursor"], by="queued_at")


@call("GET", gives=shapes.StudySerializer)
def study(request: Request, key) -> Response:
    """One study: as received, as mapped, what was found, who has it, and which steps lead on."""
    queue.look(request.user, key)
    return shown(request, key)


class Lease(APIView):
    @described("take_lease", takes=bodies.TakeLease, gives=shapes.StudySerializer)
    def post(self, request: Request, key) -> Response:
        """Take or renew the lease. Taking it over from somebody needs a reason."""
        given = body(bodies.TakeLease, request)
        lease.take(queue.look(request.user, key), by=request.user, reason=given["reason"])
        return shown(request, key)

    @described("give_back_lease", gives=shapes.StudySerializer)
    def delete(self, request: Request, key) -> Response:
        """Give your lease back; somebody else's stays as it is."""
        lease.give_back(queue.get(request.user, key), by=request.user)
        return shown(request, key)


@call("GET", gives=page_of(shapes.ProposalSerializer))
def proposals(request: Request, key) -> Response:
    """Candidates with their evidence, the best first. Nothing is chosen by them."""
    study = queue.look(request.user, key)
    matching.refresh(study)
    rows = study.proposals.filter(patient__merged_into=None).select_related("patient", "order__patient")
    found = rows.prefetch_related("patient__identifiers", "order__patient__identifiers")
    return listed(found, shapes.ProposalSerializer, request)


class LookUp(APIView):
    @described("look_up", gives=shapes.LookupSerializer)
    def post(self, request: Request, key) -> Response:
        """Have worklists and demographics sources asked about a held study. Ask by GET until it is no longer open."""
        row = asking.request(queue.get(request.user, key), by=request.user)
        return Response(shapes.LookupSerializer(row).data)

    @described("looked_up", gives=shapes.LookupSerializer)
    def get(self, request: Request, key) -> Response:
        """What those systems said when they were asked last, and why one said nothing."""
        row = asking.of(queue.look(request.user, key))
        return Response(shapes.LookupSerializer(row or Lookup()).data)


@call("GET", gives=shapes.PreviewSerializer, filters=bodies.Plan)
def preview(request: Request, key) -> Response:
    """The changes that mapping to this order or patient would make. Nothing is stored."""
    given, study = filters(bodies.Plan, request), queue.look(request.user, key)
    renamed = renaming.plan(study, of_uids(given))
    found = mapping.preview(study, order=given["order"], patient=given["patient"], intent=given["intent"])
    shown = mapping.fingerprint(found, renamed)
    return Response({"changes": as_json(found), "uids": asdict(renamed), "shown": shown})


@call("POST", takes=bodies.MapStudy, gives=shapes.MappedSerializer)
def map_study(request: Request, key) -> Response:
    """Map the study to an order, or to a patient without one; answers with the changes that follow."""
    given = body(bodies.MapStudy, request)
    choice = {name: given[name] for name in ("order", "patient", "intent", "shown")}
    made = mapping.apply(seen(request, key, given), by=request.user, uids=of_uids(given), **choice)
    uids = asdict(renaming.of(made))
    return Response({"study": represented(request, key), "changes": made.changes, "uids": uids})


@call("POST", takes=bodies.Seen, gives=shapes.MappedSerializer)
def map_again(request: Request, key) -> Response:
    """The same order and purpose for the record that the patient's was merged into, in one step."""
    made = mapping.again(seen(request, key, body(bodies.Seen, request)), by=request.user)
    return Response({"study": represented(request, key), "changes": made.changes})


@call("GET", gives=shapes.DecidedSerializer)
def changes(request: Request, key) -> Response:
    """The mapping that stands and its changes, as they will be or were sent; none while the study is not mapped."""
    made = queue.look(request.user, key).mapping
    stands = made and shapes.MappingSerializer(made).data
    uids = asdict(renaming.of(made))
    return Response({"mapping": stands, "changes": made.changes if made else [], "uids": uids})


@call("POST", takes=bodies.UnmapStudy, gives=shapes.StudySerializer)
def unmap(request: Request, key) -> Response:
    """Undo the mapping, and what was cleared on the strength of it."""
    given = body(bodies.UnmapStudy, request)
    mapping.unmap(seen(request, key, given), by=request.user, reason=given["reason"])
    return shown(request, key)


@call("POST", takes=bodies.Seen, gives=shapes.StudySerializer)
def settle(request: Request, key) -> Response:
    """Do not wait for more objects: the study is held from now on."""
    intake.settle(seen(request, key, body(bodies.Seen, request)), by=request.user)
    return shown(request, key)


@call("POST", takes=bodies.Categorise, gives=shapes.StudySerializer)
def categorise(request: Request, key) -> Response:
    """Say why the study is here, when it is not for what its source is said to send."""
    given = body(bodies.Categorise, request)
    category.assign(seen(request, key, given), given["category"], by=request.user)
    return shown(request, key)


@call("POST", takes=bodies.ClearStudy, gives=shapes.StudySerializer)
def clear(request: Request, key) -> Response:
    """Record consent and retention, and override findings with reasons; refused while something stands open."""
    given = body(bodies.ClearStudy, request)
    study = seen(request, key, given)
    clearance.clear(
        study,
        consent=api_consent.given(request, study, given["consent"]),
        by=request.user,
        rule=given["retention"],
        rule_reason=given["retention_reason"],
        overrides={one["code"]: one["reason"] for one in given["overrides"]},
    )
    return shown(request, key)


@call("POST", takes=bodies.ReleaseStudy, gives=shapes.StudySerializer)
def release_study(request: Request, key) -> Response:
    """Open the gate toward these destinations; where policy wants two persons, ask for it: see `approval`."""
    given = body(bodies.ReleaseStudy, request)
    destinations = list(dict.fromkeys(given["destinations"]))
    approvals.request(seen(request, key, given), to=destinations, by=request.user)
    return shown(request, key)


@call("POST", takes=bodies.Seen, gives=shapes.StudySerializer)
def approve(request: Request, key) -> Response:
    """Approve, as the second person, the release that somebody else asked for."""
    approvals.approve(seen(request, key, body(bodies.Seen, request)), by=request.user)
    return shown(request, key)


@call("POST", takes=bodies.DeclineRelease, gives=shapes.StudySerializer)
def decline(request: Request, key) -> Response:
    """Decline, as the second person, the release that somebody else asked for."""
    given = body(bodies.DeclineRelease, request)
    approvals.decline(seen(request, key, given), by=request.user, reason=given["reason"])
    return shown(request, key)


@call("POST", takes=bodies.Seen, gives=shapes.StudySerializer)
def withdraw(request: Request, key) -> Response:
    """Take back the release that you asked for."""
    approvals.withdraw(seen(request, key, body(bodies.Seen, request)), by=request.user)
    return shown(request, key)


@call("POST", takes=bodies.RejectStudy, gives=shapes.StudySerializer)
def reject(request: Request, key) -> Response:
    """Keep the study out, for a reason of reasons/."""
    given = body(bodies.RejectStudy, request)
    release.reject(seen(request, key, given), reason=given["reason"], by=request.user, comment=given["comment"])
    return shown(request, key)


@call("POST", takes=bodies.ReinstateStudy, gives=shapes.StudySerializer)
def reinstate(request: Request, key) -> Response:
    """Take a rejection back: the study is held again."""
    given = body(bodies.ReinstateStudy, request)
    release.reinstate(seen(request, key, given), by=request.user, comment=given["comment"])
    return shown(request, key)


@call("GET", gives=page_of(shapes.LedgerLineSerializer))
def history(request: Request, key) -> Response:
    """What was done to this study, newest first. Whoever may see a study may see what was done to it."""
    study = queue.look(request.user, key)
    return listed(audit.history(study, study.order_id), shapes.LedgerLineSerializer, request)


@call("GET", gives=page_of(shapes.DeliverySerializer))
def deliveries(request: Request, key) -> Response:
    """Where this study is on its way to."""
    return listed(queue.deliveries(queue.get(request.user, key)), shapes.DeliverySerializer, request)


@call("POST", gives=shapes.DeliverySerializer)
def retry(request: Request, key) -> Response:
    """Put a refused or waiting delivery back at the head of the queue."""
    visible = Delivery.objects.filter(study__in=queue.visible_to(request.user))
    asked = get_object_or_404(visible.select_related("study__source", "destination"), pk=key)
    delivery.retry(asked, by=request.user)
    now = next(one for one in queue.deliveries(asked.study) if one.pk == asked.pk)
    return Response(shapes.DeliverySerializer(now, context={"request": request}).data)
