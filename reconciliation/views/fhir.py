"""FHIR R4: recorded consents to read and to search, for those who may view their studies."""

from collections.abc import Mapping

from django.http import Http404
from django.urls import reverse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import FormParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from policies import audit
from policies.problems import Invalid
from policies.rules import fhir_consent
from reconciliation import fhir, queue
from reconciliation.views import api

MOST = 200  # resources in one answer
CODES = {401: "login", 403: "forbidden", 404: "not-found", 409: "conflict", 422: "invalid"}  # issue-type
SEARCHED = {"patient", "patient.identifier", "patient:identifier"}
OF_THE_FORM = {"_format", "_pretty"}


class FHIR(JSONRenderer):
    media_type = "application/fhir+json"
    charset = "utf-8"


class Always(BaseContentNegotiation):
    """There is one representation, whatever was asked for."""

    def select_parser(self, request, parsers):
        return parsers[0]

    def select_renderer(self, request, renderers, format_suffix=None):
        return renderers[0], renderers[0].media_type


class Resources(APIView):
    """What every call of FHIR has alike: its media type, and refusals as OperationOutcome."""

    renderer_classes = [FHIR]
    parser_classes = [FormParser]
    content_negotiation_class = Always
    schema = None

    def handle_exception(self, exc: Exception) -> Response:
        response = api.refuse(exc, {})
        if response is None:
            raise exc
        code = CODES.get(response.status_code, "processing")
        response.data = fhir_consent.outcome(code, response.data["detail"])
        response.exception = True
        return response


class Consent(Resources):
    def get(self, request: Request, key) -> Response:
        among = queue.visible_to(request.user)
        found = fhir.consents(among).filter(key=key).first()
        if found is None:
            raise Http404
        audit.record(request.user, "read consent", found.study, detail={"consent": str(found.key)})
        return Response(fhir.resources([found], among)[0])


class Consents(Resources):
    def get(self, request: Request) -> Response:
        """Search by `patient` alone, an identifier: nobody lists all consents."""
        return self._found(request, request.query_params)

    def post(self, request: Request) -> Response:
        """The same at `_search`: an identifier in a body is in no log of addresses."""
        return self._found(request, request.data)

    def _found(self, request: Request, given: Mapping[str, str]) -> Response:
        asked = {name: value for name, value in given.items() if name not in OF_THE_FORM}
        if strangers := asked.keys() - SEARCHED:
            raise Invalid(f"There is no search by {', '.join(sorted(strangers))}. Search by patient=system|value.")
        token = next((value.strip() for value in asked.values() if value.strip("| ")), "")
        if not token:
            raise Invalid("Say whose consents: patient=system|value, an identifier of the patient.")
        among = queue.visible_to(request.user)
        rows = list(fhir.of_patient(fhir.consents(among), token)[:MOST])
        if rows and rows[0].patient:
            audit.record(request.user, "read consent", rows[0].patient, detail={"found": len(rows)})
        address = request.build_absolute_uri(reverse("fhir_consents"))
        return Response(fhir_consent.bundle(fhir.resources(rows, among), address))
