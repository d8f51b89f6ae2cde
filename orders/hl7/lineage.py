"""Which records are one person's: merges, replayed by the time at which they happened, whenever they were told."""

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import NamedTuple

Record = Hashable


class Takeover(NamedTuple):
    """`tie` sorts what happened at the same time. `ended` is when it was undone."""

    at: datetime
    tie: tuple
    victim: Record
    survivor: Record
    ended: datetime | None = None


def pointers(takeovers: Iterable[Takeover], at: datetime | None = None) -> dict[Record, Record]:
    """Victim -> survivor, at this moment or in the end; what was undone then is left out.

    A survivor that was the victim's victim before is set free: the later message reverses the earlier one, so that
    nobody is ever merged in a circle.
    """
    into: dict[Record, Record] = {}
    for one in sorted(takeovers, key=lambda one: (one.at, one.tie)):
        if one.victim != one.survivor and _stands(one, at):
            if _leads(into, one.survivor, one.victim):
                del into[one.survivor]
            into[one.victim] = one.survivor
    return into


def _stands(one: Takeover, at: datetime | None) -> bool:
    if at is None:
        return one.ended is None
    return one.at <= at and (one.ended is None or one.ended > at)


def _leads(into: dict[Record, Record], record: Record, to: Record) -> bool:
    while record in into:
        record = into[record]
        if record == to:
            return True
    return False


def root(into: dict[Record, Record], record: Record) -> Record:
    """The record that stands for this one."""
    while record in into:
        record = into[record]
    return record


def owner(named: Iterable[tuple[datetime, Record]], takeovers: list[Takeover]) -> Record | None:
    """Whose an order is, by the patients that messages about it named.

    A message that names the survivor of a merge which stood at its time says nothing new about a victim's order.
    """
    own = None
    for at, record in sorted(named, key=lambda one: one[0]):
        if own is None:
            own = record
        elif record != own:
            into = pointers(takeovers, at)
            if root(into, own) != root(into, record):
                own = record
    return own


class Link(NamedTuple):
    """When two patients were linked last, and when they were parted last; both the same where only that is known."""

    at: datetime
    ended: datetime | None = None


def join(one: Link, other: Link) -> Link:
    """Both, told of one pair: the later word counts."""
    linked = [link.at for link in (one, other) if link.at != link.ended]
    parted = max(filter(None, (one.ended, other.ended)), default=None)
    at = max(linked, default=parted or one.at)
    return Link(at, parted if parted and parted >= at else None)
