"""One message while it is applied: who tells, when it was said, and what becomes of it. Its ledger lines come last."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import models
from django.utils import timezone

from orders.hl7 import registers
from policies import audit

LONGEST_CONTROL_ID = 199


@dataclass
class Telling:
    """`by` is the actor of the ledger: a sender's name, or a person. `key` is that of the message."""

    by: object
    at: datetime
    control_id: str = ""
    key: str = ""
    changed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: dict[str, None] = field(default_factory=dict)  # identifiers and numbers by which the message is found
    lines: list[tuple[str, models.Model, dict]] = field(default_factory=list)

    def stamp(self, number: int = 0, *, rank: str = registers.MASTER) -> str:
        return registers.stamp(self.at, self.control_id[:LONGEST_CONTROL_ID], number, rank=rank)

    @property
    def label(self) -> str:
        """Who said so, in the 150 characters of a merge or a cross-reference."""
        return f"{str(self.by)[:90]} {self.control_id[:58]}".strip()

    def find_by(self, words: Iterable[str]) -> None:
        self.words |= dict.fromkeys(word for word in words if word)

    def tell(self, verb: str, row: models.Model, sentence: str, detail: dict | None = None) -> None:
        """What was done to a patient or an order: for staff who look at the message, and for the ledger."""
        self.changed.append(sentence)
        self.lines.append((verb, row, detail or {}))

    def record(self) -> None:
        """The ledger lines. They hold the head of the chain until the commit, so this is called last."""
        said = {"message": self.key} if self.key else {}
        for verb, row, detail in self.lines:
            audit.record(self.by, verb, row, detail=said | detail)
        self.lines.clear()


def change(row: models.Model, columns: dict) -> dict[str, list[str]]:
    """Set the columns that differ, unsaved; `{column: [old, new]}`, as the ledger and staff read them."""
    changes = {
        name: [str(getattr(row, name) or ""), str(value or "")]
        for name, value in columns.items()
        if getattr(row, name) != value
    }
    for name in changes:
        setattr(row, name, columns[name])
    return changes


def by_hand(row: models.Model, columns: Iterable[str]) -> None:
    """What a person corrected counts as said now: no message that is older undoes it, and newer ones may.

    `row` is a patient or an order; its columns are saved already.
    """
    values = {column: getattr(row, column) for column in columns}
    text = {name: value.isoformat() if isinstance(value, date) else value or "" for name, value in values.items()}
    registers.tell(row.told, text, registers.stamp(timezone.now(), ""))
    type(row).objects.filter(pk=row.pk).update(told=row.told)
