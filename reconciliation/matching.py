"""Matching: candidates for a held study, compared and ranked. Nothing is chosen here, and absence is never kept."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from orders import queries
from orders.models import Order, Patient
from policies import domains
from policies.domains import Domains
from policies.models import MatchingWeight, Source
from policies.rules import matching as rules
from policies.rules.fields import Evidence, Exam, Person
from policies.rules.matching import Candidate, Class, Match
from policies.rules.weights import DEFAULT, Weights
from reconciliation import links, parts, reproposal
from reconciliation.lease import SEEN
from reconciliation.models import Finding, Proposal, Study
from reconciliation.reproposal import MARGIN

WORTH = (Class.STRONG, Class.POSSIBLE)  # what a person should look at again for
SHOWN, ALL = 8, 10_000  # candidates
BETTER = 0.1  # gain of the best score from which on it is news
TWO_PEOPLE = "{count} of our patients have the number that came with this study. Find out whose it is."


class Seen(NamedTuple):
    """What one look for candidates found: proposals, and the rows behind their keys."""

    proposals: list[rules.Proposal]
    known: dict[str, Patient | Order]
    patients: list[Patient]

    def patient(self, match: Match) -> Patient:
        chosen = self.known[match.key]
        return chosen.patient if isinstance(chosen, Order) else chosen

    def order(self, match: Match) -> Order | None:
        chosen = self.known[match.key]
        return chosen if isinstance(chosen, Order) else None


def look(
    study: Study,
    *,
    known: Domains | None = None,
    counts: Callable[[object], bool] = links.everything,
    also: Iterable[Patient] = (),
    choice: Order | Patient | None = None,
    keep: int = SHOWN,
) -> Seen:
    """Compare the study with every plausible patient and order; nothing is written.

    `counts` says of an order or of a link whether it is to be known at all: a rehearsal leaves out what came later.
    `also` are patients to compare whether they are plausible or not, and `choice` is compared even where it fits badly.
    """
    known = known or domains.known()
    linked = {key: kept for key, rows in links.of_study(study, known).items() if (kept := [*filter(counts, rows)])}
    patients, shares = _plausible(study, linked)
    patients = list({patient.pk: patient for patient in (*patients, *also)}.values())
    who, which = person(study, known), exam(study)
    rows, found = {}, []
    for patient in patients:
        orders = [order for order in queries.open_orders(patient) if counts(order)]
        rows |= {str(row.pk): row for row in (patient, *orders)}
        ours = person_of(patient, known, linked.get(patient.pk, ()))
        found += _candidates(patient, ours, orders, who, which)
        if choice is not None and patient == (choice.patient if isinstance(choice, Order) else choice):
            order = choice if isinstance(choice, Order) else None
            found.append(Candidate(str(choice.pk), ours, order and _exam(order), str(patient.pk)))
            rows[str(choice.pk)] = choice
    return Seen(rules.propose(who, which, found, weights=weights(), shares=shares, keep=keep), rows, patients)


def weights() -> Weights:
    """The defaults, or what managers set or learned in their place, among as many patients as we know."""
    return DEFAULT.overridden(MatchingWeight.objects.all()).among(queries.population())


def _plausible(study: Study, linked: dict) -> queries.Found:
    """Those whom the queries find, and those whom a link names; nobody who was merged into somebody else."""
    found = queries.find(name=study.patient_name, birth_date=study.patient_birth_date, patient_ids=[study.patient_id])
    missing = Patient.objects.filter(pk__in=linked.keys() - {patient.pk for patient in found.patients})
    missing = missing.filter(merged_into=None).prefetch_related("identifiers", "orders")
    return found._replace(patients=[*found.patients, *missing])


def propose(study: Study, *, news: bool = True) -> list[Proposal]:
    """Look for candidates, and replace the proposals of the study. Without `news` whoever asked sees them at once.

    What is committed while we look may have an earlier time than our look: the time noted lies a little before it.
    """
    known = domains.known()
    looked_at, made_with = timezone.now() - MARGIN, lens(known)
    touched = Study.objects.values_list("touched_at", flat=True).get(pk=study.pk)
    seen = look(study, known=known)
    rows = [_row(study, proposal, seen) for proposal in seen.proposals]
    with transaction.atomic():
        before = Study.objects.select_for_update().get(pk=study.pk)  # two at once would give each rank twice
        old = list(study.proposals.all())
        study.proposals.all().delete()
        Proposal.objects.bulk_create(rows)
        reproposal.remember(study, reproposal.keys_asked(study, seen.patients))
        _find_two_people(study, known)
        best = rows[0] if rows else None
        Study.objects.filter(pk=study.pk).update(
            proposed_at=looked_at,
            proposed_with=made_with,
            touched_at=None if before.touched_at == touched else before.touched_at,
            best_score=best and best.score,
            best_class=best.klass if best else "",
            contenders=len({row.patient_id for row in rows if row.ambiguous}),
            **_place(before, best, is_news=news and _is_news(before, old, best)),
        )
    return rows


def _is_news(before: Study, old: list[Proposal], best: Proposal | None) -> bool:
    """Whether the best candidate appeared, or got better, since the study was compared last."""
    if best is None or best.klass not in WORTH or before.proposed_at is None or before.state != Study.State.HELD:
        return False
    if before.best_class not in WORTH or (best.klass == Class.STRONG != before.best_class):
        return True
    fresh = best.patient_id not in {one.patient_id for one in old}
    fresh |= best.order_id is not None and best.order_id not in {one.order_id for one in old}
    return fresh or best.score >= before.best_score + BETTER


def _place(before: Study, best: Proposal | None, *, is_news: bool) -> dict:
    """The columns that hold a study's place in the queue: on top while a new candidate waits to be seen."""
    if is_news:
        now = timezone.now()
        return {"queued_at": now, "new_candidate_at": now}
    if before.new_candidate_at and (best is None or best.klass not in WORTH):
        return SEEN
    return {}


def _find_two_people(study: Study, known: Domains) -> None:
    """Two people in one domain with one number is a finding, not a match; it goes when it is no longer so."""
    count = len(links.holders(study, known))
    if count > 1:
        parts.find(study, "number_of_two_people", Finding.Severity.OVERRIDE, TWO_PEOPLE.format(count=count))
    else:
        study.findings.filter(code="number_of_two_people", overridden_by=None).delete()


def lens(known: Domains | None = None) -> str:
    """A digest of what proposals are made with beside patients and orders: when it changes, all are made anew."""
    known = known or domains.known()
    issuers = Source.objects.order_by("pk").values_list("pk", "issuer")
    said = [sorted(known.names.items()), sorted(known.universal.items()), [(str(pk), issuer) for pk, issuer in issuers]]
    said.append(list(MatchingWeight.objects.values_list("field", "level", "m", "u")))
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def refresh(study: Study) -> None:
    """Propose anew when something changed since: whoever looks sees what is known now, not at the last sweep."""
    reproposal.look_out()
    if reproposal.is_due(study, made_with=lens()):
        propose(study, news=False)


def stale(limit: int = reproposal.A_MINUTE) -> list[Study]:
    """The studies to propose anew, the longest waiting first."""
    reproposal.look_out()
    return reproposal.due(made_with=lens(), limit=limit)


def person(study: Study, known: Domains | None = None) -> Person:
    """Whom the study says it shows. An ID without an issuer was issued by its source."""
    issuer = links.issuer_of(study, known or domains.known())
    identifiers = ((study.patient_id, issuer),) if study.patient_id else ()
    return Person(study.patient_name, study.patient_birth_date, study.patient_sex, identifiers)


def person_of(patient: Patient, known: Domains | None = None, linked: tuple | list = ()) -> Person:
    """One of our patients, as the rules know people."""
    known = known or domains.known()
    identifiers = tuple((one.value, known.canonical(one.issuer, one.universal_id)) for one in patient.identifiers.all())
    links_told = tuple((one.value, known.canonical(one.issuer), links.told(one)) for one in linked)
    return Person(patient.name, patient.birth_date_da, patient.sex, identifiers, links_told)


def exam(study: Study) -> Exam:
    modality = next((m for m in study.modalities if m not in ("SR", "PR", "KO")), "")
    return Exam(modality, next(iter(study.body_parts), ""), study.study_description, study.study_date)


def judge(study: Study, *, patient: Patient, order: Order | None = None) -> Match:
    """How well one choice fits what was received, beside everybody else who could be meant."""
    choice = order or patient
    seen = look(study, also=[patient], choice=choice, keep=ALL)
    return next(one.match for one in seen.proposals if one.match.key == str(choice.pk))


def as_json(evidence: tuple[Evidence, ...]) -> list[dict]:
    return [asdict(one) for one in evidence]


FITS = 0.5  # share of the patient's own score from which on an order is worth more than the patient alone


def _candidates(patient: Patient, ours: Person, orders: list[Order], who: Person, which: Exam) -> list[Candidate]:
    """One candidate for each open order of a patient; the patient without an order too, unless one of them fits."""
    alone = Candidate(str(patient.pk), ours, None, str(patient.pk))
    with_orders = [Candidate(str(order.pk), ours, _exam(order), str(patient.pk)) for order in orders]
    least = FITS * rules.compare(who, which, alone).score
    if any(rules.compare(who, which, one).score >= least for one in with_orders):
        return with_orders
    return [*with_orders, alone]


def _exam(order: Order) -> Exam:
    at = order.scheduled_at or order.created_at
    return Exam(order.modality, order.body_part, order.description, f"{at:%Y%m%d}")


def _row(study: Study, proposal: rules.Proposal, seen: Seen) -> Proposal:
    return Proposal(
        study=study,
        rank=proposal.rank,
        patient=seen.patient(proposal.match),
        order=seen.order(proposal.match),
        score=proposal.match.score,
        klass=proposal.match.klass,
        margin=proposal.margin,
        runner_up=str(seen.known.get(proposal.runner_up, "")),
        ambiguous=proposal.ambiguous,
        evidence=as_json(proposal.match.evidence),
    )
