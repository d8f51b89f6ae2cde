"""Scopes: what grants and rules are limited to, and whether the facts of a deed or of a study lie in it.

Pure values: keys and texts. A limit that is empty limits nothing; a fact that is None was not asked about.
"""

from datetime import date
from typing import NamedTuple

KEYS = ("source", "destination")
TEXTS = ("modality", "intent", "category")
DAYS = ("valid_from", "valid_until")


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
    return Limits(*(getattr(row, name, None) for name in ("source_id", "destination_id", *TEXTS, *DAYS)))


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
    narrower = all(getattr(outer, name) in (None, "", getattr(inner, name)) for name in KEYS + TEXTS)
    begins = outer.valid_from is None or (inner.valid_from is not None and inner.valid_from >= outer.valid_from)
    ends = outer.valid_until is None or (inner.valid_until is not None and inner.valid_until <= outer.valid_until)
    return narrower and begins and ends


# --- rules -----------------------------------------------------------------------------------------------------------


def conditions(row) -> dict[str, str]:
    """The conditions that the row of a rule has, as its pure rule has them; "" is one that asks nothing."""
    keys = {name: str(getattr(row, f"{name}_id") or "") for name in KEYS if hasattr(row, f"{name}_id")}
    return keys | {name: str(getattr(row, name)).strip() for name in TEXTS if hasattr(row, name)}


def why_outside(rule, facts) -> str:
    """Say which of the conditions that a rule has a study does not meet, or "". Of several modalities one is enough."""
    for name in KEYS:
        if (asked := getattr(rule, name, "")) and asked != getattr(facts, name):
            return f"It is for another {name}."
    if (category := getattr(rule, "category", "")) and category != facts.category:
        return f"It is for studies of the category '{category}', and this one is '{facts.category}'."
    modality = getattr(rule, "modality", "")
    if modality and modality.upper() not in {one.upper() for one in facts.modalities}:
        return f"It is for {modality}, and this study has {', '.join(facts.modalities) or 'no modality'}."
    if (intent := getattr(rule, "intent", "")) and intent != facts.intent:
        return f"It is for the intent '{intent}', and this one is {facts.intent or 'not decided'}."
    return ""
