"""Scopes: what a grant, or a rule about a second person, is limited to, and whether the facts of a deed lie in it.

Pure values: keys and texts. A limit that is empty limits nothing; a fact that is None was not asked about.
"""

from datetime import date
from typing import NamedTuple


class Facts(NamedTuple):
    """What a deed is about. `intent` is "" while nobody has decided it; `modalities` are all of the study's."""

    source: object = None
    destination: object = None
    modalities: tuple[str, ...] | None = None
    intent: str | None = None
    category: str | None = None


class Limits(NamedTuple):
    """The studies, destinations and days for which a power was given."""

    source: object = None
    destination: object = None
    modality: str = ""
    intent: str = ""
    category: str = ""
    valid_from: date | None = None
    valid_until: date | None = None

    def began(self, today: date) -> bool:
        return self.valid_from is None or self.valid_from <= today

    def holds_on(self, today: date) -> bool:
        return self.began(today) and (self.valid_until is None or self.valid_until >= today)


def of(row) -> Limits:
    """The limits of a row by its plain columns; what the row does not have does not limit it."""
    return Limits(
        row.source_id,
        row.destination_id,
        row.modality,
        row.intent,
        row.category,
        getattr(row, "valid_from", None),
        getattr(row, "valid_until", None),
    )


def bar(held: list[Limits], facts: Facts, *, undecided_is_covered: bool) -> tuple[str, list[Limits]]:
    """What keeps `facts` out of all that is held: the name of the limit, "" for nothing, and what was left before it.

    Every limit must be met by one and the same grant; only the modalities of one study may be covered by several.
    """
    undecided = ("",) if undecided_is_covered else ()
    passes = {
        "source": lambda one: one.source in (None, facts.source),
        "destination": lambda one: one.destination in (None, facts.destination),
        "category": lambda one: one.category in ("", facts.category),
        "intent": lambda one: not one.intent or facts.intent in (one.intent, *undecided),
    }
    for limit, passed in passes.items():
        if getattr(facts, limit) is None:
            continue
        left = [one for one in held if passed(one)]
        if not left:
            return limit, held
        held = left
    return ("" if facts.modalities is None or _covered(facts.modalities, held) else "modality"), held


def _covered(modalities: tuple[str, ...], held: list[Limits]) -> bool:
    """Every modality of the study is; a study that says none is covered only by what asks for none."""
    among = {one.modality for one in held}
    return "" in among or (bool(modalities) and among.issuperset(modalities))


def touches(limits: Limits, facts: Facts) -> bool:
    """Whether a precaution for this scope is due: one modality in it is enough; what is not known counts as in it."""
    return (
        (limits.source is None or facts.source in (None, limits.source))
        and (limits.destination is None or facts.destination in (None, limits.destination))
        and (not limits.modality or not facts.modalities or limits.modality in facts.modalities)
        and (not limits.intent or facts.intent in (None, "", limits.intent))
        and (not limits.category or facts.category in (None, limits.category))
    )


def within(inner: Limits, outer: Limits) -> bool:
    """Whether everything that `inner` gives, and for as long, is given by `outer` alone."""
    scope = ("source", "destination", "modality", "intent", "category")
    narrower = all(not getattr(outer, name) or getattr(inner, name) == getattr(outer, name) for name in scope)
    begins = outer.valid_from is None or (inner.valid_from is not None and inner.valid_from >= outer.valid_from)
    ends = outer.valid_until is None or (inner.valid_until is not None and inner.valid_until <= outer.valid_until)
    return narrower and begins and ends
