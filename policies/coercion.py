"""What managers add to RAD-61, as they have written it."""

from policies import quality, versions
from policies.models import Category, CoercionRule, Source
from policies.rules import scopes
from policies.rules.amendments import Amendment
from policies.versions import Rules


def amendment(row: CoercionRule) -> Amendment:
    """The pure rule of a row, or of an instance made from the columns of one that was; not of a prefix."""
    return Amendment(
        name=row.name,
        kind=str(row.kind),
        attribute=row.attribute.strip(),
        how=str(row.how),
        text=row.text.strip(),
        priority=row.priority,
        active=row.active,
        **scopes.conditions(row),
    )


def amendments(among: Rules = versions.now) -> list[Amendment]:
    """Labels and whose value wins, and the corrections of the record quality rules; also those out of use."""
    rows = (row for row in among(CoercionRule) if row.kind != CoercionRule.Kind.PREFIX)
    return [*map(amendment, rows), *quality.corrections(among)]


def prefix(source: Source, category: str, among: Rules = versions.now) -> CoercionRule | None:
    """The rule under whose prefix studies of this source and category are imported; the first by priority."""
    if category != Category.TELERADIOLOGY:
        return None
    mine = (row for row in among(CoercionRule) if row.active and row.kind == CoercionRule.Kind.PREFIX)
    fitting = (row for row in mine if (row.source_id, row.category) == (source.pk, category))
    return min(fitting, key=lambda row: (row.priority, row.name), default=None)
