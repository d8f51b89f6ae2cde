"""How good the proposals are: two lists of people and the truth between them, through the rules that staff get.

All in memory: the keys, the bounded blocks, the order of candidates and the weighing are those of `orders.queries.find`
and `reconciliation.matching`; only the tables are dictionaries.
"""

import csv
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from policies.rules import blocking
from policies.rules.matching import Candidate, Class, Person, Proposal, propose
from policies.rules.weights import DEFAULT

Row = Mapping[str, str]
SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F", "O": "O", "OTHER": "O"}
NEEDED = {"left": {"id"}, "right": {"id"}, "truth": {"left_id", "right_id"}}


class Unusable(Exception):
    """A file cannot be read, or has not the columns that it needs."""


class Looked(NamedTuple):
    """What one look-up found, and how long it took in milliseconds."""

    compared: list[str]
    proposals: list[Proposal]
    milliseconds: float


def read(path: str, kind: str) -> list[dict[str, str]]:
    """The rows of a CSV with a header; `kind` is left, right or truth."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            names = [(name or "").strip() for name in rows.fieldnames or []]
            found = [dict(zip(names, ((value or "").strip() for value in row.values()), strict=False)) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise Unusable(f"{path} cannot be read: {problem}") from problem
    if missing := NEEDED[kind] - set(names):
        raise Unusable(f"{path} has no column '{sorted(missing)[0]}'.")
    return found


def person(row: Row) -> Person:
    """Columns that are absent are not known."""
    family, given = (re.sub(r"[\^=\\]+", " ", row.get(name, "")).strip() for name in ("family", "given"))
    number = row.get("identifier", "")
    identifiers = ((number, row.get("issuer", "")),) if number else ()
    sex = SEXES.get(row.get("sex", "").upper(), "")
    return Person(f"{family}^{given}" if family or given else "", row.get("birth_date", ""), sex, identifiers)


class Register:
    """The right-hand list, found by keys as patients are."""

    def __init__(self, rows: Iterable[Row]):
        self.people = {row["id"]: person(row) for row in rows}
        self.blocks: dict[str, list[str]] = defaultdict(list)
        self.holders: dict[str, list[str]] = defaultdict(list)
        self.weights = DEFAULT.among(len(self.people))
        for key, one in sorted(self.people.items()):
            for block in blocking.keys(one.name, one.birth_date):
                self.blocks[block].append(key)
            for number, _issuer in one.identifiers:
                self.holders[number].append(key)

    def look(self, who: Person) -> Looked:
        start = time.perf_counter()
        asked = blocking.asked(who.name, who.birth_date)
        blocks = {key: self.blocks.get(key, [])[: blocking.LIMIT + 1] for key in asked}
        holders = [key for number, _issuer in who.identifiers for key in self.holders.get(number, ())]
        keys = list(dict.fromkeys([*holders[: blocking.PLAUSIBLE], *blocking.ranked(blocks)]))[: blocking.PLAUSIBLE]
        found = propose(
            who,
            None,
            [Candidate(key, self.people[key], None) for key in keys],
            weights=self.weights,
            shares=blocking.shares(blocks, len(self.people)),
        )
        return Looked(keys, found, 1000 * (time.perf_counter() - start))


def measure(left: list[Row], right: list[Row], truth: list[Row]) -> dict:
    """`first`: the true one stands alone in front, without a tie. Shares are of the left records that have a true one.

    `strong` given to a record that has no true one counts as wrong.
    """
    true = defaultdict(set)
    for row in truth:
        true[row["left_id"]].add(row["right_id"])
    register, counts, times = Register(right), dict.fromkeys(("records", "first", "top5", "strong", "found"), 0), []
    wrong = 0
    for row in left:
        looked, meant = register.look(person(row)), true.get(row["id"], set())
        times.append(looked.milliseconds)
        ranked = [one.match.key for one in looked.proposals]
        strong = bool(ranked) and looked.proposals[0].match.klass == Class.STRONG
        wrong += strong and ranked[0] not in meant
        if meant:
            counts["records"] += 1
            counts["first"] += bool(ranked) and ranked[0] in meant and looked.proposals[0].margin > 0
            counts["top5"] += bool(meant & set(ranked[:5]))
            counts["strong"] += strong
            counts["found"] += bool(meant & set(looked.compared))
    of = max(1, counts["records"])
    return {
        "first": counts["first"] / of,
        "top5": counts["top5"] / of,
        "strong_share": counts["strong"] / of,
        "strong_wrong": wrong,
        "median_ms": round(statistics.median(times), 3) if times else 0.0,
        "counts": {"left": len(left), "right": len(right), **counts},
        "made_with": "in memory, with the keys, blocks and weights of the queue",
    }
