"""Retention: which rule a study falls under, why the others did not, and the day on which it is over, worked out.

Days are whole days of the portal's time zone. Nothing here knows today: whoever asks compares.
"""

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from policies.rules import scopes

PERIOD = re.compile(r"P(?=\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?")
NEVER = date.max  # what lies past the calendar is never over

RECEIVED, STUDY_DATE, VIEWED, REPORTED = "received", "study date", "viewed", "reported"
DELETE, TELL, DECIDE = "delete", "tell", "decide"
UNKNOWN_AGE = "It asks for the patient's age, and the birth date is not known."
STARTS = {
    RECEIVED: "received on",
    STUDY_DATE: "made on",
    VIEWED: "last viewed on",
    REPORTED: "last reported on",
}


@dataclass(frozen=True)
class Rule:
    """One rule as it was when it was asked. Conditions that are empty hold for every study.

    `under`, `from_age`: years of age on the study date; `birthday`: never over before the patient is that old.
    """

    name: str
    period: str  # ISO 8601: years, months, weeks, days
    key: str = ""
    source: str = ""
    category: str = ""
    modality: str = ""
    intent: str = ""
    from_age: int | None = None
    under: int | None = None
    clock: str = RECEIVED
    birthday: int | None = None
    outcome: str = DELETE


@dataclass(frozen=True)
class Facts:
    """What a rule may ask of a study. `intent` is "" while nobody has decided; days are None when not known."""

    source: str
    received: date
    category: str = ""
    modalities: tuple[str, ...] = ()
    intent: str = ""
    study_date: date | None = None
    birth_date: date | None = None
    viewed: date | None = None
    reported: date | None = None


class Due(NamedTuple):
    """The last day of keeping is the one before `day`. `doubt`: why only a person can trust it, or ""."""

    day: date
    sentence: str
    doubt: str = ""


class Decision(NamedTuple):
    """`rule` and `due` are None when no rule applies; `passed_over`: names of rules asked before it, and why not."""

    rule: Rule | None
    due: Due | None
    passed_over: list[tuple[str, str]]


def decide(rules: Iterable[Rule], facts: Facts) -> Decision:
    """The first rule, in the order given, whose conditions all hold."""
    passed_over = []
    for rule in rules:
        barred = why_not(rule, facts)
        if not barred:
            return Decision(rule, _doubting(due(rule, facts), passed_over), passed_over)
        passed_over.append((rule.name, barred))
    return Decision(None, None, passed_over)


def _doubting(found: Due, passed_over: list[tuple[str, str]]) -> Due:
    """A rule for children may keep what a later rule would let go: without a birth date only a person can tell."""
    unknown = [name for name, why in passed_over if why == UNKNOWN_AGE]
    if not unknown or found.doubt:
        return found
    named = ", ".join(unknown)
    return found._replace(doubt=f"The birth date is not known, and this may fall under {named}: a person must decide.")


def why_not(rule: Rule, facts: Facts) -> str:
    """Say which condition does not hold, or ""."""
    return scopes.why_outside(rule, facts) or _why_not_age(rule, facts)


def _why_not_age(rule: Rule, facts: Facts) -> str:
    if rule.under is None and rule.from_age is None:
        return ""
    years = _age(facts)
    if years is None:
        return UNKNOWN_AGE
    if rule.under is not None and years >= rule.under:
        return f"It is for patients under {rule.under}, and this one was {years}."
    if rule.from_age is not None and years < rule.from_age:
        return f"It is for patients from {rule.from_age} years on, and this one was {years}."
    return ""


def _age(facts: Facts) -> int | None:
    """On the study date; on the day of reception where that is not known, or lies before the birth."""
    on_study_date = age(facts.birth_date, facts.study_date) if facts.study_date else None
    return age(facts.birth_date, facts.received) if on_study_date is None else on_study_date


def due(rule: Rule, facts: Facts) -> Due:
    """The first day on which the study need not be kept any more, with its arithmetic in a sentence."""
    clock, start = _start(rule.clock, facts)
    end = until(start, rule.period)
    said = f"{STARTS[clock].capitalize()} {start} + {words(rule.period)} = {_said(end)}"
    if clock != rule.clock:
        said += f" (when it was {STARTS[rule.clock].removesuffix(' on')} is not known)"
    if rule.birthday is None:
        return Due(end, f"{said}.")
    if facts.birth_date is None:
        doubt = "The birth date is not known, and the rule keeps images until a birthday: a person must decide."
        return Due(end, f"{said}; not before the {ordinal(rule.birthday)} birthday, which is not known.", doubt)
    grown = birthday(facts.birth_date, rule.birthday)
    if grown <= end:
        return Due(end, f"{said}; that is after the {ordinal(rule.birthday)} birthday ({grown}).")
    return Due(grown, f"{said}; not before the {ordinal(rule.birthday)} birthday: {_said(grown)}.")


def _start(clock: str, facts: Facts) -> tuple[str, date]:
    """From which day the period runs; what is not known falls back on the reception."""
    days = {STUDY_DATE: facts.study_date, VIEWED: facts.viewed, REPORTED: facts.reported}
    start = days.get(clock)
    return (clock, start) if start else (RECEIVED, facts.received)


def _said(day: date) -> str:
    return "never" if day == NEVER else str(day)


def until(start: date, period: str) -> date:
    """The day on which `period` (ISO 8601: years, months, weeks, days) after `start` ends. A day that a month does not
    have is its last; what lies past the calendar is NEVER. Raises ValueError for what is no period."""
    years, months, weeks, days = _parts(period)
    month = start.month - 1 + months + 12 * years
    year, month = start.year + month // 12, month % 12 + 1
    if year > NEVER.year:
        return NEVER
    day = min(start.day, calendar.monthrange(year, month)[1])
    return date.fromordinal(min(date(year, month, day).toordinal() + 7 * weeks + days, NEVER.toordinal()))


def _parts(period: str) -> tuple[int, int, int, int]:
    found = PERIOD.fullmatch(period)
    if not found:
        raise ValueError(f"{period!r} is no period like P5Y, P6M or P30D")
    years, months, weeks, days = (int(part or 0) for part in found.groups())
    return years, months, weeks, days


def words(period: str) -> str:
    """P1Y6M as "1 year 6 months"."""
    named = zip(_parts(period), ("year", "month", "week", "day"), strict=True)
    return " ".join(f"{number} {unit}{'' if number == 1 else 's'}" for number, unit in named if number)


def birthday(born: date, years: int) -> date:
    """The day on which somebody is that old. Who was born on 29 February is so on 1 March of other years: the later
    day keeps a study one day longer, never one day less."""
    year = born.year + years
    if year > NEVER.year:
        return NEVER
    if (born.month, born.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 3, 1)
    return born.replace(year=year)


def age(born: date | None, on: date) -> int | None:
    """Whole years on a day; None when that is not known, or comes before birth."""
    if born is None or on < born:
        return None
    years = on.year - born.year
    return years if birthday(born, years) <= on else years - 1


def ordinal(number: int) -> str:
    """26 as "26th"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
