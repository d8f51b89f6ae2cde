"""REST: the consent of a study, the scanned form, and the withdrawal."""

from drf_spectacular.types import OpenApiTypes
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from policies.consent import Given
from policies.models import Basis, Purpose
from policies.rules import consent as rules
from reconciliation import clearance, consents, evidence, queue, withdrawal
from reconciliation import consent_serializers as shapes
from reconciliation.models import Consent, Study
from reconciliation.views import consent as pages
from reconciliation.views.api import body, call, described


def given(request: Request, study: Study, said: dict) -> Given | Consent:
    """A consent as the body of `clear` says it."""
    if again := said.get("again"):
        return consents.get_again(study, again, among=queue.visible_to(request.user))
    return Given(**{name: value for name, value in said.items() if name != "again"})


@call("GET", gives=shapes.StudyConsentSerializer)
def consent(request: Request, key) -> Response:
    """The consent that the study rests on, what policy asks, what may be used again, and what has gone out."""
    return shown(request, queue.look(request.user, key))


def shown(request: Request, study: Study) -> Response:
    among, of = queue.visible_to(request.user), study.consent
    gone = consents.gone_out(of, among) if of else []
    told = {
        "consent": of,
        "why_not": consents.why_not(study),
        "asked": [_asked(*pair) for pair in consents.asked(study, Purpose.values).items()],
        "reusable": consents.reusable(study, among),
        "gone_out": gone,
        "to_do": withdrawal.TO_DO if gone and of.withdrawn_at else "",
    }
    return Response(shapes.StudyConsentSerializer(told).data)


def _asked(purpose: str, decision: rules.Decision) -> dict:
    rule = decision.rule
    return {
        "purpose": purpose,
        "rule": rule.name if rule else "",
        "suffices": [basis for basis in Basis.values if decision.is_enough(basis)],
        "evidence": rule.evidence if rule else "any",
        "period": rule.period if rule else "",
        "sentence": rules.said(decision),
    }


@call("POST", takes=shapes.WithdrawConsent, gives=shapes.StudyConsentSerializer)
def withdraw_consent(request: Request, key) -> Response:
    """Record that the consent was withdrawn: what has not gone out stays here; answers with what has."""
    study, said = queue.get(request.user, key), body(shapes.WithdrawConsent, request)
    withdrawal.withdraw(withdrawal.of(study), by=request.user, **said)
    return shown(request, queue.get(request.user, key))


@call("POST", takes=shapes.RenewConsent, gives=shapes.StudyConsentSerializer)
def renew_consent(request: Request, key) -> Response:
    """Record a new consent on a released study whose consent was withdrawn or has ended."""
    study, said = queue.get(request.user, key), body(shapes.RenewConsent, request)
    study.version = said.get("version", study.version)
    clearance.renew(study, consent=given(request, study, said["consent"]), by=request.user)
    return shown(request, queue.get(request.user, key))


class Forms(APIView):
    parser_classes = [MultiPartParser]

    @described(
        "keep_consent_form", takes={"multipart/form-data": shapes.ConsentForm}, gives=shapes.ConsentEvidenceSerializer
    )
    def post(self, request: Request, key) -> Response:
        """Keep a scanned consent form for a study whose consent you may record now; name its id as `scan` then."""
        study = queue.get(request.user, key)
        kept = evidence.keep(study, body(shapes.ConsentForm, request)["file"], by=request.user)
        return Response(shapes.ConsentEvidenceSerializer(kept).data)


@call("GET", gives=OpenApiTypes.BINARY)
def consent_form(request: Request, key, evidence_key):
    """The scanned form, as a download."""
    return pages.download(queue.get(request.user, key), evidence_key, by=request.user)
