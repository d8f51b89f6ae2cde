"""m and u from what people decided: how levels of agreement are spread over right pairs and over pairs by chance.

What is rarely seen must not be read from a few cases: every default counts as `SIGHTINGS` of its own level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.rules.weights import DEFAULT, Weights

SIGHTINGS = 5  # with so many real ones, a default and what was measured weigh the same
SILENT = {"missing"}

Levels = Mapping[str, str]  # by field


@dataclass(frozen=True)
class Learned:
    """What one level weighs now; `decisions` and `pairs` are those in which the field was known on both sides."""

    field: str
    level: str
    m: float
    u: float
    decisions: int
    pairs: int


def learn(right: Iterable[Levels], chance: Iterable[Levels], *, weights: Weights = DEFAULT) -> list[Learned]:
    """`right`: levels of the candidates that people chose; `chance`: of pairs drawn by lot."""
    confirmed, random = _counted(right), _counted(chance)
    rows = []
    for name, levels in weights.levels.items():
        seen, drawn = confirmed.get(name, Counter()), random.get(name, Counter())
        if not seen.total():
            continue
        for level, (m, u) in levels.items():
            share_m, share_u = _smoothed(seen, level, m), _smoothed(drawn, level, u)
            rows.append(Learned(name, level, share_m, share_u, seen.total(), drawn.total()))
    return rows


def _counted(pairs: Iterable[Levels]) -> dict[str, Counter]:
    counts: dict[str, Counter] = {}
    for levels in pairs:
        for name, level in levels.items():
            if level not in SILENT:
                counts.setdefault(name, Counter())[level] += 1
    return counts


def _smoothed(counts: Counter, level: str, default: float) -> float:
    return (counts[level] + SIGHTINGS) / (counts.total() + SIGHTINGS / default)
