"""The retention rules of this portal, asked of the facts of a study."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields

from policies.models import RetentionRule
from policies.rules import retention, scopes
from policies.rules.retention import Decision, Facts, Rule

COLUMNS = [field.name for field in fields(Rule) if field.name not in ("key", *scopes.KEYS, *scopes.TEXTS)]


def rule_of(row: RetentionRule) -> Rule:
    """The pure rule that a row says; of an unsaved row too."""
    columns = {name: getattr(row, name) for name in COLUMNS}
    return Rule(key=str(row.pk or ""), **scopes.conditions(row), **columns)


def rules(rows: Iterable[RetentionRule] | None = None) -> list[Rule]:
    """The active ones in the order in which they are asked."""
    rows = RetentionRule.objects.filter(active=True) if rows is None else rows
    return [rule_of(row) for row in sorted(rows, key=lambda row: (row.priority, row.name)) if row.active]


def decide(facts: Facts, *, among: list[Rule] | None = None) -> Decision:
    """What policy says of a study now, or would say under the rules given."""
    return retention.decide(rules() if among is None else among, facts)


def proposed(facts: Facts) -> RetentionRule | None:
    """The row of the rule that wins; None when no rule applies."""
    won = decide(facts).rule
    return RetentionRule.objects.get(pk=won.key) if won else None


def terms(rule: Rule) -> dict:
    """A rule as it is, to be kept with what was decided by it: a later edit of the row changes nothing there."""
    return asdict(rule)


def of_terms(said: dict) -> Rule:
    return Rule(**said)


def fingerprint(among: list[Rule]) -> str:
    """16 digits that change when a rule does: what was worked out with other rules is worked out again."""
    said = json.dumps([asdict(rule) for rule in among], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
