"""What consent policy asks of a use of outside images, and whether what was given suffices."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from policies.models import Basis, ConsentRule, Evidence, Purpose
from policies.problems import Invalid
from policies.rules import consent as rules
from policies.rules import scopes
from policies.rules.retention import until

BY_A_PERSON = (Basis.PATIENT, Basis.GUARDIAN)


class Given(NamedTuple):
    """A consent as it was given at the desk. `scan`: the kept evidence; only that it is there counts."""

    basis: str
    evidence: str = ""
    given_by: str = ""
    scope: tuple[str, ...] = (Purpose.CARE.value,)
    until: date | None = None
    relation: str = ""
    given_on: date | None = None
    form_number: str = ""
    witness: str = ""
    scan: Any = None


def rule_of(row: ConsentRule) -> rules.Rule:
    """The rule that a row says, by its plain columns: also of one that is not saved, or is a version of the past."""
    return rules.Rule(
        key=str(row.pk),
        name=row.name,
        priority=row.priority,
        direction=row.direction,
        purposes=tuple(row.purposes),
        younger_than=row.younger_than,
        suffices=tuple(row.suffices),
        period=row.period,
        evidence=row.evidence,
        **scopes.conditions(row),
    )


def active() -> list[rules.Rule]:
    return [rule_of(row) for row in ConsentRule.objects.filter(active=True)]


def why_incomplete(given: Given, *, today: date) -> str:
    """Say what is missing in what was recorded, whatever policy asks; or ""."""
    if given.basis not in Basis.values:
        return f"Choose the basis of the consent: {', '.join(Basis.values)}."
    if given.basis in BY_A_PERSON and not given.given_by.strip():
        return "Say who gave the consent."
    if given.basis == Basis.GUARDIAN and not given.relation.strip():
        return "Say in which relation the guardian stands to the patient."
    evidence = (given.evidence, given.form_number, given.witness)
    if given.basis != Basis.NONE and not (given.scan or any(text.strip() for text in evidence)):
        return "Write down the evidence: the form number, who witnessed it, or the treatment or duty it rests on."
    if not given.scope:
        return "Say what the images may be used for."
    if unknown := set(given.scope) - set(Purpose.values):
        return f"Unknown purpose: {', '.join(sorted(unknown))}. Known ones: {', '.join(Purpose.values)}."
    if given.given_on and given.given_on > today:
        return "A consent cannot be given on a day to come."
    return ""


def why_insufficient(given: Given, decisions: Mapping[str, rules.Decision]) -> str:
    """Say why policy is not content with basis or evidence, or "". `decisions`: what policy says, by purpose."""
    for purpose, decision in decisions.items():
        if why := rules.why_not_enough(decision, given.basis, purpose) or _why_unproven(given, decision.rule):
            return why
    return ""


def why_ended(given: Given, decisions: Mapping[str, rules.Decision], *, today: date) -> str:
    """Say that it does not hold any more, as it was given or by a rule; or ""."""
    if given.until and given.until < today:
        return f"The consent ended on {given.until:%Y-%m-%d}."
    for decision in decisions.values():
        end = _end(given, decision.rule, today)
        if end and end < today:
            period = rules.in_words(decision.rule.period)
            return f"The consent ended on {end:%Y-%m-%d}: by rule '{decision.rule.name}' it holds {period}."
    return ""


def _why_unproven(given: Given, rule: rules.Rule | None) -> str:
    """Say which evidence the rule asks for, when it is missing. What needs no consent needs no evidence."""
    if rule is None or given.basis == Basis.NONE:
        return ""
    form, witness = given.form_number.strip(), given.witness.strip()
    there = {Evidence.SCAN: given.scan, Evidence.FORM: form, Evidence.WITNESS: witness}
    missing = rule.evidence in there and not there[rule.evidence]
    return f"By rule '{rule.name}': {rules.EVIDENCE[rule.evidence]}" if missing else ""


def require_sufficient(given: Given, decisions: Mapping[str, rules.Decision] | None = None, *, today: date) -> None:
    """Raise `Invalid` with what is missing: in the record itself, or by policy."""
    decisions = decisions or {}
    why = why_incomplete(given, today=today) or why_insufficient(given, decisions)
    if why := why or why_ended(given, decisions, today=today):
        raise Invalid(why)


def holds_until(given: Given, decisions: Mapping[str, rules.Decision], *, today: date) -> date | None:
    """The last day on which the consent holds: as given, and never longer than its rules let it. None: no end."""
    ends = [given.until, *(_end(given, decision.rule, today) for decision in decisions.values())]
    return min((end for end in ends if end), default=None)


def _end(given: Given, rule: rules.Rule | None, today: date) -> date | None:
    return until(given.given_on or today, rule.period) if rule and rule.period else None


# What is sensible to begin with; the demo makes them where there are no rules.
STANDARD = [
    {
        "name": "Minors, handed out",
        "priority": 10,
        "direction": "out",
        "younger_than": 18,
        "suffices": ["guardian", "legal duty"],
        "period": "P1Y",
    },
    {"name": "Handed out", "priority": 20, "direction": "out", "suffices": ["patient", "guardian", "legal duty"]},
    {
        "name": "Minors, teaching and research",
        "priority": 30,
        "younger_than": 18,
        "purposes": ["teaching", "research"],
        "suffices": ["guardian"],
        "evidence": "form",
        "period": "P1Y",
    },
    {
        "name": "Teaching and research",
        "priority": 40,
        "purposes": ["teaching", "research"],
        "suffices": ["patient", "guardian"],
        "evidence": "form",
        "period": "P5Y",
    },
    {
        "name": "Care of minors",
        "priority": 50,
        "younger_than": 18,
        "purposes": ["care"],
        "suffices": ["treatment", "guardian", "legal duty"],
    },
    {
        "name": "Care",
        "priority": 60,
        "purposes": ["care"],
        "suffices": ["treatment", "patient", "guardian", "legal duty"],
    },
]


def install() -> None:
    """Make the standard rules where there are none yet."""
    if not ConsentRule.objects.exists():
        ConsentRule.objects.bulk_create(ConsentRule(**columns) for columns in STANDARD)
