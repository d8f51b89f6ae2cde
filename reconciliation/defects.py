"""Defects: how often each rule of record quality found something, by source."""

from datetime import timedelta
from typing import NamedTuple

from django.db.models import Count
from django.utils import timezone

from policies import authority
from policies.models import Power, Source, User
from policies.problems import Denied
from reconciliation import queue
from reconciliation.models import Finding, Study

PERIODS = (30, 90)  # days


class Row(NamedTuple):
    """`counts` go with the codes of the table; `studies` is how many came from the source in the period."""

    source: Source
    studies: int
    counts: list[int]


class Table(NamedTuple):
    days: int
    codes: list[str]
    rows: list[Row]


def require(user: User) -> None:
    """Numbers of this kind are for those who set policy or read the ledger."""
    authority.require(user, Power.VIEW)
    if authority.why_not(user, Power.SET_POLICY) and (barred := authority.why_not(user, Power.AUDIT)):
        raise Denied(barred)


def table(user: User, *, days: int = PERIODS[0]) -> Table:
    """Findings of rules by source in the last days, the most frequent rule and the most troubled source first."""
    require(user)
    since = timezone.now() - timedelta(days=days)
    visible = queue.visible_to(user)
    received = visible.filter(received_at__gte=since).order_by().values_list("source").annotate(Count("pk"))
    studies = dict(received)
    found = Finding.objects.filter(found_at__gte=since, study__in=visible.values("pk")).exclude(rule="")
    counts = {(source, code): n for source, code, n in _counted(found)}
    codes = sorted({code for _source, code in counts}, key=lambda one: (-_total(counts, 1, one), one))
    keys = sorted({*studies, *(key for key, _code in counts)}, key=lambda one: (-_total(counts, 0, one), str(one)))
    sources = Source.objects.in_bulk(keys)
    rows = [Row(sources[key], studies.get(key, 0), [counts.get((key, code), 0) for code in codes]) for key in keys]
    return Table(days, codes, rows)


def _counted(found):
    return found.order_by().values_list("study__source", "rule").annotate(Count("pk"))


def _total(counts: dict, place: int, wanted) -> int:
    return sum(n for key, n in counts.items() if key[place] == wanted)


EVERY_STATE = ",".join(Study.State.values)  # as a filter of the queue
