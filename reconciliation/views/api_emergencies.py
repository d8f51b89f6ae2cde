"""REST: emergency access and its review."""

from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from policies import authority
from policies.models import Power
from reconciliation import emergency
from reconciliation.models import EmergencyAccess
from reconciliation.views.api import body, call, described, filters, page_of, paged
from reconciliation.views.api_bodies import Cursor


class EmergencySerializer(serializers.ModelSerializer):
    by = serializers.CharField()
    reviewed_by = serializers.CharField(allow_null=True)

    class Meta:
        model = EmergencyAccess
        fields = ["id", "study", "by", "reason", "opened_at", "until", "reviewed_by", "reviewed_at", "comment"]


class OpenInEmergency(serializers.Serializer):
    number = serializers.CharField(
        max_length=128, help_text="Exactly a Study Instance UID, an accession number, or a patient ID."
    )
    reason = serializers.CharField(max_length=2000, help_text="An alarm goes out, and somebody else reviews it.")


class ReviewEmergency(serializers.Serializer):
    comment = serializers.CharField(max_length=2000)


class Emergencies(APIView):
    @described("emergencies", gives=page_of(EmergencySerializer), filters=Cursor)
    def get(self, request: Request) -> Response:
        """Every emergency access, newest first, for those who read the ledger."""
        authority.require(request.user, Power.AUDIT)
        cursor = filters(Cursor, request)["cursor"]
        return paged(emergency.accesses(), EmergencySerializer, request, cursor=cursor, by="opened_at")

    @described("open_in_emergency", takes=OpenInEmergency, gives=EmergencySerializer(many=True), status=201)
    def post(self, request: Request) -> Response:
        """Open what has exactly this number, for a time, to view and reconcile it."""
        given = body(OpenInEmergency, request)
        opened = emergency.enter(given["number"], reason=given["reason"], by=request.user)
        return Response(EmergencySerializer(opened, many=True).data, status=201)


@call("POST", takes=ReviewEmergency, gives=EmergencySerializer)
def review_emergency(request: Request, key) -> Response:
    """Say what you found; never about an access of your own."""
    authority.require(request.user, Power.AUDIT)
    access = get_object_or_404(emergency.accesses(), pk=key)
    emergency.review(access, by=request.user, comment=body(ReviewEmergency, request)["comment"])
    return Response(EmergencySerializer(emergency.accesses().get(pk=key)).data)
