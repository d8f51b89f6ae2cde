"""The ledger: who did what to which, when, why, and from where. Written in the transaction of the deed."""

import hashlib
import json
from contextvars import ContextVar
from datetime import UTC

from django.db import models, transaction
from django.utils import timezone

from policies.models import LedgerHead, LedgerLine

PORTAL = "the portal"  # the actor of what no person did
whence: ContextVar[str] = ContextVar("whence", default="")  # where the present request comes from


def record(
    by, verb: str, subject: models.Model | str, *, key: str = "", reason: str = "", detail: dict | None = None
) -> LedgerLine:
    """Add one line. Call it last in the transaction: it holds the head of the chain until the commit."""
    kind, subject_key, label = _named(subject, key)
    with transaction.atomic(savepoint=False):  # if it fails, the deed does not stand either
        head, _ = LedgerHead.objects.select_for_update().get_or_create(pk=1)
        line = LedgerLine(
            at=timezone.now(),
            actor=str(by),
            actor_key=str(getattr(by, "pk", "")),
            verb=verb,
            subject=kind,
            subject_key=subject_key,
            subject_label=label[:200],
            reason=reason,
            detail=detail or {},
            address=whence.get(),
            previous=head.digest,
        )
        line.digest = digest(line)
        line.save(force_insert=True)
        LedgerHead.objects.filter(pk=1).update(digest=line.digest)
    return line


def _named(subject, key: str) -> tuple[str, str, str]:
    if isinstance(subject, str):
        return subject, key, key
    return subject._meta.model_name, str(subject.pk), str(subject)


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
    return hashlib.sha256(json.dumps(columns, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def history(subject: models.Model) -> models.QuerySet[LedgerLine]:
    """The lines about one thing, newest first."""
    return LedgerLine.objects.filter(subject_key=str(subject.pk))


def verify() -> str:
    """Name the first line that breaks the chain, or "" when it holds."""
    previous = ""
    for line in LedgerLine.objects.order_by("id").iterator():
        if line.previous != previous or line.digest != digest(line):
            return f"Line {line.pk} ({line.at:%Y-%m-%d %H:%M:%S}, {line.verb}) does not fit the line before it."
        previous = line.digest
    head = LedgerHead.objects.filter(pk=1).first()
    if previous != (head.digest if head else ""):
        return "The newest line is missing: the head of the chain points past the end."
    return ""
