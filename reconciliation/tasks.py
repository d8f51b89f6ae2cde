"""What a worker does when the bell rings, and the sweep that finds what a lost ring left. Arguments are keys alone."""

import logging

from orders import outbound
from reconciliation import asking, automatic, commitment, delivery, emergency, intake, matching

log = logging.getLogger(__name__)


def send(key: str) -> None:
    delivery.send(key)


def prove(key: str) -> None:
    commitment.prove(key)


def ask(key: str) -> None:
    asking.ask(key)


def alarm(key: str) -> None:
    emergency.alarm(key)


def hear(transaction_uid: str) -> None:
    """Act on every report that waits, whoever rang."""
    commitment.hear()


def sweep() -> dict[str, int]:
    """The minute hand: settle, propose, match, tell, send, hear, prove and ask what is due.

    One bad row never stops it.
    """
    return {
        "settled": _each(intake.quiet(), intake.settle),
        "proposed": _each(matching.stale(), matching.propose),
        "matched": _each(automatic.due(), automatic.match, counts=bool),
        "told": _each(outbound.due(), outbound.send),
        "sent": _each([one.pk for one in delivery.due()], delivery.send),
        "heard": commitment.hear(),
        "proven": _each(commitment.due(), commitment.prove),
        "asked": asking.ask_due(),
        "alarmed": _each(emergency.untold(), emergency.alarm),
    }


def _each(rows: list, step, counts=lambda _came_of_it: True) -> int:
    """Take a step for each row; how many were taken, of those that count."""
    done = 0
    for row in rows:
        try:
            done += counts(step(row))
        except Exception:
            log.exception("The sweep could not %s %s", step.__name__, getattr(row, "pk", row))
    return done
