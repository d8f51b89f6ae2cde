"""How the table is measured: ours and the peer's alternate in one run, and what counts is the ratio of the medians."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 7


class Missing(Exception):
    """A peer that this row is measured against is not installed."""


@dataclass(frozen=True)
class Row:
    """`ratio`: median of ours / median of the peer's; `at_most`: the target. Both in `unit`."""

    work: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    at_most: float
    ok: bool
    unit: str = "s"


def machine() -> dict[str, str | int]:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count() or 0}


def compare(
    work: str,
    peer: str,
    ours: Callable[[], None],
    theirs: Callable[[], None],
    *,
    at_most: float,
    rounds: int = ROUNDS,
    before: Callable[[], None] = lambda: None,
) -> Row:
    """Wall time of ours, theirs, ours, theirs ...: what else the machine does falls on both.

    `before` clears away what the last step left; its time does not count.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for step, taken in zip((ours, theirs), times, strict=True):
            before()
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    mine, other = (statistics.median(taken) for taken in times)
    return row(work, peer, mine, other, at_most=at_most)


def row(work: str, peer: str, ours: float, theirs: float, *, at_most: float, unit: str = "s") -> Row:
    ratio = ours / theirs
    return Row(work, peer, round(ours, 3), round(theirs, 3), round(ratio, 2), at_most, ratio <= at_most, unit)
