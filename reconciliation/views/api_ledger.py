"""REST: the ledger for auditors: searched, exported, verified."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from policies import audit, authority, reading
from policies.models import Power
from reconciliation import serializers as shapes
from reconciliation.views import api_bodies as bodies
from reconciliation.views import records
from reconciliation.views.api import body, call, filters, listed, page_of


@call("GET", gives=page_of(shapes.LedgerSerializer), filters=bodies.LedgerFilters)
def ledger(request: Request) -> Response:
    """Every deed, newest first. A page may be empty and have a next one: free words are looked for piece by piece."""
    authority.require(request.user, Power.AUDIT)
    given = filters(bodies.LedgerFilters, request)
    asked = records.asked(records.allowed(request.user, given))
    audit.looked(request.user, "ledger", key="ledger", verb="read ledger")
    page = reading.page(asked, before=given["cursor"])
    return listed(page.lines, shapes.LedgerSerializer, request, following=str(page.next or ""))


@call("GET", gives=OpenApiTypes.STR, filters=bodies.LedgerExport)
def export(request: Request, kind: str) -> StreamingHttpResponse:
    """The lines under these filters as `csv` or `ndjson`; the last record says how far the export goes."""
    authority.require(request.user, Power.AUDIT)
    given = filters(bodies.LedgerExport, request)
    return records.as_file(records.allowed(request.user, given), kind, by=request.user, reason=given["reason"])


@call("POST", takes=bodies.CheckLedger, gives=shapes.CheckedSerializer)
def verify(request: Request) -> Response:
    """Check a stretch of the chain; go on after its last line until it is done."""
    authority.require(request.user, Power.AUDIT)
    walked = records.step(request.user, body(bodies.CheckLedger, request)["after"])
    return Response(walked._asdict())
