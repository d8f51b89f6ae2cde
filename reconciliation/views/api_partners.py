"""REST: partners tested, as by the button in the administration."""

from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from policies.models import Destination
from policies.problems import Denied
from policies.trials import record
from reconciliation import trials
from reconciliation.views.api import call


class TrialSerializer(serializers.Serializer):
    answers = serializers.BooleanField(help_text="Whether it would take a study.")
    sentence = serializers.CharField(help_text="What came of it, in words.")


@call("POST", gives=TrialSerializer)
def test_destination(request: Request, key) -> Response:
    """Call a destination as it is stored (C-ECHO, or a DICOMweb query that finds nothing), and say what came of it."""
    if not request.user.has_perm("policies.change_destination"):
        raise Denied("Only who may change destinations may test them.")
    to = get_object_or_404(Destination, pk=key)
    return Response(TrialSerializer(record(trials.destination(to), to, by=request.user)._asdict()).data)
