"""Where a study may go next, and what it takes to send it there.

This table is the whole state machine. Buttons, checks, ledger verbs, refusals and the diagram in the docs are all
read from it, and `move()` is the only function that changes `Study.state`.
"""

from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from policies import audit, bell
from policies.models import Power, User
from policies.problems import Conflict, Denied
from policies.rules.objections import PREFIX
from reconciliation import gate, lease, links, permission
from reconciliation.models import Finding, Study

State = Study.State


class Move(NamedTuple):
    """One step: from where, to where, who may ask for it, and what it is called on a button."""

    origins: frozenset
    to: str
    power: str  # "" means that only the portal itself takes this step
    portal: bool  # whether the portal may take it by itself
    words: str


def _move(*origins, to, power="", portal=False, words=""):
    return Move(frozenset(origins), to, power, portal, words)


# From where retention may end a study: not while objects still come, nor while it is on its way to an archive.
ENDS = (State.HELD, State.MAPPED, State.CLEARED, State.DELIVERED, State.REJECTED)

MOVES = {
    "settle": _move(State.RECEIVING, to=State.HELD, power=Power.RECONCILE, portal=True, words="Do not wait for more"),
    "map": _move(State.HELD, to=State.MAPPED, power=Power.RECONCILE, portal=True, words="Map"),
    "unmap": _move(State.MAPPED, State.CLEARED, to=State.HELD, power=Power.RECONCILE, words="Undo the mapping"),
    "reopen": _move(State.MAPPED, State.CLEARED, to=State.HELD, portal=True, words="Held again"),
    "clear": _move(State.MAPPED, to=State.CLEARED, power=Power.RECONCILE, words="Clear for release"),
    "release": _move(State.CLEARED, to=State.RELEASED, power=Power.RELEASE, words="Release"),
    "deliver": _move(State.RELEASED, to=State.DELIVERED, portal=True, words="Delivered"),
    "reject": _move(State.HELD, State.MAPPED, State.CLEARED, to=State.REJECTED, power=Power.REJECT, words="Reject"),
    "expire": _move(*ENDS, to=State.EXPIRED, portal=True, words="Deleted"),
    "reinstate": _move(State.REJECTED, to=State.HELD, power=Power.REJECT, words="Take the rejection back"),
}


def why_not(study: Study, verb: str, by: User | str) -> Denied | Conflict | None:
    """The refusal that `by` would meet, or None. Authority comes first: who may not, need not know the state."""
    step = MOVES.get(verb)
    if step is None:
        return Conflict(f"There is no step called '{verb}'.")
    if by == audit.PORTAL:
        return None if step.portal and study.state in step.origins else _wrong_state(study, verb)
    if not step.power:
        return Denied("Only the portal itself takes this step.")
    if barred := permission.why_not(by, step.power, study):
        return Denied(barred)
    if study.state not in step.origins:
        return _wrong_state(study, verb)
    if barred := lease.why_not(study, by) or (gate.why_shut(study) if verb == "release" else ""):
        return Conflict(barred)
    return None


def _wrong_state(study: Study, verb: str) -> Conflict:
    words = MOVES[verb].words
    return Conflict(f"This study is {study.get_state_display().lower()} by now: '{words}' is no step from there.")


def move(study: Study, verb: str, *, by: User | str, reason: str = "", detail: dict | None = None, **columns) -> None:
    """Take one step, or raise `Denied` or `Conflict`. The step and its ledger line land together, or neither does.

    `study` is what the caller saw: a person's step is refused when the row has another version by now.
    """
    if refusal := why_not(study, verb, by):
        raise refusal
    step = MOVES[verb]
    with transaction.atomic():
        here = Study.objects.filter(pk=study.pk, state__in=step.origins)
        if by != audit.PORTAL:
            here = here.filter(lease.open_to(by), version=study.version)
        elif verb == "map":  # by policy: never while somebody has it open, and only what was judged
            here = here.filter(lease.open_to_nobody(), version=study.version)
        if not here.update(state=step.to, version=F("version") + 1, due_with="", **lease.SEEN, **columns):
            raise overtaken(study, verb, by)
        audit.record(by, verb, study, reason=reason, detail={"from": study.state, "to": step.to, **(detail or {})})
        if step.to == State.HELD and study.state != State.RECEIVING:  # the rules may have changed since it was judged
            bell.ring("reconciliation.tasks.look_again", study.pk)
    study.refresh_from_db()


def overtaken(study: Study, verb: str, by) -> Conflict:
    """Say what has happened to the study meanwhile."""
    now = Study.objects.select_related("source", "lease_by").get(pk=study.pk)
    if refusal := why_not(now, verb, by):
        return Conflict(str(refusal))
    return Conflict("Somebody else changed this study since you opened it. Look at it again, then decide.")


def undecide(study: Study) -> dict:
    """Withdraw what hung on a decision (mapping, link, overrides); return the columns to be emptied with the move."""
    links.withdraw(study)
    study.mappings.filter(undone_at=None).update(undone_at=timezone.now())
    Finding.objects.filter(study=study, code__startswith=PREFIX).delete()
    Finding.objects.filter(study=study).update(overridden_by=None, overridden_at=None, override_reason="")
    emptied = dict.fromkeys(("local_patient", "order", "mapping", "consent", "retention", "retention_by"))
    return emptied | {"intent": "", "retention_reason": "", "retention_terms": {}, "proposed_at": None}


def offered(study: Study, user: User) -> dict[str, str]:
    """The steps that lead on from this state: verb to the reason why it is barred for this user ("" when it is not)."""
    return {
        verb: str(why_not(study, verb, user) or "")
        for verb, step in MOVES.items()
        if step.power and study.state in step.origins
    }
