"""Which retention rule applies to a study, and when it falls due."""

import calendar
import re
from datetime import date

from django.db.models import Q

from policies.models import RetentionRule, Source

PERIOD = re.compile(r"^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?$")


def proposed(*, source: Source, modalities: list[str], intent: str) -> RetentionRule | None:
    """The first active rule by priority whose conditions all hold; None when no rule applies."""
    return (
        RetentionRule.objects.filter(active=True)
        .filter(Q(source=None) | Q(source=source))
        .filter(Q(modality="") | Q(modality__in=modalities))
        .filter(Q(intent="") | Q(intent=intent))
        .order_by("priority", "name")
        .first()
    )


def until(start: date, period: str) -> date:
    """The day on which `period` (ISO 8601: years, months, weeks, days) after `start` ends."""
    years, months, weeks, days = (int(part or 0) for part in PERIOD.match(period).groups())
    month = start.month - 1 + months + 12 * years
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return date.fromordinal(date(year, month, day).toordinal() + 7 * weeks + days)
