"""News at an open study: the page asks every few seconds whether what it shows of our side is still so."""

import hashlib
import json
import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from orders.models import Order, Patient
from reconciliation import local, queue
from reconciliation.models import Study
from reconciliation.views.cards import Board

ENOUGH = 286  # the answer on which htmx asks no more: what was told once needs no second telling
OPEN = (Study.State.HELD, Study.State.MAPPED, Study.State.CLEARED)
MOST = 200  # things shown on one page


def shown_of(study: Study, board: Board | None = None) -> list[str]:
    """What a page shows of our side, as `kind:key:digest`; the page sends it back when it asks for news."""
    if study.state not in OPEN:
        return []
    cards = [*board.found, *board.proposed] if board else []
    patients = {card.patient.pk: card.patient for card in cards}
    orders = {option.order.pk: option.order for card in cards for option in card.options if option.order}
    if study.local_patient:
        patients[study.local_patient_id] = study.local_patient
    if study.order:
        orders[study.order_id] = study.order
    seen = [f"patient:{key}:{_digest(_patient_facts(one))}" for key, one in patients.items()]
    seen += [f"order:{key}:{_digest(_order_facts(one))}" for key, one in orders.items()]
    return [*seen, f"candidate::{study.new_candidate_at or ''}"][:MOST]


def _patient_facts(patient: Patient) -> list:
    numbers = sorted(map(str, patient.identifiers.all()))
    return [patient.name, str(patient.birth_date), patient.sex, str(patient.merged_into_id), numbers]


def _order_facts(order: Order) -> list:
    columns = ("status", "patient_id", "accession_number", "description", "modality", "body_part", "scheduled_at")
    return [str(getattr(order, column)) for column in columns]


def _digest(facts: list) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@require_POST
def show(request: HttpRequest, key) -> HttpResponse:
    """What changed of what the page shows, in sentences; nothing while nothing did."""
    study = queue.get(request.user, key)
    seen = [parts for text in request.POST.getlist("seen")[:MOST] if len(parts := text.split(":", 2)) == 3]
    told = _told(study, seen)
    if not told:
        return HttpResponse(status=204)
    return render(request, "reconciliation/_told.html", {"study": study, "told": told}, status=ENOUGH)


def _told(study: Study, seen: list[list[str]]) -> list[str]:
    digests = {kind: {_key(key): digest for name, key, digest in seen if name == kind} for kind in FACTS}
    told = []
    for kind, (rows, facts, say) in FACTS.items():
        found = rows.filter(pk__in=digests[kind])
        told += [say(row) for row in found if _digest(facts(row)) != digests[kind][row.pk]]
    waits = [since for name, _key, since in seen if name == "candidate"]
    if waits and study.new_candidate_at and str(study.new_candidate_at) not in waits:
        told.append("There is a new candidate.")
    return told


def _key(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _say_patient(patient: Patient) -> str:
    return local.why_not_theirs(patient) or f"{patient} has changed."


def _say_order(order: Order) -> str:
    return f"The order {order} {'has changed' if order.is_open else 'was cancelled'}."


FACTS = {
    "patient": (Patient.objects.prefetch_related("identifiers"), _patient_facts, _say_patient),
    "order": (Order.objects.all(), _order_facts, _say_order),
}
