"""Asking: other systems are asked about a held study, in the background and when somebody wants it now.

What they know becomes patients and orders of ours, and the study is proposed anew; nothing is chosen by it. The row of
a look-up is its queue: the sweep finds what a lost ring left, and asks again about studies that nothing fits.
"""

import logging
import time

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from orders import learning, lookup
from orders.lookup import Answer, Question, Systems
from orders.models import Lookup
from orders.peers.found import Identifier
from policies import audit, bell, clock
from policies.models import Power, User
from policies.problems import Conflict
from policies.rules.matching import Class
from reconciliation import matching, permission
from reconciliation.models import Proposal, Study

log = logging.getLogger(__name__)
LEASE = 180  # seconds; longer than all systems together may take
ROUND = 20  # seconds that the sweep gives to asking, of its minute
AT_ONCE = 50  # studies in one round
NOT_SET_UP = "No worklist and no demographics source is set up. A manager can add them in the administration."
NEAREST = 5  # proposals whose patients' identifiers are asked for too


def why_not(study: Study, by: User) -> str:
    """Say why this person cannot have other systems asked about this study now, or ""."""
    if barred := permission.why_not(by, Power.RECONCILE, study):
        return barred
    if study.state != Study.State.HELD:
        return f"Other systems are asked about held studies only; this one is {study.get_state_display().lower()}."
    return "" if Systems() else NOT_SET_UP


def request(study: Study, *, by: User) -> Lookup:
    """Have the systems asked now, by a worker; what they say is on the row when it is no longer open."""
    permission.require(by, Power.RECONCILE, study)
    if refusal := why_not(study, by):
        raise Conflict(refusal)
    row = of(study)
    if row and row.is_open:
        return row
    row, _ = Lookup.objects.update_or_create(pk=study.pk, defaults={"by": by.username, "due_at": Now()})
    audit.record(by, "look up", study)
    bell.ring("reconciliation.tasks.ask", study.pk)
    row.refresh_from_db()
    return row


def begin(study: Study) -> None:
    """A study has settled: it is asked about soon, where there is anybody to ask. Called in its transaction."""
    if Systems():
        Lookup.objects.get_or_create(pk=study.pk, defaults={"by": audit.PORTAL, "due_at": Now()})
        bell.ring("reconciliation.tasks.ask", study.pk)


def of(study: Study) -> Lookup | None:
    return Lookup.objects.filter(pk=study.pk).first()


def ask(key, systems: Systems | None = None) -> list[Answer]:
    """Ask about one study whose row is due, unless another worker does; gives what the systems said."""
    if not Lookup.objects.filter(clock.unleased(), pk=key, due_at__lte=Now()).update(lease_until=clock.later(LEASE)):
        return []
    row, study = Lookup.objects.get(pk=key), Study.objects.select_related("source").filter(pk=key).first()
    done = {"lease_until": None, "due_at": clock.later(settings.LOOKUP_SECONDS)}
    answers: list[Answer] = []
    try:
        answers, said = _asked(row, study, systems or Systems())
        done |= said
    finally:
        Lookup.objects.filter(pk=key).update(**done)
    return answers


def _asked(row: Lookup, study: Study | None, systems: Systems) -> tuple[list[Answer], dict]:
    """What was said, and the columns of the row that follow from it."""
    over = {"due_at": None}
    if study is None or study.state != Study.State.HELD:
        return [], over
    if study.proposed_at is None:
        matching.propose(study)
    if row.by == audit.PORTAL and (study.deidentified or _is_found(study)):
        return [], over
    question, by = facts(study), _asker(row)
    answers = [] if question.is_empty else lookup.ask(question, systems)
    learned = [learning.keep(one, by=by, outside=question.outside) for one in answers]
    if news := any(one.news for one in learned):
        matching.propose(study, news=row.by == audit.PORTAL)  # a person who asked sees what came of it
    said = [_summary(answer, one) for answer, one in zip(answers, learned, strict=True)]
    done = {"asked_at": Now(), "answers": said, "news": news, "by": audit.PORTAL}
    return answers, done | (over if _is_found(study) else {})


def _asker(row: Lookup):
    """The person who asked, for the ledger; somebody who is gone by now stays a name."""
    return User.objects.filter(username=row.by).first() or row.by


def _is_found(study: Study) -> bool:
    return _with_a_strong_candidate(Study.objects.filter(pk=study.pk)).exists()


def _with_a_strong_candidate(studies: QuerySet[Study]) -> QuerySet[Study]:
    return studies.filter(Exists(_strong()))


def _strong() -> QuerySet[Proposal]:
    """A patient and an order that stand alone in front: no other system could add to that."""
    first = Proposal.objects.filter(study=OuterRef("pk"), rank=1, klass=Class.STRONG, ambiguous=False)
    return first.exclude(order=None)


def facts(study: Study) -> Question:
    """What other systems are asked: what the study says, and the identifiers of patients whom it may show."""
    nearest = study.proposals.exclude(klass=Class.CONFLICT).select_related("patient")[:NEAREST]
    nearest = nearest.prefetch_related("patient__identifiers")
    ours = [one for proposal in nearest if (one := proposal.patient.identifier())]
    issuer = study.issuer_of_patient_id or study.source.issuer
    return Question(
        name=study.patient_name,
        birth_date=study.patient_birth_date,
        sex=study.patient_sex,
        outside=Identifier(study.patient_id, issuer if study.patient_id else ""),
        identifiers=tuple(dict.fromkeys(Identifier(one.value, one.issuer) for one in ours)),
        accession_number=study.accession_number,
        modality=matching.exam(study).modality,
    )


def _summary(answer: Answer, learned: learning.Learned) -> dict:
    """For the desk and for REST: never whom, only how many."""
    notes = [answer.more, *learned.notes]
    counts = {"people": len(answer.people), "orders": len(answer.orders)}
    return {
        "system": str(answer.system),
        "problem": answer.problem,
        **counts,
        "new": learned.people + learned.orders,
        "notes": [note for note in notes if note],
    }


# --- the sweep -------------------------------------------------------------------------------------------------------


def due() -> list:
    """Keys of held studies that are to be asked about: those never asked about, and those whose time has come."""
    rows = Lookup.objects.filter(pk=OuterRef("pk"))
    waiting = Exists(rows.filter(clock.unleased(), due_at__lte=Now()))
    never = ~Exists(rows) & ~Exists(_strong()) & Q(deidentified=False, proposed_at__isnull=False)
    held = Study.objects.filter(state=Study.State.HELD).filter(waiting | never)
    return list(held.order_by("received_at").values_list("pk", flat=True)[:AT_ONCE])


def ask_due() -> int:
    """Ask about what is due for a while; a system that is silent holds up one study of the round and no more."""
    systems, until, asked = Systems(), time.monotonic() + ROUND, 0
    for key in due() if systems else ():
        if time.monotonic() > until or not systems:
            break
        Lookup.objects.get_or_create(pk=key, defaults={"by": audit.PORTAL, "due_at": Now()})
        try:
            systems.leave_out(ask(key, systems))
            asked += 1
        except Exception:
            log.exception("Other systems could not be asked about %s", key)
    return asked
