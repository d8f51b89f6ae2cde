"""What was said last: registers that end in one state whatever the order in which messages arrive, and however often.

`told` is kept with a row as JSON, by column: `{"sex": [stamp, "F"]}`. The greater stamp wins, so two registers are
joined by taking the greater of each column: commutative, associative, idempotent.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

NAMED, APART = "named", "apart"  # keys of `told` that hold more than the last word
COPIED, MASTER = "0", "1"  # an order's copy of the demographics never overrules the feed that owns them

Named = list[list[str]]  # [stamp, key of a patient], sorted


def stamp(at: datetime, control_id: str, number: int = 0, *, rank: str = MASTER) -> str:
    """Sorts by rank, time, control ID (a shorter number is a smaller one), and place within the message."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{rank}|{moment}|{len(control_id):03}|{control_id}|{number:03}"


def moment(stamped: str) -> datetime:
    return datetime.fromisoformat(stamped.split("|", 2)[1])


def tell(told: dict, columns: dict, stamped: str) -> dict:
    """Write what is newer into `told`; the columns whose value that may have changed."""
    newer = {name: value for name, value in columns.items() if _is_newer(told.get(name), [stamped, value])}
    told |= {name: [stamped, value] for name, value in newer.items()}
    return newer


def join(one: dict, other: dict) -> dict:
    """Both, told of one thing."""
    joined = dict(one)
    for name, value in other.items():
        if name == NAMED:
            joined[name] = runs([*one.get(name, []), *value])
        elif name == APART:
            joined[name] = union(one.get(name, {}), value)
        elif _is_newer(one.get(name), value):
            joined[name] = value
    return joined


def _is_newer(known: list | None, said: list) -> bool:
    return known is None or _weight(said) > _weight(known)


def _weight(entry: list) -> tuple[str, str]:
    return entry[0], json.dumps(entry[1], sort_keys=True)


def union(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    """Sets of stamps by key."""
    return {key: sorted({*one.get(key, []), *other.get(key, [])}) for key in sorted({*one, *other})}


def runs(entries: Iterable[list[str]]) -> Named:
    """Who was named when: of each run of the same name the first and the last are enough."""
    kept: Named = []
    for entry in map(list, sorted({tuple(entry) for entry in entries})):
        if len(kept) > 1 and kept[-1][1] == kept[-2][1] == entry[1]:
            kept.pop()
        kept.append(entry)
    return kept
