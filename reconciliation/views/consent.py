"""The consent of a study on its page: what policy asks, what was recorded, its withdrawal, and the scanned form."""

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from policies import audit
from policies.consent import Given
from policies.models import Basis, Purpose, User
from policies.problems import Conflict
from reconciliation import clearance, consents, evidence, queue, withdrawal
from reconciliation.forms import Clearance, Withdrawal, read, version
from reconciliation.models import Consent, ConsentEvidence, Study

QUICK = {Basis.NONE: 0, Basis.TREATMENT: 1}


def asked(request: HttpRequest, study: Study) -> dict:
    """What the form of clearance shows before anything is typed."""
    decisions = consents.asked(study, Purpose.values)
    care = decisions[Purpose.CARE]
    free = any(decision.is_enough(Basis.NONE) for decision in decisions.values())
    bases = [(value, label, care.is_enough(value)) for value, label in Basis.choices if value != Basis.NONE or free]
    if care.rule:  # what suffices stands first, and the quickest of it before the rest
        bases.sort(key=lambda one: (not one[2], QUICK.get(one[0], len(QUICK))))
    return {
        "bases": bases,
        "purposes": Purpose.choices,
        "consent_asked": consents.said(decisions),
        "proof_asked": bool(care.rule) and care.rule.evidence != "any",
        "today": timezone.localdate(),
        "reusable": consents.reusable(study, queue.visible_to(request.user)),
    }


def standing(request: HttpRequest, study: Study) -> dict:
    """What the page says of a consent that was recorded, and what has gone out on the strength of a withdrawn one."""
    if study.consent is None:
        return {}
    found = {"may_not_withdraw": withdrawal.why_not(study.consent, request.user)}
    found["withdrawn_before"] = consents.withdrawn_before(study)
    if clearance.why_not_renew(study, request.user) is None:
        found |= asked(request, study) | {"may_renew": True, "consent_over": consents.why_over(study.consent, study)}
    if study.consent.withdrawn_at:
        found["gone_out"] = consents.gone_out(study.consent, queue.visible_to(request.user))
        found["to_do"] = withdrawal.TO_DO
    return found


@require_POST
def withdraw(request: HttpRequest, key) -> HttpResponse:
    """Record that the consent of this study was withdrawn; the page then shows what has gone out already."""
    study = queue.get(request.user, key)
    said = read(Withdrawal(request.POST))
    consent = withdrawal.of(study)
    stopped = withdrawal.withdraw(consent, by=request.user, reason=said["reason"], given_by=said["given_by"])
    more = f" {len(stopped)} studies rest on it." if len(stopped) > 1 else ""
    messages.success(request, f"The consent is withdrawn: what has not been sent stays here.{more}")
    return _reloaded(request, study)


def _reloaded(request: HttpRequest, study: Study) -> HttpResponse:
    if not request.htmx:
        return redirect("study", study.pk)
    response = HttpResponse(status=204)
    response["HX-Refresh"] = "true"
    return response


@require_POST
def renew(request: HttpRequest, key) -> HttpResponse:
    """Record a new consent on a released study whose consent is over."""
    study, form = queue.get(request.user, key), Clearance(request.POST, request.FILES)
    study.version = version(request)
    read(form)
    clearance.renew(study, consent=typed(request, study, form), by=request.user)
    messages.success(request, "Recorded. What waited for a consent goes on.")
    return _reloaded(request, study)


def typed(request: HttpRequest, study: Study, form: Clearance) -> Given | Consent:
    """As it was typed, with its scan kept first; or one given before, chosen by a click."""
    if again := form.cleaned_data["again"]:
        return consents.get_again(study, again, among=queue.visible_to(request.user))
    file = form.cleaned_data["scan"]
    return form.given(evidence.keep(study, file, by=request.user) if file else None)


@require_GET
def scan(request: HttpRequest, key, evidence_key) -> HttpResponse:
    """The scanned form, as a download alone."""
    return download(queue.get(request.user, key), evidence_key, by=request.user)


def download(study: Study, key, *, by: User) -> FileResponse:
    """A form that was kept for the study, or proves the consent that it rests on; who looked at it is in the ledger."""
    kept = get_object_or_404(ConsentEvidence, pk=key)
    if kept.study_id != study.pk and (study.consent is None or study.consent.scan_id != kept.pk):
        raise Http404
    try:
        file = evidence.path(kept.digest).open("rb")
    except OSError:
        raise Conflict("The scanned form is not at its place in the store. Tell the operators.") from None
    audit.record(by, "read consent form", study, detail={"digest": kept.digest})
    name = f"consent-{kept.digest[:12]}.{kept.get_media_type_display().lower()}"
    response = FileResponse(file, as_attachment=True, filename=name, content_type=kept.media_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, no-store"
    return response
