"""What the study page lays side by side: candidates with their evidence, and the changes that would follow."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import count, pairwise
from typing import NamedTuple

from orders import outbound, queries
from orders.models import Notice, Order, Patient
from reconciliation import matching
from reconciliation.models import Study
from reconciliation.templatetags.shown import day

PERSON_FIELDS = ("identifier", "family_name", "given_name", "birth_date", "sex")
DATE_FIELDS = ("birth_date", "study_date")
DIGITS = 9  # candidates that a key reaches
UNLIKE = ("similar", "different")
ALIKE = 0.7  # texts less alike than this have no single characters to compare
FOUND = 20  # patients that a search shows


class Mark(NamedTuple):
    text: str
    differs: bool


class Row(NamedTuple):
    """One field, both sides, and the rule that judged it."""

    agreement: str
    field: str
    rule: str
    incoming: list[Mark]
    local: list[Mark]


@dataclass
class Option:
    """Something that can be chosen: an order of the patient, or the patient without an order."""

    value: str
    order: Order | None = None
    score: float | None = None
    klass: str = ""
    ambiguous: bool = False
    rows: list[Row] = field(default_factory=list)
    taken: bool = False
    notice: Notice | None = None  # the newest of those that told of an order generated here
    number: int = 0

    @property
    def awaited(self) -> bool:
        return self.notice is not None and self.notice.state in outbound.UNSETTLED

    @property
    def generated(self) -> bool:
        return self.order is not None and self.order.origin == Order.Origin.GENERATED


@dataclass
class Card:
    """One patient who could be the person in the images."""

    patient: Patient
    score: float | None = None
    klass: str = ""
    ambiguous: bool = False
    ahead: float | None = None  # of the next patient; None where there is no other
    runner_up: Patient | None = None
    rows: list[Row] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)


class Candidate(NamedTuple):
    patient: Patient
    order: Order | None
    score: float
    klass: str
    evidence: list[dict]
    ambiguous: bool = False


class Board(NamedTuple):
    """The cards of a study: those proposed, and those that a search or a choice in the address adds."""

    found: list[Card]
    proposed: list[Card]


def board(study: Study, *, words: str = "", choice: str = "") -> Board:
    proposed = _grouped(_proposals(study))
    if len(proposed) > 1:
        proposed[0].runner_up = proposed[1].patient
        proposed[0].ahead = proposed[0].score - proposed[1].score
    known = {option.value for card in proposed for option in card.options}
    found = list(queries.search_patients(words).prefetch_related("orders")[:FOUND]) if words else []
    if choice and choice not in known and (patient := _patient_of(choice)) and patient not in found:
        found = [patient, *found]
    alike = {card.patient.pk for card in proposed if card.ambiguous}
    shown = _grouped(_compared(study, found, alike=alike))
    proposed = [card for card in proposed if card.patient not in found]
    _finish(study, [*shown, *proposed])
    return Board(shown, proposed)


def _patient_of(choice: str) -> Patient | None:
    kind, _, key = choice.partition(":")
    named = {"orders": key} if kind == "order" else {"pk": key}
    return Patient.objects.prefetch_related("identifiers", "orders").filter(**named).first()


def _proposals(study: Study) -> Iterable[Candidate]:
    rows = study.proposals.filter(patient__merged_into=None).select_related("patient", "order")
    rows = rows.prefetch_related("patient__identifiers")
    for row in rows:
        yield Candidate(row.patient, row.order, row.score, row.klass, row.evidence, row.ambiguous)


def _compared(study: Study, patients: list[Patient], *, alike: set) -> Iterable[Candidate]:
    """Patients whom a person looked up: compared by the same rules as the proposals, and beside those."""
    if not patients:
        return
    seen = matching.look(study, also=patients, keep=matching.ALL)
    for proposal in seen.proposals:
        match, patient = proposal.match, seen.patient(proposal.match)
        if patient in patients:
            said = matching.as_json(match.evidence)
            yield Candidate(patient, seen.order(match), match.score, match.klass, said, patient.pk in alike)


def _grouped(candidates: Iterable[Candidate]) -> list[Card]:
    """One card a patient, in the order in which the patients come; the patient without an order is chosen last."""
    cards: dict = {}
    for each in candidates:
        card = cards.setdefault(each.patient.pk, Card(each.patient))
        if not card.rows:
            card.rows = rows(each.evidence, person=True)
        if each.order is None or card.score is None:
            card.klass = each.klass
        card.score = (card.score or 0.0) + each.score  # whichever of this patient's orders it is, or none
        card.ambiguous = card.ambiguous or each.ambiguous
        if each.order is not None:
            which = rows(each.evidence, person=False)
            card.options.append(
                Option(f"order:{each.order.pk}", each.order, each.score, each.klass, each.ambiguous, which)
            )
    for card in cards.values():
        for option in card.options:
            option.ambiguous = card.ambiguous
        card.options.append(Option(f"patient:{card.patient.pk}"))
    return list(cards.values())


def _finish(study: Study, cards: list[Card]) -> None:
    """Give the digits, and say which orders have a study already."""
    options = [option for card in cards for option in card.options]
    orders = [option.order.pk for option in options if option.order]
    others = Study.objects.filter(order__in=orders).exclude(pk=study.pk).exclude(state=Study.State.REJECTED)
    taken = set(others.values_list("order", flat=True))
    for number, option in zip(count(1), options, strict=False):
        option.number = number if number <= DIGITS else 0
        option.taken = bool(option.order and option.order.pk in taken)
    _tell(options)


def _tell(options: list[Option]) -> None:
    """Give each order that somebody was told of its newest notice."""
    generated = {option.order.pk: option for option in options if option.generated}
    if not generated:
        return
    for notice in Notice.objects.filter(order__in=generated).select_related("system", "order").reverse():
        generated[notice.order_id].notice = notice


def rows(evidence: list[dict], *, person: bool) -> list[Row]:
    """The evidence about the person, or about the order."""
    return [_row(each) for each in evidence if (each["field"] in PERSON_FIELDS) == person]


def _row(each: dict) -> Row:
    incoming, local = each["incoming"], each["local"]
    is_date = each["field"] in DATE_FIELDS
    if is_date:
        incoming, local = day(incoming), day(local)
    differs = each["agreement"] in UNLIKE
    compare = day_marks if is_date else marks
    marked = compare(incoming, local) if differs else ([Mark(incoming, False)], [Mark(local, False)])
    return Row(each["agreement"], each["field"], each["rule"], *marked)


def marks(one: str, other: str) -> tuple[list[Mark], list[Mark]]:
    """Both texts cut where they differ; upper and lower case are the same letter. Unlike texts are marked whole."""
    left, right = one.casefold(), other.casefold()
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    begins = left.startswith(right) or right.startswith(left)
    if (len(left), len(right)) != (len(one), len(other)) or not (begins or matcher.ratio() >= ALIKE):
        return [Mark(one, True)], [Mark(other, True)]
    pieces = matcher.get_opcodes()
    ours = [Mark(one[a:b], kind != "equal") for kind, a, b, _c, _d in pieces if b > a]
    return ours, [Mark(other[c:d], kind != "equal") for kind, _a, _b, c, d in pieces if d > c]


def day_marks(one: str, other: str) -> tuple[list[Mark], list[Mark]]:
    """Two days in ISO 8601, digit by digit: a swapped day and month show as such."""
    if len(one) != len(other):
        return [Mark(one, True)], [Mark(other, True)]
    differ = [a != b for a, b in zip(one, other, strict=True)]
    runs = _runs(differ)
    return [Mark(one[a:b], differ[a]) for a, b in runs], [Mark(other[a:b], differ[a]) for a, b in runs]


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Where neighbours are alike: (from, to) of each stretch."""
    edges = [0, *(n for n in range(1, len(flags)) if flags[n] != flags[n - 1]), len(flags)]
    return list(pairwise(edges))
