"""Which consent rule speaks for a use of outside images, and what suffices by it. Facts in, verdict out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from policies.rules import scopes

IN, OUT = "in", "out"  # taken into our record; handed to another organisation
NONE = "none needed"
WORDS = {
    "treatment": "Treatment",
    "patient": "Consent of the patient",
    "guardian": "consent of a guardian",
    "legal duty": "a legal duty",
}
EVIDENCE = {
    "scan": "The scanned form is asked for.",
    "form": "The number of the form is asked for.",
    "witness": "The witness has to be named.",
}


@dataclass(frozen=True)
class Rule:
    """An empty condition holds for everything. `period` is an ISO 8601 duration from the day given; "": as given."""

    name: str
    priority: int
    suffices: tuple[str, ...]
    direction: str = ""
    source: str = ""
    destination: str = ""
    category: str = ""
    intent: str = ""
    purposes: tuple[str, ...] = ()
    younger_than: int | None = None
    period: str = ""
    evidence: str = "any"
    key: str = ""


@dataclass(frozen=True)
class Facts:
    """One use of one study. `age`: whole years on the day the consent is given; None: not known."""

    direction: str = IN
    source: str = ""
    destination: str = ""
    category: str = ""
    intent: str = ""
    purpose: str = "care"
    age: int | None = None


class Decision(NamedTuple):
    """The rule that speaks, None when none does; and the rules asked before it, each with why it does not."""

    rule: Rule | None
    passed_over: tuple[tuple[Rule, str], ...]

    def is_enough(self, basis: str) -> bool:
        """Without a rule every basis is enough; that nothing is needed must be said by one."""
        if self.rule is None:
            return basis != NONE
        return basis in self.rule.suffices


def decide(rules: Iterable[Rule], facts: Facts) -> Decision:
    """The first rule by priority whose conditions all hold."""
    passed_over = []
    for rule in sorted(rules, key=lambda one: (one.priority, one.name)):
        if why := why_passed_over(rule, facts):
            passed_over.append((rule, why))
        else:
            return Decision(rule, tuple(passed_over))
    return Decision(None, tuple(passed_over))


def why_passed_over(rule: Rule, facts: Facts) -> str:
    """Say which condition does not hold, or ""."""
    if rule.direction and rule.direction != facts.direction:
        return f"It is for images that go {rule.direction}."
    if outside := scopes.why_outside(rule, facts):
        return outside
    if rule.purposes and facts.purpose not in rule.purposes:
        return f"It is for {' and '.join(rule.purposes)}."
    if rule.younger_than is not None and facts.age is None:
        return "How old the patient is, is not known."
    if rule.younger_than is not None and facts.age >= rule.younger_than:
        return f"It is for patients younger than {rule.younger_than}."
    return ""


def age_on(day, born) -> int | None:
    """Whole years (of `date`s); None when the birth date is not known."""
    if born is None:
        return None
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def said(decision: Decision) -> str:
    """What is asked here, and by which rule: read before anything is typed."""
    rule = decision.rule
    if rule is None:
        return "No rule asks for a certain basis here: each suffices with its evidence."
    if NONE in rule.suffices:
        return f"No consent is needed here, by rule '{rule.name}'."
    more = [EVIDENCE[rule.evidence]] if rule.evidence in EVIDENCE else []
    more += [f"It holds {in_words(rule.period)} from the day given."] if rule.period else []
    return " ".join([*_enough(rule), *more])


def _enough(rule: Rule) -> list[str]:
    """What is quickest first: of a study that is needed for treatment nobody has to ask for a signature."""
    others = [basis for basis in rule.suffices if basis != "treatment"]
    if len(others) == len(rule.suffices) or not others:
        return [f"{_listed(rule.suffices)} suffices here, by rule '{rule.name}'."]
    first = f"{WORDS['treatment']} suffices here, by rule '{rule.name}'."
    return [first] if len(others) == len(WORDS) - 1 else [first, f"{_listed(others)} would too."]


def why_not_enough(decision: Decision, basis: str, purpose: str) -> str:
    """Say that this basis is not enough for this purpose, or ""."""
    if decision.is_enough(basis):
        return ""
    if decision.rule is None:
        return "No rule says that no consent is needed here. Choose the basis."
    asked = f"By rule '{decision.rule.name}' this is not enough for {purpose}"
    if decision.rule.suffices == (NONE,):
        return f"{asked}: no consent is needed there. Choose '{NONE}'."
    return f"{asked}: {_listed(decision.rule.suffices)} would suffice."


def in_words(period: str) -> str:
    """An ISO 8601 duration of whole years, months, weeks, days: "1 year 6 months"."""
    found, number = [], ""
    units = {"Y": "year", "M": "month", "W": "week", "D": "day"}
    for letter in period.removeprefix("P"):
        if letter in units:
            found.append(f"{number} {units[letter]}{'' if number == '1' else 's'}")
            number = ""
        else:
            number += letter
    return " ".join(found)


def _listed(bases: Iterable[str]) -> str:
    words = [WORDS[basis] for basis in WORDS if basis in bases]
    first, *rest = words or ["nothing"]
    named = [first, *(word[0].lower() + word[1:] for word in rest)]
    sentence = ", ".join(named[:-1]) + " or " + named[-1] if len(named) > 1 else named[0]
    return sentence[0].upper() + sentence[1:]
