"""Rehearsal: a draft of a matching policy run over past studies, against what people decided. Nothing is written."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from orders.models import CrossReference, Order, Patient
from policies import audit
from policies.rules import objections as rules
from policies.rules.quality import Severity
from reconciliation import automatic, links, matching
from reconciliation.automatic import Certainty
from reconciliation.matching import Seen
from reconciliation.models import Mapping, Study

State = Study.State
FILED = (State.MAPPED, State.CLEARED, State.RELEASED, State.DELIVERED)
CANNOT_KNOW = (
    "Patients are compared as they are today: a name, birth date or number that was corrected or added since, "
    "also by the decision itself, is not taken back.",
    "Orders that are cancelled today are left out, also where they were open then.",
    "Whether somebody had the study open when the policy would have matched it is not known.",
)


class Case(NamedTuple):
    """One past study that the draft would have matched, and how that compares with what people decided."""

    study: Study
    patient: Patient
    order: Order
    differs: str  # "" where people decided the same; else "other patient", "other order" or "rejected"
    decided: str  # what people decided, in words


@dataclass
class Rehearsal:
    """What a draft would have done. `looked` of `total` studies were judged; the newest come first."""

    certainty: Certainty
    total: int = 0
    looked: int = 0
    cases: list[Case] = field(default_factory=list)
    left: Counter = field(default_factory=Counter)  # why the others would have been left to a person

    @property
    def differing(self) -> list[Case]:
        return [case for case in self.cases if case.differs]

    @property
    def number_left(self) -> int:
        return self.left.total()

    @property
    def cut(self) -> str:
        """Say that not all were looked at, or ""."""
        if self.looked == self.total:
            return ""
        return f"Only the newest {self.looked} of {self.total} studies were judged in the time given."


class _Decision(NamedTuple):
    at: datetime
    mapping: Mapping | None  # None: rejected


def past(studies: QuerySet[Study], *, days: int) -> QuerySet[Study]:
    """Of these studies those of the last days that people decided about."""
    since = timezone.now() - timedelta(days=days)
    rows = studies.filter(received_at__gte=since, state__in=(*FILED, State.REJECTED)).exclude(mapping__by_policy__gt="")
    related = ("source", "submission", "mapping__patient", "mapping__order", "rejected_for")
    return rows.select_related(*related).prefetch_related("findings").order_by("-received_at", "-id")


def rehearse(
    studies: QuerySet[Study], certainty: Certainty, *, days: int = 365, seconds: float | None = None
) -> Rehearsal:
    """Judge each of the past studies as the draft would have; no longer than so many seconds."""
    rows = past(studies, days=days)
    found = Rehearsal(certainty, total=rows.count())
    stop = seconds and time.monotonic() + seconds
    for study in _until(rows, stop):
        _judge(study, found)
        found.looked += 1
    return found


def _until(rows: QuerySet[Study], stop: float | None) -> Iterator[Study]:
    for study in rows.iterator(chunk_size=100):
        if stop and time.monotonic() > stop:
            return
        yield study


def _judge(study: Study, found: Rehearsal) -> None:
    decision = _decision(study)
    counts = _known_then(study, decision)
    seen = matching.look(study, counts=counts)
    if why := _why_not(study, decision, seen, counts, found.certainty):
        found.left[why] += 1
        return
    first = seen.proposals[0].match
    patient, order = seen.patient(first), seen.order(first)
    found.cases.append(Case(study, patient, order, *_compared(study, decision, patient, order)))


def _decision(study: Study) -> _Decision:
    if study.state != State.REJECTED:
        return _Decision(study.mapping.made_at, study.mapping)
    line = audit.history(study).filter(verb="reject").first()
    return _Decision(line.at if line else timezone.now(), None)


def _known_then(study: Study, decision: _Decision) -> Callable[[object], bool]:
    """What was there before the decision, without the order that was generated for this study."""
    own = decision.mapping and decision.mapping.order_id

    def counts(row: Order | CrossReference) -> bool:
        if isinstance(row, CrossReference):
            return row.at < decision.at
        made_for_it = row.pk == own and row.origin == Order.Origin.GENERATED
        return row.created_at < decision.at and not made_for_it

    return counts


def _why_not(study: Study, decision: _Decision, seen: Seen, counts, certainty: Certainty) -> str:
    """As `automatic.why_not`, of the time of the decision."""
    if any(one.severity != Severity.WARN and not one.code.startswith(rules.PREFIX) for one in study.findings.all()):
        return "Findings stood that a person had to decide about."
    if uncertain := automatic.why_uncertain(study, certainty, seen):
        return uncertain
    first = seen.proposals[0].match
    patient, order = seen.patient(first), seen.order(first)
    others = Mapping.objects.filter(order=order, made_at__lt=decision.at, undone_at=None)
    taken = others.exclude(study__study_instance_uid=study.study_instance_uid).exists()
    another = links.why_another(study, patient, counts=counts)
    return automatic.why_against(rules.objections(first, taken=taken, another=another))


def _compared(study: Study, decision: _Decision, patient: Patient, order: Order) -> tuple[str, str]:
    mapped = decision.mapping
    if mapped is None:
        return "rejected", f"rejected: {study.rejected_for}"
    said = f"{mapped.patient}, {mapped.order or 'no order'}"
    if patient.pk not in (mapped.patient_id, mapped.patient.merged_into_id):
        return "other patient", said
    return ("" if mapped.order_id == order.pk else "other order"), said
