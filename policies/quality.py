"""The rules of record quality as managers have written them."""

from policies import versions
from policies.models import QualityRule
from policies.models.quality import lines, pairs
from policies.rules import amendments, quality, scopes
from policies.rules.amendments import Amendment
from policies.versions import Rules


def rule(row: QualityRule) -> quality.Rule:
    """The pure rule of a row, or of an instance made from the columns of one that was."""
    return quality.Rule(
        code=row.code,
        kind=str(row.kind),
        severity=str(row.severity),
        sentence=row.sentence.strip(),
        attribute=row.attribute.strip(),
        when=row.when.strip(),
        accepted=lines(row.accepted),
        check=row.check_code,
        active=row.active,
        **scopes.conditions(row),
    )


def rules() -> list[quality.Rule]:
    """All rules, those that are switched off too: they say that a check is not asked."""
    return [rule(row) for row in QualityRule.objects.all()]


def correction(row: QualityRule) -> Amendment:
    """What a rule corrects, as one of the amendments of a mapping."""
    return Amendment(
        name=row.code,
        kind=amendments.Kind.CORRECT,
        attribute=row.attribute,
        how=str(row.correction),
        replacements=pairs(row.replacements),
        active=row.active,
        **scopes.conditions(row),
    )


def corrections(among: Rules = versions.now) -> list[Amendment]:
    return [correction(row) for row in among(QualityRule) if row.follows == QualityRule.Follows.CORRECT]


def segregating() -> set[str]:
    """The codes of the rules whose findings keep a study apart."""
    rows = QualityRule.objects.filter(follows=QualityRule.Follows.SEGREGATE, active=True)
    return set(rows.values_list("code", flat=True))


def proposed_reason(codes: list[str]):
    """The reason for which what these rules found proposes a rejection, or None."""
    if not codes:
        return None
    rows = QualityRule.objects.filter(follows=QualityRule.Follows.REJECT, active=True, code__in=codes)
    row = rows.filter(reason__active=True).select_related("reason").first()
    return row and row.reason
