"""Reading the ledger: what an auditor asks for, page by page, and the same as a file."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from time import monotonic
from typing import NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.dateparse import parse_date

from policies import audit, deeds, exports
from policies.models import LedgerHead, LedgerLine, User
from policies.problems import Invalid

PAGE = 50
WINDOW = 100_000  # lines that are looked through at first; each further stretch is twice as long
ENOUGH = 0.07  # seconds after which no further stretch, which takes twice as long, is looked through for a page
SKEW = 1_000  # lines that the clocks of two machines may have put out of order
BATCH = 2_000  # lines of an export read at once
MOST_PEOPLE = 50  # that a part of a name may mean
YEARS = range(2000, 2200)  # that a line may be of
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run a cell that begins so
EXPORTS = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
COLUMNS = (
    "line",
    "at",
    "actor",
    "actor_key",
    "verb",
    "deed",
    "subject",
    "subject_key",
    "subject_label",
    "study_key",
    "reason",
    "detail",
    "address",
    "previous",
    "digest",
)


@dataclass(frozen=True)
class Asked:
    """Which lines: each filter narrows. `studies` are keys (None: of any or no study), `begin` and `end` whole days."""

    verb: str = ""
    actor: str = ""
    subject: str = ""
    studies: tuple[str, ...] | None = None
    begin: date | None = None
    end: date | None = None
    address: str = ""
    words: str = ""


class Page(NamedTuple):
    lines: list[LedgerLine]
    next: int  # lines before this number are on the next page, 0 when there are none
    searched: bool  # whether the page ends because so much was read, not because it is full


def day(text: str) -> date | None:
    """A day as a person wrote it, None for none; raises Invalid."""
    try:
        found = parse_date(text) if text else None
    except ValueError:
        found = None
    if text and (found is None or found.year not in YEARS):
        raise Invalid("The ledger cannot be asked for this day. Write it like 2026-03-04.")
    return found


def lines(asked: Asked) -> QuerySet[LedgerLine]:
    """The lines asked for, newest first."""
    rows = _between(LedgerLine.objects.order_by("-id"), asked)
    if asked.verb:
        rows = rows.filter(verb=asked.verb)
    if asked.actor:
        rows = rows.filter(_by(asked.actor))
    if asked.subject:
        rows = rows.filter(subject_key=asked.subject)
    if asked.studies is not None:
        rows = rows.filter(Q(study_key__in=asked.studies) | Q(subject_key__in=asked.studies))
    if asked.address:
        rows = rows.filter(address=asked.address)
    if asked.words:
        rows = _holding(rows, asked.words)
    return rows


def _by(name: str) -> Q:
    """Lines of this actor, or of the people whose name or part of a name it is."""
    people = User.objects.filter(
        Q(username__icontains=name) | Q(first_name__icontains=name) | Q(last_name__icontains=name)
    )
    keys = [str(pk) for pk in people.values_list("pk", flat=True)[:MOST_PEOPLE]]
    return Q(actor=name) | Q(actor_key__in=keys) if keys else Q(actor=name)


def _holding(rows: QuerySet[LedgerLine], words: str) -> QuerySet[LedgerLine]:
    rows = rows.alias(said=Cast("detail", TextField()))
    for word in words.split():
        found = Q(reason__icontains=word) | Q(subject_label__icontains=word) | Q(said__icontains=word)
        rows = rows.filter(found)
    return rows


def _between(rows: QuerySet[LedgerLine], asked: Asked) -> QuerySet[LedgerLine]:
    """Within the days; their numbers too, so that every index that ends with the number serves."""
    numbers = _numbers(asked)
    if asked.begin:
        rows = rows.filter(at__gte=_midnight(asked.begin), pk__gte=numbers.start)
    if asked.end:
        rows = rows.filter(at__lt=_midnight(asked.end + timedelta(days=1)), pk__lt=numbers.stop)
    return rows


def _numbers(asked: Asked) -> range:
    """Among which numbers the lines of these days are."""
    by_time = LedgerLine.objects.order_by("at").values_list("pk", flat=True)
    newest = _newest()
    first, past = 1, newest + 1
    if asked.begin:
        found = by_time.filter(at__gte=_midnight(asked.begin)).first()
        first = max(found - SKEW, 1) if found else past
    if asked.end:
        found = by_time.filter(at__gte=_midnight(asked.end + timedelta(days=1))).first()
        past = min(found + SKEW, past) if found else past
    return range(first, past)


def _midnight(of: date) -> datetime:
    return timezone.make_aware(datetime.combine(of, time.min))


def verbs() -> list[str]:
    """The verbs that are in the ledger: one step of the index each, however many lines there are."""
    table = connection.ops.quote_name(LedgerLine._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE step(verb) AS (SELECT min(verb) FROM {table} UNION ALL"  # noqa: S608
            f" SELECT (SELECT min(verb) FROM {table} WHERE verb > step.verb) FROM step WHERE step.verb IS NOT NULL)"
            " SELECT verb FROM step WHERE verb IS NOT NULL"
        )
        return [verb for (verb,) in cursor.fetchall()]


def page(asked: Asked, *, before: int = 0) -> Page:
    """The next lines before number `before` (0: from the newest on).

    They are looked for in stretches: two filters that seldom meet would else be a walk through the whole ledger.
    """
    rows, numbers, found = lines(asked), _numbers(asked), []
    top = min(before, numbers.stop) if before else numbers.stop
    stretch, begun = WINDOW, monotonic()
    while top > numbers.start and len(found) <= PAGE and monotonic() - begun < ENOUGH:
        bottom = max(top - stretch, numbers.start)
        found += rows.filter(pk__lt=top, pk__gte=bottom)[: PAGE + 1 - len(found)]
        top, stretch = bottom, stretch * 2
    if len(found) > PAGE:
        return Page(found[:PAGE], found[PAGE - 1].pk, False)
    further = top > numbers.start
    return Page(found, top if further else 0, further)


def _newest() -> int:
    head = LedgerHead.objects.filter(pk=1).first()
    return head.line if head else 0


# --- as a file -------------------------------------------------------------------------------------------------------


def export(
    asked: Asked, kind: str, *, by: User, filters: dict[str, str], reason: str = ""
) -> tuple[str, Iterator[str]]:
    """A name for the file and its pieces, oldest line first. The export is a line of the ledger itself.

    The last record says who asked for what, and up to which line of the chain: a file without it is not whole.
    """
    if kind not in EXPORTS:
        raise Invalid("The ledger is exported as csv or ndjson.")
    exports.require(by, exports.counted(lines(asked)), reason=reason, of="ledger")
    detail = {"as": kind, "filters": filters}
    line = audit.record(by, "export ledger", "ledger", key="ledger", reason=reason, detail=detail)
    trailer = {**_record(line), "verb": "end of export", "deed": f"lines up to {line.pk} under these filters"}
    write = _csv if kind == "csv" else _ndjson
    return f"ledger-to-line-{line.pk}.{kind}", write(_records(asked, line.pk, trailer))


def _records(asked: Asked, newest: int, trailer: dict) -> Iterator[dict]:
    rows, last = lines(asked).order_by("id").filter(pk__lt=newest), 0
    while batch := list(rows.filter(pk__gt=last)[:BATCH]):
        yield from map(_record, batch)
        last = batch[-1].pk
    yield trailer


def _record(line: LedgerLine) -> dict:
    own = {"line": line.pk, "at": line.at.isoformat(timespec="microseconds"), "deed": deeds.words(line.verb)}
    return {name: own[name] if name in own else getattr(line, name) for name in COLUMNS}


def _ndjson(records: Iterator[dict]) -> Iterator[str]:
    for record in records:
        yield json.dumps(record, ensure_ascii=False) + "\n"


class _Echo:
    """What a csv writer writes to: it hands each row back."""

    def write(self, text: str) -> str:
        return text


def _csv(records: Iterator[dict]) -> Iterator[str]:
    """RFC 4180, in UTF-8 with a mark at its head (spreadsheets ask for it)."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(COLUMNS)
    for record in records:
        record["detail"] = json.dumps(record["detail"], ensure_ascii=False) if record["detail"] else ""
        yield writer.writerow([cell(value) for value in record.values()])


def cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
