"""The numbers behind a score: how often each level of agreement occurs, by field (Fellegi and Sunter, JASA 64, 1969).

A level weighs log2(m/u) bits: m is its share between two records of one person, u between two persons. The defaults are
of the size that the record-linkage literature reports; a site may measure and set its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log2
from types import MappingProxyType

Levels = Mapping[str, tuple[float, float]]

IDENTIFIER: Levels = {
    "same": (0.95, 1e-6),  # among people who have an identifier of one issuer
    "near": (0.01, 1e-5),
    "unissued": (0.02, 0.001),  # small running numbers occur in every hospital
    "different": (0.02, 0.9989),
}
FAMILY_NAME: Levels = {
    "same": (0.85, 0.004),
    "collapsed": (0.02, 0.0005),
    "particle": (0.01, 0.0003),
    "double": (0.03, 0.001),
    "unseparated": (0.005, 0.0001),
    "swapped": (0.005, 0.00005),
    "characters": (0.005, 0.002),
    "close": (0.05, 0.006),
    "different": (0.025, 0.98),  # married, adopted, mistaken
}
GIVEN_NAME: Levels = {
    "same": (0.82, 0.01),
    "collapsed": (0.01, 0.0003),
    "partial": (0.06, 0.002),
    "initial": (0.02, 0.0016),
    "unseparated": (0.005, 0.0005),
    "swapped": (0.005, 0.0005),
    "suffix": (0.004, 0.004),
    "characters": (0.005, 0.004),
    "close": (0.04, 0.02),
    "different": (0.02, 0.95),
}
BIRTH_DATE: Levels = {
    "same": (0.95, 0.0001),
    "swapped": (0.01, 0.00005),
    "transposed": (0.005, 0.0003),
    "digit": (0.02, 0.0015),
    "year": (0.005, 0.00008),
    "different": (0.01, 0.995),
}
SEX: Levels = {"same": (0.98, 0.5), "different": (0.02, 0.5)}
MODALITY: Levels = {"same": (0.9, 0.25), "related": (0.06, 0.03), "different": (0.04, 0.72)}
PROCEDURE: Levels = {"same": (0.65, 0.05), "overlap": (0.25, 0.15), "different": (0.06, 0.8)}
STUDY_DATE: Levels = {"same": (0.3, 0.05), "near": (0.35, 0.15), "different": (0.35, 0.8)}


def _all_levels() -> Mapping[str, Levels]:
    who = {"identifier": IDENTIFIER, "family_name": FAMILY_NAME, "given_name": GIVEN_NAME, "birth_date": BIRTH_DATE}
    which = {"modality": MODALITY, "procedure": PROCEDURE, "study_date": STUDY_DATE}
    return MappingProxyType(who | {"sex": SEX} | which)


@dataclass(frozen=True)
class Weights:
    """The numbers behind a score. `levels` holds (m, u) by field and level.

    `person` is the chance, before looking, that a candidate is the patient (one in so many who could come up); `order`
    the chance that a study of theirs belongs to the order at hand.
    """

    person: float = 1 / 131_072
    order: float = 8 / 9
    levels: Mapping[str, Levels] = field(default_factory=_all_levels)

    def weigh(self, name: str, level: str) -> float:
        m, u = self.levels[name].get(level, (1.0, 1.0))
        return log2(m / u)


DEFAULT = Weights()
