"""The study page: everything that one decision needs, and its parts."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from orders import outbound
from orders.models import Order, Patient
from orders.patients import root
from policies import audit, quality
from policies.models import Category, Destination, Intent, Power, Procedure, Reason, RetentionRule, User
from policies.problems import Conflict, Denied, Invalid
from policies.rules.matching import Class
from policies.rules.quality import Severity
from reconciliation import (
    amending,
    approvals,
    asking,
    category,
    clearance,
    consents,
    delivery,
    emergency,
    forms,
    four_eyes,
    keeping,
    lease,
    local,
    mapping,
    ordering,
    permission,
    prefixing,
    queue,
    rejection_notes,
    renaming,
    workflow,
)
from reconciliation.models import Deletion, Delivery, Finding, Study
from reconciliation.views import cards, consent, news, pictures, rewriting, searches

State = Study.State
LIVE = (Deletion.State.APPROVED, Deletion.State.DELETING)
WORDS = {verb: step.words for verb, step in workflow.MOVES.items()}
GRAVEST = (Finding.Severity.BLOCK, Finding.Severity.OVERRIDE, Finding.Severity.WARN)
HISTORY = 50  # lines shown on the page; the ledger has the rest
# Where work goes on after a step: the desk returns to what is held, the releasing officer to what is cleared.
GOES_ON = {
    **dict.fromkeys(("release", "ask", "decline"), State.CLEARED),
    **dict.fromkeys(("settle", "map", "unmap", "clear", "reject"), State.HELD),
}
# What a study in a state waits for: who may not take this step only reads, and keeps nobody out by looking.
MAIN = {
    State.RECEIVING: "settle",
    State.HELD: "map",
    State.MAPPED: "clear",
    State.CLEARED: "release",
    State.REJECTED: "reinstate",
}
OFFICER = "A releasing officer must override this."
GIVEN_BACK = (
    "clear",
    "release",
    "ask",
    "decline",
    "reject",
)  # the verbs that end the lease: the next person must not find it taken


@require_GET
def show(request: HttpRequest, key) -> HttpResponse:
    study = queue.look(request.user, key)
    if "expiry" not in request.GET:  # to check what may be deleted is no use of it
        keeping.viewed(study)
    return render(request, "reconciliation/study.html", context(request, study))


def after(request: HttpRequest, study: Study, verb: str, **more) -> HttpResponse:
    """The page after a step that was taken: the whole of it for a plain form, its inside for htmx."""
    if not request.htmx:
        query = urlencode({"did": verb, **more})
        return redirect(f"{reverse('study', args=[study.pk])}?{query}")
    study = queue.get(request.user, study.pk)
    return render(request, "reconciliation/_study.html", context(request, study, did=verb, **more))


def context(request: HttpRequest, study: Study, *, did: str = "", choice: str = "") -> dict:
    """What the page shows. `did` is the step just taken; `choice` is "order:<key>" or "patient:<key>"."""
    did = did or request.GET.get("did", "")
    offered = _offered(study, request.user)
    findings = sorted(study.findings.select_related("overridden_by"), key=lambda one: GRAVEST.index(one.severity))
    found = {
        "study": study,
        "back": searches.last_list(request),
        "offered": offered,
        "words": WORDS,
        "barred": _barred_throughout(offered),
        "holder": lease.holder(study),
        "leasing": did not in GIVEN_BACK and "expiry" not in request.GET,
        "only_read": _why_only_read(study, request.user),
        "emergency": emergency.live(study, request.user),
        "pictures": pictures.of_study(study),
        "findings": findings,
        "blocking": [one for one in findings if one.is_open and one.severity == "block"],
        **_overriding(request, study, findings),
        "first_part": _first_part(request, study),
        "history": audit.history(study, study.order_id)[:HISTORY],
        "may_order": not permission.why_not(request.user, Power.ORDER, study),
        "may_categorise": category.why_not(study, request.user) is None,
        "categories": Category.choices,
        "reasons": Reason.objects.filter(active=True) if "reject" in offered else (),
        "proposed_reason": quality.proposed_reason([one.rule for one in findings if one.rule]),
        **_going_on(request, study, did),
        **(_keeping(request, study) if study.state != State.RECEIVING else {}),
    }
    return found | STAGES.get(study.state, _decided)(request, study, choice or request.GET.get("choice", ""))


def _offered(study: Study, user: User) -> dict[str, str]:
    """The steps of this state. Rejecting is not spoken of to those who may never do it."""
    offered = workflow.offered(study, user)
    if permission.why_not(user, Power.REJECT, study):
        offered.pop("reject", None)
    return offered


def _why_only_read(study: Study, user: User) -> str:
    """Say why a person may not take the step that a study in this state waits for, or ""."""
    if study.state not in MAIN:
        return "No step is left to take."
    return permission.why_not(user, workflow.MOVES[MAIN[study.state]].power, study)


def _overriding(request: HttpRequest, study: Study, findings: list[Finding]) -> dict:
    """The findings that somebody must override, and what to say to a person who may not."""
    barred = permission.why_not(request.user, Power.OVERRIDE, study)
    to_override = [one for one in findings if one.is_open and one.severity == Severity.OVERRIDE]
    return {
        "may_not_override": barred,
        "to_override": to_override,
        "officer": OFFICER if barred and to_override else "",
    }


def _first_part(request: HttpRequest, study: Study) -> Study | None:
    """The part that this one follows, when this person may see it."""
    parts = queue.visible_to(request.user).select_related("local_patient", "order")
    return parts.filter(pk=study.follows_id).first() if study.follows_id else None


def _barred_throughout(offered: dict[str, str]) -> str:
    """The one reason that bars every step, "" when there is none: said once instead of at every button."""
    reasons = set(offered.values())
    return reasons.pop() if len(reasons) == 1 else ""


def _going_on(request: HttpRequest, study: Study, did: str) -> dict:
    counts = queue.counts(request.user)
    counts[study.state] -= not (study.segregated and study.state in queue.OPEN_STATES)
    state = GOES_ON.get(did, study.state if study.state in queue.OPEN_STATES else _home(request.user, study))
    state = state if counts[state] else State.HELD
    waiting = counts[state]
    return {"next_state": state, "next_label": State(state).label, "waiting": waiting}


def _home(user: User, study: Study) -> str:
    """Where a person goes on from a study that has left the open ones: an officer came from what is cleared."""
    released = study.state in (State.RELEASED, State.DELIVERED)
    return State.CLEARED if released and not permission.why_not(user, Power.RELEASE, study) else State.HELD


# --- the stages ------------------------------------------------------------------------------------------------------


def _undecided(request: HttpRequest, study: Study, choice: str) -> dict:
    words, foreign = searches.recall(request)
    chosen = forms.chosen(choice)
    board = cards.board(study, words=words, choice=choice if chosen else "")
    prefixed = prefixing.offered(study)
    board = board._replace(proposed=[]) if prefixed else board
    return {
        "board": board,
        "watched": news.shown_of(study, board),
        "choice": choice if chosen else "",
        "words_searched": words,
        "foreign": foreign,
        "intents": Intent.choices,
        "intent": _intent(request, study),
        "usual_intent": study.source.intent,
        "asks_for_intent": amending.asks_for_intent(),
        "prefixed": prefixed,
        **_procedures(study),
        **_looked_up(request, study),
        **(_preview(request, study, chosen) if chosen else {}),
    }


def _looked_up(request: HttpRequest, study: Study) -> dict:
    """What other systems said when they were asked last, and whether they can be asked now."""
    row = asking.of(study)
    return {
        "looked_up": row,
        "looked_up_trouble": row and any(one["problem"] for one in row.answers),
        "may_look_up": not asking.why_not(study, request.user),
    }


def _procedures(study: Study) -> dict:
    """Those for the modality of the study first; the proposed one is ready to be taken."""
    found = list(Procedure.objects.filter(active=True))
    found.sort(key=lambda one: (one.modality not in study.modalities, bool(one.modality), one.meaning))
    return {"procedures": found, "proposed": ordering.proposed_procedure(study) if found else None}


def _preview(request: HttpRequest, study: Study, chosen: Order | Patient) -> dict:
    """What mapping to the candidate would change, under the choice about UIDs that the address names."""
    asked = renaming.Choice("new_uids" in request.GET, request.GET.get("doubled", ""))
    found = {**_against(study, chosen, _intent(request, study)), **_uids(request, study, asked), "preview": True}
    try:
        changes = mapping.preview(study, **{chosen._meta.model_name: chosen}, intent=_intent(request, study))
        renamed = renaming.plan(study, asked)
    except (Invalid, Conflict) as refusal:
        return {"cannot": str(refusal), **found}
    return {
        **found,
        "groups": rewriting.of_uids(study, renamed) + rewriting.groups(changes),
        "number_of_changes": len(changes),
        "shown": mapping.fingerprint(changes, renamed),
    }


def _uids(request: HttpRequest, study: Study, asked: renaming.Choice) -> dict:
    """What may be chosen about UIDs, where there is something to choose."""
    return {
        "asked": asked,
        "doubled": len(renaming.doubled(study)),
        "contents": renaming.Doubled.choices,
        "invalid_uids": len(renaming.invalid(study)),
        "may_not_override": permission.why_not(request.user, Power.OVERRIDE, study),
    }


def _intent(request: HttpRequest, study: Study) -> str:
    """What the study is for, as far as it is said already: a rule of managers may ask. Else as usual at its source."""
    return asked if (asked := request.GET.get("intent", "")) in Intent.values else study.source.intent


def _against(study: Study, chosen: Order | Patient, intent: str) -> dict:
    """What speaks against a choice, and whether somebody would have to override it."""
    order = chosen if isinstance(chosen, Order) else None
    found = mapping.objections(study, patient=order.patient if order else chosen, order=order, intent=intent)
    return {"objections": found, "must_override": any(one.severity == Severity.OVERRIDE for one in found)}


def _decided(request: HttpRequest, study: Study, choice: str) -> dict:
    changes = mapping.changes(study.mapping) if study.mapping else []
    return {
        "groups": rewriting.of_uids(study, renaming.of(study.mapping)) + rewriting.groups(changes),
        "number_of_changes": len(changes),
        "watched": news.shown_of(study),
        "told": _told(study),
        **_evidence(study),
        **_changed(study),
        **consent.standing(request, study),
    }


def _keeping(request: HttpRequest, study: Study) -> dict:
    """How long the study is kept and why, what holds it, and whether this person may change that."""
    kept = keeping.decide(study)
    return {
        "kept": kept,
        "holds": keeping.holds(study),
        "doomed": study.deletions.filter(state__in=LIVE).select_related("approved_by", "seconded_by").first(),
        "deleted": study.proofs.select_related("deletion__approved_by", "deletion__seconded_by").first(),
        "notes": rejection_notes.acted_on(rejection_notes.of_study(study)) if study.state == State.EXPIRED else [],
        "may_tell": not permission.why_not(request.user, Power.DELETE, study),
        "may_rescue": study.state in workflow.ENDS and not permission.why_not(request.user, Power.OVERRIDE, study),
        "may_hold": study.state != State.EXPIRED and not permission.why_not(request.user, Power.DELETE, study),
        "other_rules": [one for one in RetentionRule.objects.filter(active=True) if one.pk != study.retention_id],
    }


def _changed(study: Study) -> dict:
    """What our side says otherwise since the study was mapped, and into whom its patient was merged."""
    if study.state not in (State.MAPPED, State.CLEARED):
        return {}
    survivor = root(study.local_patient)
    changed = local.why_changed(study.mapping)
    return {"changed": changed, "survivor": survivor if survivor != study.local_patient else None}


def _told(study: Study) -> dict | None:
    """What the order system says to the order that the study is mapped to, where that was generated here."""
    notice = study.order and study.order.notices.select_related("system", "order").first()
    return notice and {"order": study.order, "notice": notice, "awaited": notice.state in outbound.UNSETTLED}


def _evidence(study: Study) -> dict:
    """How what was decided for compared with what was received, when it was decided."""
    if study.mapping is None:
        return {}
    who = cards.rows(study.mapping.evidence, person=True)
    which = cards.rows(study.mapping.evidence, person=False) if study.mapping.order_id else []
    unlike = any(row.agreement in cards.UNLIKE for row in [*who, *which])
    return {"who": who, "which": which, "doubtful": unlike or study.mapping.klass != Class.STRONG}


def _to_clear(request: HttpRequest, study: Study, choice: str) -> dict:
    proposal = keeping.decide(study)
    rule = clearance.proposed_rule(study)
    return _decided(request, study, choice) | {
        **consent.asked(request, study),
        "proposed_rule": rule,
        "proposal": proposal,
        "rules": RetentionRule.objects.filter(active=True),
    }


def _to_release(request: HttpRequest, study: Study, choice: str) -> dict:
    everywhere = str(workflow.why_not(study, "release", request.user) or "")
    where = [
        (
            place,
            permission.why_not(request.user, Power.RELEASE, study, destination=place)
            or everywhere
            or consents.why_not(study, destination=place),
        )
        for place in Destination.objects.filter(active=True)
    ]
    found = {"places": where, "nowhere": all(barred for _place, barred in where), **_second(request, study, where)}
    return _decided(request, study, choice) | found


def _second(request: HttpRequest, study: Study, where: list[tuple]) -> dict:
    """Where a second person is needed, and what waits for one."""
    open_to = [place for place, barred in where if not barred]
    alone = {place: four_eyes.why_alone(study, to=[place], by=request.user) for place in open_to}
    with_two = [place for place, why in alone.items() if why]
    row = approvals.waiting(study)
    found = {"with_two": with_two, "asks": bool(with_two) and with_two == open_to, "approval": row}
    found["overridden"] = four_eyes.OVERRIDDEN if four_eyes.OVERRIDDEN in alone.values() else ""
    if row is None:
        return found | {"declined": approvals.declined(study)}
    barred = approvals.why_not_second(row, study, request.user)
    return found | {"approval_places": approvals.places(row), "not_second": barred}


def _on_its_way(request: HttpRequest, study: Study, choice: str) -> dict:
    return _decided(request, study, choice) | _sending(request, study)


def _sending(request: HttpRequest, study: Study) -> dict:
    found = ladders(request, study)
    return {"ladders": found, "troubles": [trouble for one, _barred in found if (trouble := _trouble(one))]}


def _trouble(one: Delivery) -> str:
    """Say what keeps a delivery from arriving, or ""."""
    if waiting := delivery.why_waiting(one):
        return waiting
    if one.state == Delivery.State.REFUSED:
        return f"The delivery to {one.destination} is refused: a person must act, then send it again above."
    if one.state == Delivery.State.QUEUED and one.attempts:
        times = "once" if one.attempts == 1 else f"{one.attempts} times"
        again = f"{timezone.localtime(one.due_at):%H:%M}"
        return f"The delivery to {one.destination} is delayed. {one.problem} Tried {times}, again at {again}."
    return ""


def ladders(request: HttpRequest, study: Study) -> list[tuple]:
    """The deliveries, each with the reason why it cannot be sent again now."""
    return [(one, delivery.why_not_retry(one, request.user)) for one in queue.deliveries(study)]


STAGES = {
    State.HELD: _undecided,
    State.MAPPED: _to_clear,
    State.CLEARED: _to_release,
    State.RELEASED: _on_its_way,
    State.DELIVERED: _on_its_way,
}


# --- the parts -------------------------------------------------------------------------------------------------------


@require_POST
def candidates(request: HttpRequest, key) -> HttpResponse:
    """Look for other patients and orders; the words stay in the session."""
    study = queue.get(request.user, key)
    if token := searches.remember(request, words := request.POST.get("words", "").strip()):
        audit.looked(request.user, "patients", key=words[:64], verb="search patients", detail={"study": str(study.pk)})
    address = reverse("study", args=[study.pk]) + (f"?search={token}" if token else "")
    if not request.htmx:
        return redirect(address)
    request.GET = request.GET.copy()
    request.GET["search"] = token
    found = context(request, study)
    response = render(request, "reconciliation/_candidates.html", found)
    response["HX-Replace-Url"] = address
    return response


@require_GET
def changes(request: HttpRequest, key) -> HttpResponse:
    """What would change under the choice in the address; without htmx the page with that choice made."""
    study = queue.look(request.user, key)
    choice = request.GET.get("choice", "")
    if not request.htmx:
        return redirect(f"{reverse('study', args=[study.pk])}?{urlencode({'choice': choice})}")
    chosen = forms.chosen(choice)
    if chosen is None:
        raise Invalid("This candidate is not known here any more. Load the page again.")
    found = {"study": study, "choice": choice, **_preview(request, study, chosen)}
    return render(request, "reconciliation/_changes.html", found)


@require_POST
def lookup(request: HttpRequest, key) -> HttpResponse:
    """Have worklist and demographics asked; the part that is given back asks for their answers by itself."""
    study = queue.get(request.user, key)
    asking.request(study, by=request.user)
    if not request.htmx:
        return redirect("study", study.pk)
    return render(request, "reconciliation/_lookup.html", {"study": study, **_looked_up(request, study)})


@require_GET
def answers(request: HttpRequest, key) -> HttpResponse:
    """What worklist and demographics have said by now; the candidates come with it when all have."""
    study = queue.look(request.user, key)
    if not request.htmx:
        return redirect("study", study.pk)
    row = asking.of(study)
    part = "_lookup.html" if (row and row.is_open) or study.state != State.HELD else "_looked_up.html"
    return render(request, f"reconciliation/{part}", context(request, study))


@require_GET
def deliveries(request: HttpRequest, key) -> HttpResponse:
    """The ladder while a study is on its way; the whole page once it has arrived."""
    study = queue.get(request.user, key)
    if not request.htmx:
        return redirect("study", study.pk)
    response = render(request, "reconciliation/_ladders.html", {"study": study, **_sending(request, study)})
    if study.state != request.GET.get("state"):
        response["HX-Refresh"] = "true"
    return response


@require_POST
def lease_(request: HttpRequest, key) -> HttpResponse:
    """Take, renew, take over or give back the lease. The page asks every half minute while it is open."""
    study = queue.get(request.user, key)
    if "leave" in request.POST:
        lease.give_back(study, by=request.user)
        return HttpResponse(status=204)
    if "reason" in request.POST:
        lease.take(study, by=request.user, reason=request.POST["reason"])
        return _reload(study) if request.htmx else redirect("study", study.pk)
    return _poll_lease(request, study, seen=forms.version(request), shown=request.POST.get("shown", ""))


def _reload(study: Study) -> HttpResponse:
    response = HttpResponse(status=204)
    response["HX-Refresh"] = "true"
    return response


def _poll_lease(request: HttpRequest, study: Study, *, seen: int, shown: str) -> HttpResponse:
    """What is typed is never lost to a reload: only a page just opened, or one that was barred, is loaded again."""
    only_read = _why_only_read(study, request.user)
    try:
        if not only_read:
            lease.take(study, by=request.user)
    except (Conflict, Denied):
        study = get_object_or_404(Study.objects.select_related("source", "lease_by"), pk=study.pk)
        if shown == "other":
            return HttpResponse(status=204)
    holder = lease.holder(study)
    mine = holder == request.user
    if mine and (shown == "other" or (study.version != seen and not shown)):
        return _reload(study)
    if not request.htmx:
        return redirect("study", study.pk)
    shown_now = {
        "study": study,
        "seen": seen,
        "holder": holder,
        "only_read": only_read,
        "leasing": True,
        "stale": study.version != seen,
    }
    return render(request, "reconciliation/_lease.html", shown_now)
