"""What a worker does when the bell rings, and the sweep that finds what a lost ring left. Arguments are keys alone."""

import logging

from orders import outbound
from policies import anchors, atna, drafts
from policies import quality as policy
from reconciliation import (
    asking,
    automatic,
    commitment,
    deletion,
    delivery,
    emergency,
    intake,
    keeping,
    matching,
    quality,
    rejection_notes,
)

log = logging.getLogger(__name__)


def send(key: str) -> None:
    delivery.send(key)


def tell(key: str) -> None:
    rejection_notes.tell(key)


def prove(key: str) -> None:
    commitment.prove(key)


def ask(key: str) -> None:
    asking.ask(key)


def alarm(key: str) -> None:
    emergency.alarm(key)


def hear(transaction_uid: str) -> None:
    """Act on every report that waits, whoever rang."""
    commitment.hear()


def look_again(key: str) -> None:
    """After the rules of record quality have changed (no key), or when a study is held again."""
    if key:
        quality.look_at(key, policy.rules())
    else:
        quality.look_at_all()


def sweep() -> dict[str, int]:
    """The minute hand: drafts in force, settle, propose, match, tell, send, hear, prove, ask and delete what is due;
    anchor and tell the ledger.

    One bad row never stops it.
    """
    return {
        "in_force": _each(drafts.due(), drafts.apply, counts=bool),
        "settled": _each(intake.quiet(), intake.settle),
        "proposed": _each(matching.stale(), matching.propose),
        "matched": _each(automatic.due(), automatic.match, counts=bool),
        "told": _each(outbound.due(), outbound.send),
        "sent": _each([one.pk for one in delivery.due()], delivery.send),
        "heard": commitment.hear(),
        "proven": _each(commitment.due(), commitment.prove),
        "asked": asking.ask_due(),
        "worked out": keeping.work_out(),
        "deleted": _each(deletion.due(), deletion.carry_out, counts=bool),
        "archives told": _each([one.pk for one in rejection_notes.due()], rejection_notes.tell),
        "anchored": _once(anchors.keep),
        "audited": _once(atna.send_due),
        "alarmed": _each(emergency.untold(), emergency.alarm),
    }


def _once(step) -> int:
    """What comes last and concerns no study may fail without costing the others their turn."""
    try:
        return step()
    except Exception:
        log.exception("The sweep could not do %s.%s", step.__module__, step.__name__)
        return 0


def _each(rows: list, step, counts=lambda _came_of_it: True) -> int:
    """Take a step for each row; how many were taken, of those that count."""
    done = 0
    for row in rows:
        try:
            done += counts(step(row))
        except Exception:
            log.exception("The sweep could not %s %s", step.__name__, getattr(row, "pk", row))
    return done
