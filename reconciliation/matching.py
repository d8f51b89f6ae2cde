"""Matching: candidates for a held study, compared and ranked. Nothing is chosen here, and absence is never kept."""

from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from orders import queries
from orders.models import Order, Patient
from policies.rules import matching as rules
from reconciliation.models import Proposal, Study

MARGIN = timedelta(seconds=30)  # longer than any transaction that changes a patient or an order


def propose(study: Study) -> list[Proposal]:
    """Compare the study with every plausible patient and order, and replace its proposals.

    What is committed while we look may have an earlier time than our look: the time noted lies a little before it.
    """
    looked_at = timezone.now() - MARGIN
    patients = queries.candidates(
        name=study.patient_name, birth_date=study.patient_birth_date, patient_ids=[study.patient_id]
    )
    known = {str(row.pk): row for patient in patients for row in (patient, *queries.open_orders(patient))}
    who, which = person(study), exam(study)
    found = rules.propose(who, which, [c for patient in patients for c in candidates_of(patient, who, which)])
    rows = [_row(study, proposal, known) for proposal in found]
    with transaction.atomic():
        Study.objects.select_for_update().get(pk=study.pk)  # two at once would give each rank twice
        study.proposals.all().delete()
        Proposal.objects.bulk_create(rows)
        best = rows[0] if rows else None
        Study.objects.filter(pk=study.pk).update(
            proposed_at=looked_at,
            best_score=best and best.score,
            best_class=best.klass if best else "",
            contenders=len({row.patient_id for row in rows if row.ambiguous}),
        )
    return rows


def refresh(study: Study) -> None:
    """Propose anew when something changed since: whoever looks sees what is known now, not at the last sweep."""
    if _stale().filter(pk=study.pk).exists():
        propose(study)


def person(study: Study) -> rules.Person:
    """Whom the study says it shows. An ID without an issuer was issued by its source."""
    issuer = study.issuer_of_patient_id or study.source.issuer
    identifiers = ((study.patient_id, issuer),) if study.patient_id else ()
    return rules.Person(study.patient_name, study.patient_birth_date, study.patient_sex, identifiers)


def person_of(patient: Patient) -> rules.Person:
    """One of our patients, as the rules know people."""
    identifiers = tuple((one.value, one.issuer) for one in patient.identifiers.all())
    return rules.Person(patient.name, patient.birth_date_da, patient.sex, identifiers)


def exam(study: Study) -> rules.Exam:
    modality = next((m for m in study.modalities if m not in ("SR", "PR", "KO")), "")
    return rules.Exam(modality, next(iter(study.body_parts), ""), study.study_description, study.study_date)


def judge(study: Study, *, patient: Patient, order: Order | None = None) -> rules.Match:
    """How well one choice fits what was received, by the same rules as the proposals."""
    chosen = rules.Candidate(str((order or patient).pk), person_of(patient), order and _exam(order))
    return rules.compare(person(study), exam(study), chosen)


def as_json(evidence: tuple[rules.Evidence, ...]) -> list[dict]:
    return [asdict(one) for one in evidence]


FITS = 0.5  # share of the patient's own score from which on an order is worth more than the patient alone


def candidates_of(patient: Patient, who: rules.Person, which: rules.Exam) -> list[rules.Candidate]:
    """One candidate for each open order of a patient; the patient without an order too, unless one of them fits."""
    ours = person_of(patient)
    alone = rules.Candidate(str(patient.pk), ours, None)
    with_orders = [rules.Candidate(str(o.pk), ours, _exam(o)) for o in queries.open_orders(patient)]
    least = FITS * rules.compare(who, which, alone).score
    if any(rules.compare(who, which, one).score >= least for one in with_orders):
        return with_orders
    return [*with_orders, alone]


def _exam(order: Order) -> rules.Exam:
    at = order.scheduled_at or order.created_at
    return rules.Exam(order.modality, order.body_part, order.description, f"{at:%Y%m%d}")


def _row(study: Study, proposal: rules.Proposal, known: dict) -> Proposal:
    chosen = known[proposal.match.key]
    order = chosen if isinstance(chosen, Order) else None
    return Proposal(
        study=study,
        rank=proposal.rank,
        patient=order.patient if order else chosen,
        order=order,
        score=proposal.match.score,
        klass=proposal.match.klass,
        margin=proposal.margin,
        runner_up=str(known.get(proposal.runner_up, "")),
        ambiguous=proposal.ambiguous,
        evidence=as_json(proposal.match.evidence),
    )


def stale(limit: int = 200) -> list[Study]:
    """The studies to propose anew, the longest waiting first."""
    return list(_stale().select_related("source").order_by("received_at")[:limit])


def _stale() -> QuerySet[Study]:
    """Held studies whose proposals are older than the newest change of patients or orders."""
    unproposed = Q(proposed_at=None)
    if newest := queries.newest_change():
        unproposed |= Q(proposed_at__lt=newest)
    return Study.objects.filter(unproposed, state=Study.State.HELD)
