"""What a worker does when the bell rings, and the sweep that finds what a lost ring left. Arguments are keys alone."""

import logging

from reconciliation import delivery, intake, matching

log = logging.getLogger(__name__)


def send(key: str) -> None:
    delivery.send(key)


def sweep() -> dict[str, int]:
    """The minute hand: settle what is quiet, propose what is stale, send what is due. One bad row never stops it."""
    return {
        "settled": _each(intake.quiet(), intake.settle),
        "proposed": _each(matching.stale(), matching.propose),
        "sent": _each([one.pk for one in delivery.due()], delivery.send),
    }


def _each(rows: list, step) -> int:
    done = 0
    for row in rows:
        try:
            step(row)
            done += 1
        except Exception:
            log.exception("The sweep could not %s %s", step.__name__, getattr(row, "pk", row))
    return done
