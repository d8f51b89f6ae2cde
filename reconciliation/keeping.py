"""Keeping: how long policy keeps a study and why, who looked at it last, what holds it, and another rule for it."""

from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from orders.models import Patient
from orders.patients import root
from policies import audit, authority, retention
from policies.models import Power, RetentionRule, User
from policies.problems import Conflict, Denied, Invalid
from policies.rules import retention as rules
from policies.rules.matching import Class
from policies.rules.retention import Decision, Facts, Rule
from policies.rules.values import as_date
from reconciliation import permission
from reconciliation.models import Deletion, LegalHold, Study

State = Study.State
NOTED = timedelta(hours=1)  # a study that is looked at again within this time is not written again
BATCH = 500  # studies whose day is worked out in one sweep


def facts(study: Study) -> Facts:
    """What rules may ask. The birth date of our own patient counts before the one that came with the images."""
    local = study.local_patient.birth_date if study.local_patient_id else None
    return Facts(
        source=str(study.source_id),
        received=_day(study.received_at),
        category=study.category,
        modalities=tuple(study.modalities),
        intent=study.intent,
        study_date=as_date(study.study_date),
        birth_date=local or as_date(study.patient_birth_date),
        viewed=_day(study.last_viewed_at),
        reported=_day(study.last_reported_at),
    )


def _day(at):
    return timezone.localdate(at) if at else None


def decide(study: Study, *, among: list[Rule] | None = None) -> Decision:
    """The rule that a study was cleared by, as it was then; for one that nobody cleared what policy says today.

    `among`: the active rules, for who asks about many studies.
    """
    if study.retention_terms:
        rule = retention.of_terms(study.retention_terms)
        return Decision(rule, rules.due(rule, facts(study)), [])
    return retention.decide(facts(study), among=among)


def viewed(study: Study) -> None:
    """Somebody looks at the study or its pictures."""
    now = timezone.now()
    if study.last_viewed_at is None or study.last_viewed_at <= now - NOTED:
        seen = Q(last_viewed_at=None) | Q(last_viewed_at__lte=now - NOTED)
        Study.objects.filter(seen, pk=study.pk).update(last_viewed_at=now, due_with="")


# --- the day on which it is over -------------------------------------------------------------------------------------


def stale(among: list[Rule]) -> QuerySet[Study]:
    """Studies whose day was never worked out, or with other facts or rules than those of today."""
    undecided = Q(retention_terms={}) & ~Q(due_with=retention.fingerprint(among))
    rows = Study.objects.filter(Q(due_with="") | undecided).exclude(state__in=[State.RECEIVING, State.EXPIRED])
    return rows.select_related("local_patient").order_by("pk")


def work_out() -> int:
    """Write down when studies fall due, so that those that are can be found; what counts is worked out again then."""
    among = retention.rules()
    rows = list(stale(among)[:BATCH])
    for study in rows:
        due = decide(study, among=among).due
        columns = {"due_on": due.day if due else rules.NEVER, "due_with": retention.fingerprint(among)}
        Study.objects.filter(pk=study.pk, version=study.version).update(**columns)
    return len(rows)


# --- kept by another rule --------------------------------------------------------------------------------------------


def rescue(study: Study, *, rule: RetentionRule, reason: str, by: User) -> None:
    """Keep this study by another rule from now on; an approval to delete it is over."""
    permission.require(by, Power.OVERRIDE, study)
    if study.state in (State.RECEIVING, State.EXPIRED):
        raise Conflict(f"A study that is {study.get_state_display().lower()} is kept by no rule.")
    if not rule.active:
        raise Invalid(f"The retention rule {rule} is no longer in use. Choose another.")
    if not reason.strip():
        raise Invalid("Say why this study is kept by another rule.")
    was = decide(study).rule
    now = {"retention": rule, "retention_terms": retention.terms(retention.rule_of(rule)), "retention_reason": reason}
    now["retention_by"] = by
    with transaction.atomic():
        row = Study.objects.filter(pk=study.pk, version=study.version).exclude(state=State.EXPIRED)
        if not row.update(version=F("version") + 1, due_with="", **now):
            raise Conflict("Somebody else changed this study since you opened it. Look at it again, then decide.")
        audit.record(
            by,
            "keep by another rule",
            study,
            reason=reason,
            detail={"from": was.name if was else "", "to": rule.name, "rule": now["retention_terms"]},
        )
    study.refresh_from_db()


# --- legal holds -----------------------------------------------------------------------------------------------------


def hold(*, study: Study | None = None, patient: Patient | None = None, reason: str, by: User) -> LegalHold:
    """Freeze a study, or all studies of a patient: nothing of it is deleted until somebody lifts the hold."""
    _require(by, study)
    if not reason.strip():
        raise Invalid("Say why this must be kept: the case, the request, the person who asked.")
    with transaction.atomic():
        if study and Study.objects.select_for_update().get(pk=study.pk).state == State.EXPIRED:
            raise Conflict("This study was deleted already. What is left is its proof.")
        if patient:
            _let_deletions_begin_or_wait()
        held = LegalHold.objects.create(
            study=study, patient=patient, reason=reason, placed_by=by, placed_at=timezone.now()
        )
        _tell(by, "hold", held, reason=reason)
    return held


def _let_deletions_begin_or_wait() -> None:
    """A deletion locks its study and then asks for holds: it has begun before this, or it sees what is placed now."""
    doomed = Deletion.objects.filter(state=Deletion.State.APPROVED).values("study")
    list(Study.objects.select_for_update().filter(pk__in=doomed).order_by("pk").values_list("pk"))


def lift(held: LegalHold, *, reason: str, by: User) -> None:
    """End a hold; what was frozen falls under its rule again."""
    _require(by, held.study)
    if held.patient_id and not _over_everything(by):
        raise Denied("This hold is on everything of a patient: only who may approve every deletion may lift it.")
    if not reason.strip():
        raise Invalid("Say why the hold is over.")
    with transaction.atomic():
        ended = {"lifted_by": by, "lifted_at": timezone.now(), "lifted_why": reason}
        if not LegalHold.objects.filter(pk=held.pk, lifted_at=None).update(**ended):
            raise Conflict("This hold was lifted already.")
        _tell(by, "lift hold", held, reason=reason)
    held.refresh_from_db()


def _require(by: User, study: Study | None) -> None:
    """For a hold on a patient the power is needed somewhere at all."""
    if study:
        permission.require(by, Power.DELETE, study)
    else:
        authority.require(by, Power.DELETE)


def _tell(by: User, verb: str, held: LegalHold, *, reason: str) -> None:
    """A hold on a patient is told by key: the ledger of deeds is no list of names."""
    if held.study_id:
        audit.record(by, verb, held.study, reason=reason, detail={"hold": str(held.pk)})
    else:
        audit.record(by, verb, "patient", key=str(held.patient_id), reason=reason, detail={"hold": str(held.pk)})


def holds(study: Study) -> list[LegalHold]:
    """The live holds on a study: on itself, on its patient, or on somebody who may be its patient.

    Records that were merged are one patient, whichever of them the hold names.
    """
    live = LegalHold.objects.filter(lifted_at=None)
    found = list(live.filter(study=study))
    named = list(live.exclude(patient=None).select_related("patient"))
    if named:
        people = [study.local_patient] if study.local_patient_id else [one.patient for one in _proposed(study)]
        roots = {root(person).pk for person in people}
        found += [one for one in named if root(one.patient).pk in roots]
    return found


def live_holds(user: User) -> QuerySet[LegalHold]:
    """Those that this person may lift."""
    mine = Q(study__in=permission.within(user, Power.DELETE).values("pk"))
    if _over_everything(user):
        mine |= Q(study=None)
    rows = LegalHold.objects.filter(mine, lifted_at=None)
    return rows.select_related("study__source", "patient", "placed_by")


def _over_everything(user: User) -> bool:
    """Whether somebody may delete studies of every kind and source: what is on a patient touches all of them."""
    return authority.scope(user, Power.DELETE, whole=True).everywhere


def _proposed(study: Study):
    """Candidates, but for those whom something plainly contradicts."""
    return study.proposals.exclude(klass=Class.CONFLICT).select_related("patient")
