"""The procedure map as managers have written it."""

from typing import NamedTuple

from policies import versions
from policies.models import Procedure, ProcedureRule
from policies.rules import procedures as rules
from policies.rules import scopes
from policies.versions import Rules


class Choice(NamedTuple):
    """The procedure that a study would get, and the lines that were passed over before; `rule` None: none fits."""

    procedure: Procedure | None
    rule: ProcedureRule | None
    why: str
    passed: list[tuple[ProcedureRule, str]]


def choose(study: rules.Outside, among: Rules = versions.now) -> Choice:
    """Ask the lines in use, whose procedures are in use too; of now, or of another day."""
    in_use = {row.pk: row for row in among(Procedure) if row.active}
    lines = {str(row.pk): row for row in among(ProcedureRule) if row.active and row.procedure_id in in_use}
    decision = rules.decide([_line(row) for row in lines.values()], study)
    passed = [(lines[one.line.key], one.why) for one in decision.passed]
    rule = lines[decision.line.key] if decision.line else None
    return Choice(rule and in_use[rule.procedure_id], rule, decision.why, passed)


def asks_for_codes(among: Rules = versions.now) -> bool:
    """Whether any line looks at the sender's codes, which stand in the objects alone."""
    return any(row.active and (row.code or row.scheme) for row in among(ProcedureRule))


def _line(row: ProcedureRule) -> rules.Line:
    return rules.Line(
        key=str(row.pk),
        procedure=str(row.procedure_id),
        priority=row.priority,
        body_part=row.body_part.strip(),
        words=row.words.strip(),
        code=row.code.strip(),
        scheme=row.scheme.strip(),
        **scopes.conditions(row),
    )
