"""What managers add to RAD-61, as they have written it."""

from policies import quality
from policies.models import Category, CoercionRule, Source
from policies.rules.amendments import Amendment


def amendment(row: CoercionRule) -> Amendment:
    """The pure rule of a row, or of an instance made from the columns of one that was; not of a prefix."""
    return Amendment(
        name=row.name,
        kind=str(row.kind),
        attribute=row.attribute.strip(),
        how=str(row.how),
        text=row.text.strip(),
        priority=row.priority,
        source=str(row.source_id or ""),
        category=str(row.category),
        modality=row.modality.strip(),
        intent=str(row.intent),
        active=row.active,
    )


def amendments() -> list[Amendment]:
    """Labels and whose value wins, and the corrections of the record quality rules."""
    rows = CoercionRule.objects.filter(active=True).exclude(kind=CoercionRule.Kind.PREFIX)
    return [*map(amendment, rows), *quality.corrections()]


def prefix(source: Source, category: str) -> CoercionRule | None:
    """The rule under whose prefix studies of this source and category are imported; the first by priority."""
    if category != Category.TELERADIOLOGY:
        return None
    rows = CoercionRule.objects.filter(source=source, kind=CoercionRule.Kind.PREFIX, category=category, active=True)
    return rows.order_by("priority", "name").first()
