"""Which patients are worth comparing: short keys, stored with every patient, asked for with every study.

Blocks that hold more people than `LIMIT` tell nobody apart and count for little; the smaller one is, the more it says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from math import log2
from typing import TypeVar

from policies.rules.birthdates import birth_date_variants, year_of
from policies.rules.names import said
from policies.rules.sounds import sound
from policies.rules.weights import FEWEST

NEXT_TO_NOTHING = 0.01
LIMIT = 300  # people in a block that are looked at
PLAUSIBLE = 100  # candidates that are compared one by one; more than that is not a block but a town
LONGEST = 40  # letters of a word
WORDS = 2  # of family and of given name, each

Key = TypeVar("Key", bound=Hashable)


def keys(name: str, birth_date: str) -> set[str]:
    """Under which keys a patient is stored: birth date, the sounds of the name by pairs, by birth year, and alone."""
    sounds, year = _sounds(name), year_of(birth_date)
    made = {f"d{date}" for date in birth_date_variants(birth_date)[:1] if len(date) == 8}
    made |= {f"p{one} {other}" for one, other in combinations(sorted(sounds), 2)}
    made |= {
        f"q{one} {other}" for one, other in combinations(sorted({"".join(sorted(w[:3])) for w in _words(name)}), 2)
    }
    return (
        made
        | {f"t{one} {year}" for one in sounds}
        | {f"w{one}" for one in _words(name)}
        | {f"s{one}" for one in sounds}
    )


def asked(name: str, birth_date: str) -> list[str]:
    """Under which keys to look for a patient: the same, dates that a slip would make, and patients without a date."""
    made = keys(name, birth_date)
    made |= {f"d{date}" for date in birth_date_variants(birth_date)}
    return sorted(made | {f"t{one} " for one in _sounds(name)})


def telling(made: Iterable[str]) -> set[str]:
    """The keys of more than one name alone: those that a study and a patient share only when they could be one."""
    return {key for key in made if key[0] not in "ws"}


def ranked(blocks: Mapping[str, Sequence[Key]], limit: int = PLAUSIBLE) -> list[Key]:
    """Those found, the likeliest first: in many blocks, or in small ones. Of a block, `LIMIT` + 1 are enough."""
    bits: dict[Key, float] = defaultdict(float)
    for block in blocks.values():
        worth = log2(2 * LIMIT / len(block)) if 0 < len(block) <= LIMIT else NEXT_TO_NOTHING
        for one in block:
            bits[one] += worth
    return sorted(bits, key=lambda one: (-bits[one], one))[:limit]


def shares(blocks: Mapping[str, Sequence[Hashable]], patients: int) -> dict[str, float]:
    """How many of the patients bear a name, by its sound, where it is so rare that the block holds them all."""
    counted = {key[1:]: len(block) for key, block in blocks.items() if key.startswith("w")}
    return {name: max(1, n) / max(patients, FEWEST) for name, n in counted.items() if n <= LIMIT}


def _sounds(name: str) -> set[str]:
    return {sound(word) for word in _words(name)} - {""}


def _words(name: str) -> set[str]:
    return {word[:LONGEST] for group in said(name) for part in group for word in (*part[:WORDS], *part[-1:])}
