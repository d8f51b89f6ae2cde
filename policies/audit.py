"""The ledger: who did what to which, when, why, and from where. Written in the transaction of the deed."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from policies.models import AuditMessage, LedgerAnchor, LedgerHead, LedgerLine, User
from policies.problems import Invalid

log = logging.getLogger(__name__)
PORTAL = "the portal"  # the actor of what no person did
LONGEST_REASON = 4000
LOOK = "look at"
LOOKS_APART = timedelta(minutes=15)  # one line a person and thing: a study has thousands of pictures
STRIDE = 20_000  # lines checked in one step
whence: ContextVar[str] = ContextVar("whence", default="")  # where the present request comes from


def record(
    by, verb: str, subject: models.Model | str, *, key: str = "", reason: str = "", detail: dict | None = None
) -> LedgerLine:
    """Add one line. Call it last in the transaction: it holds the head of the chain until the commit.

    Raises `Invalid` for a reason of a person that is longer than anybody reads: what is here stays here.
    A model that has `audited()` says there of which study and patient it is, in the words of AuditMessage.facts.
    """
    if isinstance(by, User) and len(reason) > LONGEST_REASON:
        raise Invalid(f"Say it in at most {LONGEST_REASON} characters.")
    kind, subject_key, label = _named(subject, key)
    facts = subject.audited() if hasattr(subject, "audited") else {}
    with transaction.atomic(savepoint=False):  # if it fails, the deed does not stand either
        before, number = _head()
        line = LedgerLine(
            pk=number + 1,
            at=timezone.now(),
            actor=str(by),
            actor_key=str(getattr(by, "pk", "")),
            verb=verb,
            subject=kind,
            subject_key=subject_key,
            subject_label=label[:200],
            study_key=facts.get("study") or str((detail or {}).get("study", ""))[:36],
            reason=reason,
            detail=detail or {},
            address=whence.get(),
            previous=before,
            form=LedgerLine.FORM,
        )
        line.digest = digest(line)
        line.save(force_insert=True)  # a trigger moves the head on to it
        if settings.ATNA_HOST:
            AuditMessage.objects.create(line=line.pk, facts=facts, due_at=line.at)
    return line


def _head() -> tuple[str, int]:
    """Digest and number of the newest line, locked until the commit. In plain SQL: every step of the workflow waits."""
    lock = connection.ops.for_update_sql() if connection.features.has_select_for_update else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT digest, line FROM {LedgerHead._meta.db_table} WHERE id = 1 {lock}")  # noqa: S608
        found = cursor.fetchone()
    if found:
        return found
    LedgerHead.objects.get_or_create(pk=1)
    return _head()


def _named(subject, key: str) -> tuple[str, str, str]:
    if isinstance(subject, str):
        return subject, key, key
    return subject._meta.model_name, str(subject.pk), str(subject)


def looked(by, subject: models.Model | str, *, key: str = "", verb: str = LOOK, detail: dict | None = None) -> None:
    """Tell that somebody looks at data of a patient: one line a person and subject in a quarter of an hour.

    Two looks in the same moment may make two lines; no look is without one.
    """
    kind, subject_key, _ = _named(subject, key)
    mine = LedgerLine.objects.filter(actor_key=str(by.pk), subject_key=subject_key, subject=kind, verb=verb)
    if not mine.filter(at__gt=timezone.now() - LOOKS_APART).exists():
        record(by, verb, subject, key=key, detail=detail)


def digest(line: LedgerLine) -> str:
    """SHA-256 over the digest before and every column of this line, in a fixed form."""
    columns = [
        line.previous,
        line.at.astimezone(UTC).isoformat(timespec="microseconds"),
        line.actor,
        line.actor_key,
        line.verb,
        line.subject,
        line.subject_key,
        line.subject_label,
        line.reason,
        line.detail,
        line.address,
    ]
    if line.form > 1 or line.study_key:
        columns += [line.form, line.pk, line.study_key]
    return hashlib.sha256(json.dumps(columns, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def history(subject: models.Model, *others: object) -> models.QuerySet[LedgerLine]:
    """The lines about one thing, newest first: about a study with all that was done for it.

    `others` are keys of what belongs to it (its order); None is nobody's.
    """
    key = str(subject.pk)
    about = Q(subject_key=key) | Q(study_key=key)
    if keys := [str(other) for other in others if other]:
        about |= Q(subject_key__in=keys)
    return LedgerLine.objects.filter(about)


# --- does it still hold? ---------------------------------------------------------------------------------------------


class Walked(NamedTuple):
    """How far a look along the chain has come."""

    line: int  # the last one looked at
    problem: str  # names the first line that does not fit, "" while all do
    done: bool


def verify(*, told: Callable[[int], None] = lambda line: None) -> str:
    """Name the first line that breaks the chain, or "" when it holds; `told` hears how far it is."""
    walked = Walked(0, "", False)
    while not walked.done:
        walked = walk(walked.line)
        told(walked.line)
    return walked.problem


def found(by, problem: str, *, line: int) -> None:
    """Note what a look along the whole chain came to; a break is an alert, and told even if the chain takes no line."""
    verb = "find ledger broken" if problem else "verify ledger"
    if problem:
        log.error("The ledger is broken: %s", problem)
    try:
        with transaction.atomic():
            record(by, verb, "ledger", key="ledger", reason=problem, detail={"line": line})
    except DatabaseError:
        if not problem:
            raise
        log.exception("The ledger is so broken that it takes no line about it")


def walk(after: int, *, limit: int = STRIDE) -> Walked:
    """Check so many lines after line number `after`, and the anchors among them; past the last one the head."""
    before = LedgerLine.objects.filter(pk__lte=after).order_by("id").last() if after else None
    anchors = {anchor.line: anchor for anchor in LedgerAnchor.objects.filter(line__gt=after)}
    lines = LedgerLine.objects.filter(pk__gt=after).order_by("id")[:limit]
    count = 0
    for line in lines.iterator(chunk_size=2000):
        count += 1
        if problem := _misfit(line, before) or _unanchored(line, anchors.pop(line.pk, None)):
            return Walked(line.pk, problem, True)
        before = line
    here = before.pk if before else 0
    if lost := [anchor for anchor in anchors.values() if anchor.line <= here]:
        return Walked(here, _lost(lost[0]), True)
    return Walked(here, "", False) if count == limit else Walked(here, _beyond(before, anchors), True)


def _misfit(line: LedgerLine, before: LedgerLine | None) -> str:
    """Say how a line does not follow the one before, or ""."""
    here = f"Line {line.pk} ({timezone.localtime(line.at):%Y-%m-%d %H:%M:%S}, {line.verb})"
    number = before.pk + 1 if before else line.pk if line.form == 1 else 1
    if line.form > 1 and line.pk > number:
        return f"{_span(number, line.pk - 1)} missing before line {line.pk}."
    backward = before is not None and line.form < before.form
    if line.digest != digest(line) or backward:
        return f"{here} was changed: it does not fit the line before it."
    if line.previous != (before.digest if before else ""):
        return f"{here} does not fit the line before it: a line there was changed, added or taken away."
    return ""


def _span(first: int, last: int) -> str:
    return f"Line {first} is" if first == last else f"Lines {first} to {last} are"


def _unanchored(line: LedgerLine, anchor: LedgerAnchor | None) -> str:
    if anchor is None or anchor.digest == line.digest:
        return ""
    return f"Line {line.pk} is another than on {anchor.day:%Y-%m-%d}: the chain was written anew up to there."


def _beyond(last: LedgerLine | None, anchors: dict[int, LedgerAnchor]) -> str:
    """What lies past the last line that is there."""
    head = LedgerHead.objects.filter(pk=1).first()
    number, newest = (last.pk, last.digest) if last else (0, "")
    if head is None:
        return "The head of the chain is missing." if last else ""
    if LedgerLine.objects.filter(pk__gt=number).exists():
        return ""  # lines were added while we looked, and the head with them
    if head.digest != newest:
        return f"The newest line is missing: the head of the chain is at line {head.line}, the last one is {number}."
    return _lost(next(iter(anchors.values()))) if anchors else ""


def _lost(anchor: LedgerAnchor) -> str:
    return f"Line {anchor.line} is missing, which was there on {anchor.day:%Y-%m-%d}."
