"""The procedure map as managers have written it."""

from typing import NamedTuple

from policies.models import Procedure, ProcedureRule
from policies.rules import procedures as rules


class Choice(NamedTuple):
    """The procedure that a study would get, and the lines that were passed over before; `rule` None: none fits."""

    procedure: Procedure | None
    rule: ProcedureRule | None
    why: str
    passed: list[tuple[ProcedureRule, str]]


def choose(study: rules.Outside) -> Choice:
    """Ask the lines in use, whose procedures are in use too."""
    rows = ProcedureRule.objects.filter(active=True, procedure__active=True).select_related("source", "procedure")
    lines = {str(row.pk): row for row in rows}
    decision = rules.decide([_line(row) for row in lines.values()], study)
    passed = [(lines[one.line.key], one.why) for one in decision.passed]
    rule = lines[decision.line.key] if decision.line else None
    return Choice(rule and rule.procedure, rule, decision.why, passed)


def asks_for_codes() -> bool:
    """Whether any line looks at the sender's codes, which stand in the objects alone."""
    return ProcedureRule.objects.filter(active=True).exclude(code="", scheme="").exists()


def _line(row: ProcedureRule) -> rules.Line:
    return rules.Line(
        key=str(row.pk),
        procedure=str(row.procedure_id),
        priority=row.priority,
        source=str(row.source_id or ""),
        modality=row.modality.strip(),
        body_part=row.body_part.strip(),
        words=row.words.strip(),
        code=row.code.strip(),
        scheme=row.scheme.strip(),
    )
