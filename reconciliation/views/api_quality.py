"""REST: the numbers of record quality, and the letters to senders."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from orders.serializers import PatientSerializer
from reconciliation import defects, prefixing, queue
from reconciliation.models import Letter
from reconciliation.serializers import SourceSerializer
from reconciliation.views.api import call, filters, listed, page_of
from reconciliation.views.api_bodies import OneOf


class Period(serializers.Serializer):
    days = OneOf(defects.PERIODS, default=defects.PERIODS[0])


class DefectSerializer(serializers.Serializer):
    rule = serializers.CharField()
    findings = serializers.IntegerField()


class SourceDefectsSerializer(serializers.Serializer):
    """What rules found in studies of one source; rules that found nothing are left out."""

    source = SourceSerializer()
    studies = serializers.IntegerField(help_text="Received in the period.")
    defects = DefectSerializer(many=True)


class DefectTableSerializer(serializers.Serializer):
    days = serializers.IntegerField()
    sources = SourceDefectsSerializer(many=True)


class LetterSerializer(serializers.ModelSerializer):
    made_by = serializers.CharField()

    class Meta:
        model = Letter
        fields = ["id", "text", "made_by", "made_at"]


@call("GET", gives=DefectTableSerializer, filters=Period)
def quality(request: Request) -> Response:
    """How often each rule of record quality found something in the last days, by source."""
    table = defects.table(request.user, days=filters(Period, request)["days"])
    rows = [
        {
            "source": row.source,
            "studies": row.studies,
            "defects": [{"rule": code, "findings": n} for code, n in zip(table.codes, row.counts, strict=True) if n],
        }
        for row in table.rows
    ]
    return Response(DefectTableSerializer({"days": table.days, "sources": rows}).data)


@call("POST", gives=PatientSerializer)
def prefix(request: Request, key) -> Response:
    """The record under which a study that is read for others is imported: map the study to it. Made when there is none
    yet."""
    patient = prefixing.patient(queue.get(request.user, key), by=request.user)
    return Response(PatientSerializer(patient).data)


@call("GET", gives=page_of(LetterSerializer))
def letters(request: Request, key) -> Response:
    """What the sender is told about the rejection of a study, the newest first."""
    return listed(queue.look(request.user, key).letters.select_related("made_by"), LetterSerializer, request)
