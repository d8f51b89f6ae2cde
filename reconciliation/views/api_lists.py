"""REST: what came in and from whom, what may be chosen, and who is asking."""

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from policies import authority
from policies.models import Destination, Power, Procedure, Reason, RetentionRule, User
from reconciliation import clearance, permission, queue
from reconciliation import serializers as shapes
from reconciliation.models import Instance, Study, Submission
from reconciliation.views import api_bodies as bodies
from reconciliation.views.api import call, filters, listed, page_of, paged, require_reader

SHOWN = 25  # unreadable arrivals of one submission in the list of submissions


def counted(user: User, *, at_most: int | None = None) -> QuerySet[Submission]:
    """With the number of objects that each one brought, and the arrivals that could not be read and may be told of."""
    of_one = Instance.objects.filter(submission=OuterRef("pk")).order_by().values("submission")
    number = Coalesce(Subquery(of_one.annotate(n=Count("pk")).values("n")), 0)
    unreadable = queue.unreadable(user).order_by("number")[:at_most]
    return (
        queue.submissions(user)
        .annotate(number_of_instances=number)
        .prefetch_related(queue.begun_with(user), Prefetch("unreadable", queryset=unreadable, to_attr="arrivals"))
    )


@call("GET", gives=page_of(shapes.SubmissionSerializer), filters=bodies.Cursor)
def submissions(request: Request) -> Response:
    """What was handed over, newest first, with counts and the first arrivals that could not be read."""
    rows = counted(request.user, at_most=SHOWN)
    cursor = filters(bodies.Cursor, request)["cursor"]
    return paged(rows, shapes.SubmissionSerializer, request, cursor=cursor)


@call("GET", gives=shapes.SubmissionSerializer)
def submission(request: Request, key) -> Response:
    """One submission with every arrival that could not be read."""
    rows = counted(request.user)
    return Response(shapes.SubmissionSerializer(get_object_or_404(rows, pk=key)).data)


@call("GET", gives=page_of(shapes.SourceSerializer))
def sources(request: Request) -> Response:
    """The sources whose studies you may see."""
    return listed(queue.sources(request.user), shapes.SourceSerializer, request)


@call("GET", gives=page_of(shapes.DestinationSerializer), filters=bodies.OfStudy)
def destinations(request: Request) -> Response:
    """Where you may release to: at all, or a given study."""
    study = of_study(request)
    asked = permission.about(study) if study else {}
    rows = [
        destination
        for destination in Destination.objects.filter(active=True)
        if not authority.why_not(request.user, Power.RELEASE, destination=destination, **asked)
    ]
    return listed(rows, shapes.DestinationSerializer, request)


def of_study(request: Request) -> Study | None:
    key = filters(bodies.OfStudy, request).get("study")
    return queue.get(request.user, key) if key else None


@call("GET", gives=page_of(shapes.OfferedRuleSerializer), filters=bodies.OfStudy)
def retention_rules(request: Request) -> Response:
    """The rules in use; for a given study the one that policy proposes comes first, marked as proposed."""
    require_reader(request)
    study = of_study(request)
    proposed = clearance.proposed_rule(study) if study else None
    rows = sorted(RetentionRule.objects.filter(active=True), key=lambda rule: rule != proposed)
    for rule in rows:
        rule.proposed = rule == proposed
    return listed(rows, shapes.OfferedRuleSerializer, request)


@call("GET", gives=page_of(shapes.ProcedureSerializer))
def procedures(request: Request) -> Response:
    """The procedures that a reconciliation order can be made for."""
    require_reader(request)
    return listed(Procedure.objects.filter(active=True), shapes.ProcedureSerializer, request)


@call("GET", gives=page_of(shapes.ReasonSerializer))
def reasons(request: Request) -> Response:
    """The reasons for which a study can be rejected."""
    require_reader(request)
    return listed(Reason.objects.filter(active=True), shapes.ReasonSerializer, request)


@call("GET", gives=shapes.MeSerializer)
def me(request: Request) -> Response:
    """Who you are, and what you may do where."""
    user = request.user
    said = {"id": user.pk, "username": user.username, "name": str(user), "powers": authority.in_force(user)}
    return Response(shapes.MeSerializer(said).data)
