"""The numbers behind a score: how often each level of agreement occurs, by field (Fellegi and Sunter, JASA 64, 1969).

A level weighs log2(m/u) bits: m is its share between two records of one person, u between two persons. The defaults are
of the size that the record-linkage literature reports; a site may measure and set its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import log2
from types import MappingProxyType
from typing import Protocol

Levels = Mapping[str, tuple[float, float]]


class Row(Protocol):
    """One measured pair: the field, the level of agreement, m and u."""

    field: str
    level: str
    m: float
    u: float


IDENTIFIER: Levels = {
    "same": (0.93, 1e-6),  # among people who have an identifier of one issuer
    "linked": (0.018, 2e-6),  # decided before by people, who err now and then
    "near": (0.01, 1e-5),
    "unissued": (0.02, 0.001),  # small running numbers occur in every hospital
    "different": (0.02, 0.9989),
}
FAMILY_NAME: Levels = {
    "same": (0.82, 0.002),  # two people in 500; the most frequent name of most countries has 1 in 100
    "collapsed": (0.015, 0.0005),
    "particle": (0.01, 0.0003),
    "double": (0.03, 0.001),
    "unseparated": (0.005, 0.0001),
    "swapped": (0.01, 0.00005),
    "crossed": (0.002, 0.0001),
    "moved": (0.0005, 0.0005),
    "romanised": (0.005, 0.002),
    "characters": (0.005, 0.002),
    "typo": (0.03, 0.0003),
    "close": (0.02, 0.003),
    "different": (0.04, 0.98),  # married, adopted, mistaken
}
GIVEN_NAME: Levels = {
    "same": (0.8, 0.01),
    "collapsed": (0.01, 0.0003),
    "partial": (0.06, 0.002),
    "initial": (0.02, 0.0016),
    "unseparated": (0.005, 0.0005),
    "swapped": (0.01, 0.0005),
    "crossed": (0.002, 0.0005),
    "moved": (0.0005, 0.0005),
    "romanised": (0.005, 0.005),
    "suffix": (0.004, 0.004),
    "characters": (0.005, 0.004),
    "typo": (0.025, 0.0008),
    "close": (0.02, 0.012),  # brothers and sisters are often named alike
    "different": (0.022, 0.915),
    "sibling": (0.0001, 0.04),  # pairs of twins are ten times as frequent as chance would have it
    "absent": (0.004, 0.0004),  # what one hospital could not find out, another could not either
}
BIRTH_DATE: Levels = {
    "same": (0.925, 0.00004),  # one day in the 70 years in which most patients are born
    "swapped": (0.01, 0.00002),
    "transposed": (0.005, 0.0002),
    "digit": (0.02, 0.001),
    "year": (0.005, 0.00008),
    "parts": (0.01, 0.004),  # two of year, month and day
    "different": (0.02, 0.99),
    "absent": (0.004, 0.0004),
}
SEX: Levels = {"same": (0.98, 0.5), "different": (0.02, 0.5)}
MODALITY: Levels = {"same": (0.9, 0.25), "related": (0.06, 0.03), "different": (0.04, 0.72)}
PROCEDURE: Levels = {"same": (0.65, 0.05), "overlap": (0.25, 0.15), "different": (0.06, 0.8)}
STUDY_DATE: Levels = {"same": (0.3, 0.05), "near": (0.35, 0.15), "different": (0.35, 0.8)}


def _all_levels() -> Mapping[str, Levels]:
    who = {"identifier": IDENTIFIER, "family_name": FAMILY_NAME, "given_name": GIVEN_NAME, "birth_date": BIRTH_DATE}
    which = {"modality": MODALITY, "procedure": PROCEDURE, "study_date": STUDY_DATE}
    return MappingProxyType(who | {"sex": SEX} | which)


KNOWN = 0.5  # of the people in outside studies, those whom the hospital knows already
BY_FREQUENCY = {"same", "collapsed", "typo", "swapped", "crossed", "moved", "double", "partial", "particle"}
RARER = 32  # times, at most, that a rare name counts as rarer than one that is not
FEWEST = 1_000  # people among whom a patient is looked for, however few are known yet


@dataclass(frozen=True)
class Weights:
    """The numbers behind a score. `levels` holds (m, u) by field and level.

    `person` is the chance, before looking, that one given patient is the one received; `order` the chance that a study
    of theirs belongs to the order at hand.
    """

    person: float = 1 / 131_072
    order: float = 8 / 9
    levels: Mapping[str, Levels] = field(default_factory=_all_levels)

    def weigh(self, name: str, level: str, share: float = 0.0) -> float:
        """Bits for or against. `share`: of the people who bear this very name, where that is known: agreement in a rare
        name says more than in a frequent one (u by frequency; Newcombe, Science 130, 1959)."""
        m, u = self.levels[name].get(level, (1.0, 1.0))
        if share and level in BY_FREQUENCY:
            u *= max(share / self.levels[name]["same"][1], 1 / RARER)
        return log2(m / min(u, 1.0))

    def among(self, patients: int) -> Weights:
        """The same where so many patients are known: the more there are, the less it takes to be mistaken."""
        return replace(self, person=KNOWN / max(patients, FEWEST))

    def overridden(self, rows: Iterable[Row]) -> Weights:
        """With the (m, u) of these rows instead of the defaults; a row that names no field or level is passed by."""
        levels = {name: dict(known) for name, known in self.levels.items()}
        for row in rows:
            if row.level in levels.get(row.field, ()) and 0 < row.m < 1 and 0 < row.u < 1:
                levels[row.field][row.level] = (row.m, row.u)
        return replace(self, levels=MappingProxyType({name: MappingProxyType(own) for name, own in levels.items()}))


DEFAULT = Weights()
