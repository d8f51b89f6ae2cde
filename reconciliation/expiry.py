"""Expiry: what has fallen due, what stands against its deletion, who approves it, and what may still be taken back.

Nothing is deleted here. An approval is a dated row that `deletion` carries out after the grace time, asking all of this
again.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from policies import audit, retention
from policies.models import Power, User
from policies.problems import Conflict, Denied, Invalid
from policies.rules.retention import DECIDE, Due, Rule
from reconciliation import keeping, lease, permission
from reconciliation.models import Deletion, Delivery, Study
from reconciliation.workflow import ENDS

State, Stage = Study.State, Deletion.State
WAITS = Q(state=Stage.APPROVED, wants_second=True, seconded_by=None)  # decisions that want a second person still
RELATED = ("source", "local_patient", "consent", "lease_by", "rejected_for")


class Against(NamedTuple):
    """What speaks against deleting a study; what `bars` cannot be approved, the rest is for the approver to weigh."""

    sentence: str
    bars: bool


class Item(NamedTuple):
    """A study whose keeping is over."""

    study: Study
    rule: Rule
    due: Due
    against: list[Against]

    @property
    def barred(self) -> str:
        """Everything that bars it, "" when it may be approved."""
        return " ".join(one.sentence for one in self.against if one.bars)

    @property
    def alone(self) -> bool:
        """Whether a person decides about this very study: it is never approved with all the others."""
        return self.rule.outcome == DECIDE or bool(self.due.doubt)


# --- the due list ----------------------------------------------------------------------------------------------------


def may_be_due(user: User) -> QuerySet[Study]:
    """The studies in which this person may approve deletion, and whose day has come as last worked out."""
    rows = permission.within(user, Power.DELETE)
    rows = rows.filter(due_on__lte=timezone.localdate(), state__in=[*ENDS, State.RELEASED])
    rows = rows.exclude(deletions__state__in=[Stage.APPROVED, Stage.DELETING]).select_related(*RELATED)
    return rows.order_by("due_on", "pk")


def due(rows: QuerySet[Study] | list[Study]) -> Iterator[Item]:
    """Those that are really due today: the day is worked out again, and what stands against is asked now."""
    among = retention.rules()
    for study in rows:
        if item := of(study, among=among):
            yield item


def of(study: Study, *, among: list[Rule] | None = None) -> Item | None:
    """A study that is due; None for one that is not, or to which no rule applies."""
    found = keeping.decide(study, among=among)
    if found.rule is None or found.due.day > timezone.localdate():
        return None
    return Item(study, found.rule, found.due, against(study, found.rule, found.due))


# --- what stands against ---------------------------------------------------------------------------------------------


def against(study: Study, rule: Rule, due: Due) -> list[Against]:
    """Everything at once: whoever looks at the list sees all of it."""
    bars = [*_held(study), *_bound(study), *_looked_at(study), *_under_way(study)]
    weighs = [due.doubt] if due.doubt else []
    if rule.outcome == DECIDE:
        weighs.append("The rule leaves it to a person.")
    return [*(Against(one, True) for one in bars), *_unproven(study), *(Against(one, False) for one in weighs)]


def _held(study: Study) -> list[str]:
    return [f"Legal hold since {_day(one.placed_at)} ({one.placed_by}): {one.reason}" for one in keeping.holds(study)]


def _bound(study: Study) -> list[str]:
    """A consent that names an end speaks of the images until then."""
    until = study.consent.until if study.consent_id else None
    bound = until is not None and until >= timezone.localdate()
    return [f"The consent runs until {until}: until then the images are kept as it says."] if bound else []


def _looked_at(study: Study) -> list[str]:
    lately = timezone.now() - timedelta(seconds=settings.VIEWED_LATELY_SECONDS)
    if study.last_viewed_at is None or study.last_viewed_at <= lately:
        return []
    return [f"Somebody viewed it on {_day(study.last_viewed_at)}: it is in use."]


def _under_way(study: Study) -> list[str]:
    open_ones = study.deliveries.exclude(state=Delivery.State.DELIVERED).select_related("destination")
    found = [f"The delivery to {one.destination} is not done: {one.get_state_display().lower()}." for one in open_ones]
    if study.state not in ENDS and not found:
        found.append(f"It is {study.get_state_display().lower()}: that must come to its end first.")
    if holder := lease.holder(study):
        found.append(f"{holder} has this study open.")
    return found


def _unproven(study: Study) -> list[Against]:
    """What an archive accepted and never showed again may be there or not: the copy here may be the only one."""
    silent = Q(instances__accepted=True, instances__committed_at=None, instances__counted_at=None)
    done = study.deliveries.select_related("destination").annotate(silent=Count("instances", filter=silent))
    return [
        Against(
            f"{one.destination} never proved that it keeps {one.silent} of its objects.",
            one.destination.proof != "none",
        )
        for one in done.filter(state=Delivery.State.DELIVERED, silent__gt=0)
    ]


def _day(at: datetime) -> str:
    return str(timezone.localdate(at))


# --- approval --------------------------------------------------------------------------------------------------------


def approve(study: Study, *, reason: str, by: User) -> Deletion:
    """The decision that a study is deleted when the grace time is over. `Conflict` says what stands against it."""
    permission.require(by, Power.DELETE, study)
    if not reason.strip():
        raise Invalid("Say why these may be deleted: the ledger keeps it with your name.")
    with transaction.atomic():
        here = Study.objects.select_for_update(of=("self",)).select_related(*RELATED).get(pk=study.pk)
        item = of(here)
        if item is None:
            raise Conflict("It is not due: its retention is not over, or no rule says that it ever is.")
        if item.barred:
            raise Conflict(item.barred)
        now = timezone.now()
        made = _decided(item, reason=reason, by=by, now=now)
        detail = {"rule": made.rule, "due": str(made.due_on), "not before": made.not_before.isoformat()}
        detail |= {"second person": "wanted"} if made.wants_second else {}
        audit.record(by, "approve deletion", here, reason=reason, detail={"decision": str(made.pk), **detail})
    return made


def _decided(item: Item, *, reason: str, by: User, now: datetime) -> Deletion:
    try:
        with transaction.atomic():
            return Deletion.objects.create(
                study=item.study,
                patient_id=item.study.local_patient_id,
                rule=retention.terms(item.rule),
                due_on=item.due.day,
                arithmetic=item.due.sentence,
                reason=reason,
                approved_by=by,
                approved_at=now,
                wants_second=permission.second_person(Power.DELETE, item.study) is not None,
                not_before=now + timedelta(seconds=settings.DELETION_GRACE_SECONDS),
            )
    except IntegrityError:
        raise Conflict("Its deletion is approved already.") from None


def approve_all(studies: list[Study], *, reason: str, by: User) -> tuple[list[Deletion], dict]:
    """One decision for each; those that cannot be approved, by key, with the reason why. One never stops the others."""
    made, refused = [], {}
    for study in studies:
        try:
            made.append(approve(study, reason=reason, by=by))
        except Conflict as why:
            refused[study.pk] = str(why)
    return made, refused


def take_back(decision: Deletion, *, reason: str, by: User) -> None:
    """Until the deletion begins, whoever may approve may take an approval back."""
    permission.require(by, Power.DELETE, decision.study)
    if not reason.strip():
        raise Invalid("Say why the approval is taken back.")
    if not end(decision, Stage.TAKEN_BACK, by=by, verb="take back deletion", why=reason):
        raise Conflict("It is too late: this deletion has begun, or is over.")


def end(decision: Deletion, stage: str, *, by: User | str, verb: str, why: str) -> bool:
    """End an approval without deleting anything; False when it is none any more."""
    with transaction.atomic():
        ended = {"state": stage, "ended_at": timezone.now(), "ended_by": str(by)[:200], "ended_why": why}
        if not Deletion.objects.filter(pk=decision.pk, state=Stage.APPROVED).update(**ended):
            return False
        audit.record(by, verb, decision.study, reason=why, detail={"decision": str(decision.pk)})
    return True


def wanting(decision: Deletion) -> str:
    """Say what an approval still wants, or "": asked when it was made, and again when it is carried out."""
    if decision.seconded_by_id:
        return ""
    wants = decision.wants_second or permission.second_person(Power.DELETE, decision.study)
    return "It waits for a second person to agree." if wants else ""


def why_not_agree(decision: Deletion, by: User) -> str:
    """Say why `by` cannot be the second person, or ""."""
    if decision.approved_by_id == by.pk:
        return "You approved this yourself: another person must agree to it."
    return permission.why_not(by, Power.DELETE, decision.study)


def agree(decision: Deletion, *, by: User) -> None:
    """The second person's yes, by somebody else who may approve deletion. The grace time begins anew."""
    if barred := why_not_agree(decision, by):
        raise Denied(barred)
    with transaction.atomic():
        here = Study.objects.select_for_update(of=("self",)).select_related(*RELATED).get(pk=decision.study_id)
        item = of(here)
        if item is None or item.barred:
            raise Conflict(item.barred if item else "It is not due any more.")
        now = timezone.now()
        not_before = now + timedelta(seconds=settings.DELETION_GRACE_SECONDS)
        mine = Deletion.objects.filter(WAITS, pk=decision.pk).exclude(approved_by=by)
        if not mine.update(seconded_by=by, seconded_at=now, not_before=not_before):
            raise Conflict("It waits for nobody any more: somebody agreed to it, or took it back.")
        told = {"decision": str(decision.pk), "approved by": str(decision.approved_by)}
        audit.record(by, "agree to deletion", here, detail=told | {"not before": not_before.isoformat()})
    decision.refresh_from_db()


def agree_all(decisions: list[Deletion], *, by: User) -> tuple[list[Deletion], dict]:
    """Each that can be agreed to; the others, by key, with the reason why. One never stops the others."""
    made, refused = [], {}
    for decision in decisions:
        try:
            agree(decision, by=by)
            made.append(decision)
        except (Conflict, Denied) as why:
            refused[decision.pk] = str(why)
    return made, refused


def approved(user: User) -> QuerySet[Deletion]:
    """Approvals that may still be taken back, and what is being deleted, the next first."""
    rows = Deletion.objects.filter(state__in=[Stage.APPROVED, Stage.DELETING]).order_by("not_before", "pk")
    rows = rows.select_related("study__source", "study__local_patient", "approved_by", "seconded_by")
    return rows.filter(study__in=permission.within(user, Power.DELETE).values("pk"))


def ended(user: User) -> QuerySet[Deletion]:
    """What became of approvals, the last first."""
    rows = Deletion.objects.filter(state__in=[Stage.DONE, Stage.TAKEN_BACK, Stage.STOPPED])
    rows = rows.select_related("study__source", "approved_by", "seconded_by", "proof")
    rows = rows.filter(study__in=permission.within(user, Power.DELETE).values("pk"))
    return rows.order_by(F("ended_at").desc(), "pk")
