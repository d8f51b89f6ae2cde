"""REST: our patients and orders. They belong to no source: whoever may view studies of one may look for them."""

from uuid import UUID

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orders import entry, generation, outbound, queries
from orders.models import Notice, Order, Patient
from orders.serializers import (
    EnterOrderSerializer,
    GenerateOrderSerializer,
    NoticeSerializer,
    PatientSerializer,
    ToldOrderSerializer,
)
from policies import audit
from policies.models import Source
from policies.problems import Invalid
from reconciliation import ordering, queue
from reconciliation.views import api_bodies as bodies
from reconciliation.views.api import body, call, described, filters, listed, page_of, paged, require_reader

MADE = PolymorphicProxySerializer(
    component_name="MakeOrder",
    serializers=[GenerateOrderSerializer, EnterOrderSerializer],
    resource_type_field_name=None,
)


class Orders(APIView):
    @described("orders", gives=page_of(ToldOrderSerializer), filters=bodies.OrderFilters)
    def get(self, request: Request) -> Response:
        """Orders, newest first: of one patient, or of those whom a search finds."""
        require_reader(request)
        given = filters(bodies.OrderFilters, request)
        if given["q"]:
            audit.looked(request.user, "patients", key=given["q"][:64], verb="search patients")
        if patient := Patient.objects.filter(pk=given.get("patient")).first():
            audit.looked(request.user, patient)
        return paged(orders_found(given), ToldOrderSerializer, request, cursor=given["cursor"], by="created_at")

    @described("make_order", takes=MADE, gives=ToldOrderSerializer, status=201)
    def post(self, request: Request) -> Response:
        """Generate a reconciliation order; with `origin` "entered", enter the order of another system by hand."""
        entered = isinstance(request.data, dict) and request.data.get("origin") == Order.Origin.ENTERED
        made = entered_order(request) if entered else generated_order(request)
        return Response(represented(made.pk), status=201)


def represented(key) -> dict:
    return ToldOrderSerializer(get_object_or_404(bodies.TOLD_ORDERS, pk=key)).data


def orders_found(given: dict) -> QuerySet[Order]:
    """An accession number names its order; any other search finds the orders of the patients that it finds."""
    rows = bodies.TOLD_ORDERS.order_by("-created_at", "-id")
    if patient := given.get("patient"):
        rows = rows.filter(patient=patient)
    if words := given["q"]:
        numbered = rows.filter(accession_number__iexact=words)
        patients = queries.search_patients(words).order_by().values("pk")
        return numbered if numbered.exists() else rows.filter(patient__in=patients)
    return rows


def entered_order(request: Request) -> Order:
    given = body(EnterOrderSerializer, request)
    columns = {name: value for name, value in given.items() if name not in ("origin", "patient")}
    return entry.enter(given["patient"], by=request.user, **columns)


def generated_order(request: Request) -> Order:
    given = body(GenerateOrderSerializer, request)
    if key := given.get("study"):
        study = queue.get(request.user, key)
        chosen = {name: given[name] for name in ("procedure", "requester") if name in given}
        return ordering.generate(study, given["patient"], by=request.user, **chosen)
    if "procedure" not in given:
        raise ValidationError({"procedure": ["Name the procedure, or the study that the order is for."]})
    source = given.get("source") and source_named(request, given["source"])
    return generation.generate(
        given["patient"],
        procedure=given["procedure"],
        by=request.user,
        body_part=given.get("body_part", ""),
        about={"source": source},
    )


def source_named(request: Request, key) -> Source:
    if (source := queue.sources(request.user).filter(pk=key).first()) is None:
        raise ValidationError({"source": ["There is nothing with this id to choose."]})
    return source


@call("GET", gives=ToldOrderSerializer)
def order(request: Request, key) -> Response:
    """One order with its patient."""
    require_reader(request)
    found = get_object_or_404(bodies.TOLD_ORDERS, pk=key)
    audit.looked(request.user, found.patient)
    return Response(ToldOrderSerializer(found).data)


@call("POST", takes=bodies.CancelOrder, gives=ToldOrderSerializer)
def cancel_order(request: Request, key) -> Response:
    """Cancel an order that was generated here; the order system that knows of it is told."""
    require_reader(request)
    reason = body(bodies.CancelOrder, request)["reason"]
    ordering.cancel(get_object_or_404(bodies.ORDERS, pk=key), by=request.user, reason=reason)
    return Response(represented(key))


@call("POST", gives=NoticeSerializer)
def tell_again(request: Request, key) -> Response:
    """Tell an order system again: with another control ID when the order, the patient or the system was corrected."""
    require_reader(request)
    notices = Notice.objects.select_related("system", "order__patient")
    outbound.retry(get_object_or_404(notices, pk=key), by=request.user)
    return Response(NoticeSerializer(notices.get(pk=key)).data)


class Patients(APIView):
    @described("patients", gives=page_of(PatientSerializer), filters=bodies.PatientFilters)
    def get(self, request: Request) -> Response:
        """Patients whom a search finds, by name; none without one."""
        require_reader(request)
        given = filters(bodies.PatientFilters, request)
        if given["q"]:
            audit.looked(request.user, "patients", key=given["q"][:64], verb="search patients")
        found = patients_after(queries.search_patients(given["q"]), given.get("cursor"))
        more = len(found) > queue.PAGE
        following = str(found[queue.PAGE - 1].pk) if more else ""
        return listed(found[: queue.PAGE], PatientSerializer, request, following=following)

    @described("register_patient", takes=PatientSerializer, gives=PatientSerializer, status=201)
    def post(self, request: Request) -> Response:
        """Register a patient by hand, with at least one identifier of ours."""
        made = entry.register(by=request.user, **body(PatientSerializer, request))
        return Response(PatientSerializer(made).data, status=201)


def patients_after(rows: QuerySet[Patient], key: UUID | None) -> list[Patient]:
    """The patients that follow one by name: a page, and one row more if there is another page."""
    if key:
        if (last := Patient.objects.filter(pk=key).first()) is None:
            raise Invalid("The patient with whom the last page ended is gone. Start again from the first page.")
        seen = Q(name_key=last.name_key, pk__lte=last.pk)
        rows = rows.filter(name_key__gte=last.name_key).exclude(seen)
    return list(rows[: queue.PAGE + 1])


@call("GET", gives=PatientSerializer)
def patient(request: Request, key) -> Response:
    """One patient with all identifiers."""
    require_reader(request)
    found = get_object_or_404(bodies.PATIENTS, pk=key)
    audit.looked(request.user, found)
    return Response(PatientSerializer(found).data)
