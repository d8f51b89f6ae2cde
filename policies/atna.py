"""Telling the audit repository of every line of the ledger (ITI-20): in order, at least once, never in a deed's way.

The row is the queue. Whoever holds the lease of its first row sends a batch over one connection; what the repository
has not certainly read is sent again.
"""

import logging
import os
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from policies import audit, clock, deeds
from policies.models import AuditMessage, LedgerLine
from policies.rules import atna, syslog

log = logging.getLogger(__name__)
BATCH = 200  # messages over one connection
BATCHES = 25  # in one sweep
SHORTEST_PAUSE, LONGEST_PAUSE = 15, 600  # seconds between two attempts
KEPT = timedelta(days=7)  # that a row stays after it was sent
LEASE_SECONDS = 300
MODALITY_WORKLIST, PATIENT_ROOT = "1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.4.1.2.1.1"  # FIND, PS3.4 annexes K, C


def collector() -> syslog.Collector:
    return syslog.Collector(
        settings.ATNA_HOST,
        settings.ATNA_PORT,
        Path(settings.ATNA_TLS_CERTIFICATE),
        Path(settings.ATNA_TLS_KEY),
        Path(settings.ATNA_TLS_AUTHORITIES),
        settings.ATNA_SECONDS,
        settings.ATNA_TLS_NAME,
    )


def send_due() -> int:
    """Send what waits, the oldest line first; how many messages the repository took."""
    sent = 0
    for _ in range(BATCHES if settings.ATNA_HOST else 0):
        taken = _send_batch()
        sent += taken
        if taken < BATCH:
            break
    AuditMessage.objects.filter(sent_at__lt=timezone.now() - KEPT).delete()
    return sent


def _send_batch() -> int:
    first = _claim()
    if first is None:
        return 0
    waiting = AuditMessage.objects.filter(sent_at=None, line__gte=first.line).order_by("line")
    batch = list(waiting[:BATCH])
    mine = AuditMessage.objects.filter(pk=first.pk, attempts=first.attempts)
    try:
        syslog.send(collector(), messages(batch))
    except OSError as problem:
        pause = min(SHORTEST_PAUSE * 2 ** (min(first.attempts, 20) - 1), LONGEST_PAUSE)
        mine.update(lease_until=None, due_at=timezone.now() + timedelta(seconds=pause), problem=str(problem))
        log.warning("The audit repository does not take line %s: %s", first.line, problem)
        return 0
    keys = [one.pk for one in batch]
    AuditMessage.objects.filter(pk__in=keys).update(sent_at=timezone.now(), lease_until=None, problem="")
    return len(keys)


def _claim() -> AuditMessage | None:
    """Take the first row that waits by compare-and-set; None while it is not due, or somebody sends from there."""
    first = AuditMessage.objects.filter(sent_at=None).order_by("line").first()
    if first is None:
        return None
    free = AuditMessage.objects.filter(clock.unleased(), pk=first.pk, attempts=first.attempts, due_at__lte=Now())
    if not free.update(attempts=F("attempts") + 1, lease_until=clock.later(LEASE_SECONDS)):
        return None
    first.attempts += 1
    return first


def messages(batch: list[AuditMessage]) -> list[bytes]:
    lines = LedgerLine.objects.in_bulk([one.line for one in batch])
    return [_message(lines[one.line], one.facts) for one in batch if one.line in lines]


def _message(line: LedgerLine, facts: dict) -> bytes:
    host, process = socket.gethostname(), str(os.getpid())
    body = atna.xml(told(line, facts, host=host))
    return syslog.message(body, at=line.at, host=host, application=settings.AE_TITLE, process=process)


def told(line: LedgerLine, facts: dict, *, host: str) -> atna.Message:
    """A line of the ledger as an audit message."""
    deed = deeds.of(line.verb)
    failed = "refuse" in line.verb or "fail" in line.verb or line.verb == "access denied"
    return atna.Message(
        event=atna.IMPORT if _is_import(line, facts) else deed.event,
        action=deed.action,
        at=line.at,
        participants=_participants(line, deed, facts, host),
        source_id=f"{settings.AE_TITLE}@{settings.INSTITUTION_NAME}",
        type=deed.type,
        outcome=4 if failed else 0,
        objects=_objects(line, deed, facts),
        description=f"{deeds.words(line.verb)}. {line.reason}".strip(),
    )


def _is_import(line: LedgerLine, facts: dict) -> bool:
    """Media that somebody brought in, not a transfer from another node."""
    return line.verb == "receive" and facts.get("door") in ("media", "upload", "watch")


def _participants(line: LedgerLine, deed: deeds.Deed, facts: dict, host: str) -> tuple[atna.Participant, ...]:
    title = settings.AE_TITLE
    if deed.event == atna.APPLICATION_ACTIVITY:
        return (_process(line, host),)
    portal = atna.Participant(title, line.actor, line.actor == audit.PORTAL, atna.APPLICATION, host, ae_title=title)
    person = atna.Participant(line.actor_key or line.actor or "unknown", line.actor, True, None, line.address)
    acting = (person,) if line.actor != audit.PORTAL else ()
    if _is_import(line, facts) or deed.event == atna.IMPORT:
        medium = atna.CD if facts.get("door") == "media" else atna.URI
        media = atna.Participant(facts.get("source") or "unknown", role=atna.SOURCE_MEDIA, media=medium)
        return (*acting, _as(portal, atna.DESTINATION), media)
    if deed.event == atna.TRANSFERRED:
        inward = line.verb in ("receive", "receive more")
        other = facts.get("source") if inward else line.detail.get("destination")
        there = atna.Participant(str(other or "unknown"), role=atna.SOURCE if inward else atna.DESTINATION)
        return (*acting, _as(portal, atna.DESTINATION if inward else atna.SOURCE), there)
    if deed.event == atna.QUERY:
        there = atna.Participant(str(line.detail.get("system") or settings.AE_TITLE), role=atna.DESTINATION)
        return (*acting, _as(portal, atna.SOURCE), there)
    return acting or (portal,)


def _process(line: LedgerLine, host: str) -> atna.Participant:
    """By the number that its machine knows it by (A.5.2.1)."""
    number, where = line.detail.get("pid") or line.subject_label, line.detail.get("host") or host
    name = line.subject_label
    return atna.Participant(str(number), name, False, atna.APPLICATION, where, ae_title=settings.AE_TITLE)


def _as(portal: atna.Participant, role: atna.Code) -> atna.Participant:
    return replace(portal, role=role)


def _objects(line: LedgerLine, deed: deeds.Deed, facts: dict) -> tuple[atna.Object, ...]:
    details = [("line", str(line.pk)), ("digest", line.digest), *((k, str(v)) for k, v in line.detail.items())]
    if deed.event == atna.AUDIT_LOG_USED:
        return (atna.log(f"urn:{settings.AE_TITLE}:ledger", details),)
    if deed.event in (atna.USER, atna.APPLICATION_ACTIVITY):
        return ()
    if deed.event == atna.ALERT:
        about = f"{deeds.words(line.verb)}. {line.reason}".strip()
        found = [atna.subject(line.subject_label or line.subject, line.subject, about, details)]
    else:
        found = []
    if facts.get("uid"):
        numbers = {"accession_number": facts.get("accession_number", ""), "instances": facts.get("instances", 0)}
        found.append(atna.study(facts["uid"], **numbers, details=details))
    if facts.get("patient_name") or facts.get("patient_id"):
        number = facts.get("patient_id") or facts.get("patient_key", "")
        found.append(atna.patient(number, facts.get("patient_name", ""), () if found else details))
    if deed.event == atna.QUERY:
        query = line.detail.get("query") or line.subject_label
        asked = MODALITY_WORKLIST if line.verb == "look up" else PATIENT_ROOT
        found.append(atna.Object(asked, atna.SOP_CLASS, 2, 24, query=query.encode(), details=tuple(details)))
    about = atna.Object(line.subject_label or line.subject, atna.URI_ID, 2, 13, line.subject, details=tuple(details))
    return tuple(found) or (about,)
