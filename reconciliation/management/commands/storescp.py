"""The DICOM door: listens for C-ECHO and C-STORE from known sources, and puts what comes into the spool."""

import functools
import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections, connection

from policies import audit, bell
from policies.models import Destination, Source
from policies.rules.tls import CIPHERS, Credentials
from reconciliation import stores
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.dicom.commitment import Report
from reconciliation.dicom.wire import SWITCH_INTERVAL

log = logging.getLogger(__name__)

SOON = 5  # seconds; a process that ends within them never served


class Known(NamedTuple):
    """What the door has to know of a source."""

    key: str
    address: str


class Sources:
    """The active sources by AE title, as the database last said: the door stays open while the database is down.

    Destinations may come in too, but only to report on storage commitment; also inactive ones, for what they have got.
    """

    def __init__(self):
        self.known: dict[str, Known] = {}
        self.reporters: set[str] = set()

    def by_title(self) -> dict[str, Known]:
        try:
            rows = Source.objects.filter(active=True, ae_title__isnull=False)
            self.known = {row.ae_title: Known(str(row.pk), row.address or "") for row in rows}
            self.reporters = set(Destination.objects.exclude(ae_title="").values_list("ae_title", flat=True))
        except DatabaseError:
            log.exception("The database does not answer; the door goes by the %s sources it knows", len(self.known))
        return self.known

    def admit(self, caller: scp.Caller) -> Origin | None:
        """Let a known source in, and a destination (None) to report; `scp.Unknown` for everybody else."""
        source = self.by_title().get(caller.calling_title)
        if source is None:
            if caller.calling_title in self.reporters:
                return None
            raise scp.Unknown(f"'{caller.calling_title}' is no AE title of an active source.")
        if source.address and source.address != caller.address:
            raise scp.Unknown(f"'{caller.calling_title}' called from {caller.address}, which is not its address.")
        return Origin(
            door=Door.DIMSE,
            source=source.key,
            calling_title=caller.calling_title,
            called_title=caller.called_title,
            address=caller.address,
        )


def refused(caller: scp.Caller, why: str) -> None:
    """Write a refused caller into the ledger; the refusal stands even if the database is down."""
    log.warning("Refused %s from %s: %s", caller.calling_title, caller.address, why)
    try:
        detail = {"called_title": caller.called_title, "address": caller.address}
        audit.record(audit.PORTAL, "refuse association", "caller", key=caller.calling_title, reason=why, detail=detail)
    except Exception:
        log.exception("The refusal of %s could not be written into the ledger", caller.calling_title)


def reported(report: Report) -> None:
    """Keep what an archive said on disk, whatever the database does, and wake a worker for it."""
    stores.reports().keep(report)
    log.info("%s reported on %s", report.calling_title, report.TransactionUID)
    try:
        bell.ring("reconciliation.tasks.hear", report.TransactionUID)
    except DatabaseError:
        log.exception("The database does not answer; the sweep will find the report of %s", report.calling_title)


def fresh(step):
    """Each call comes in a thread of its own: with a connection that still lives, and none left open behind it."""

    @functools.wraps(step)
    def on_a_live_connection(*arguments):
        close_old_connections()
        try:
            return step(*arguments)
        finally:
            connection.close()

    return on_a_live_connection


def listener() -> scp.Listener:
    """The door as the settings have it."""
    return scp.Listener(
        ae_title=settings.AE_TITLE,
        host=settings.BIND_ADDRESS,
        port=settings.DICOM_PORT,
        maximum_pdu=settings.DICOM_PDU,
        maximum_associations=settings.DICOM_ASSOCIATIONS,
        tls=credentials(),
        shared=settings.DICOM_PROCESSES > 1,
        plain=settings.DICOM_PLAIN,
    )


def credentials() -> Credentials | None:
    if not settings.DICOM_TLS_CERTIFICATE:
        return None
    return Credentials(
        settings.DICOM_TLS_CERTIFICATE,
        settings.DICOM_TLS_KEY,
        settings.DICOM_TLS_AUTHORITIES,
        settings.DICOM_TLS_CIPHERS or CIPHERS,
    )


def keep_door() -> None:
    """Serve until this process is asked to end, or the one that started it is no more."""
    parent, over = os.getppid(), threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: over.set())
    sys.setswitchinterval(SWITCH_INTERVAL)
    sources = Sources()
    sources.by_title()
    server = scp.serve(
        listener(),
        spool=stores.spool(),
        admit=fresh(sources.admit),
        refused=fresh(refused),
        on_report=fresh(reported),
    )
    while not over.wait(1) and os.getppid() == parent:
        pass
    server.shutdown()


class Doors:
    """Processes that share one port: whichever dies is replaced, and all of them end together."""

    def __init__(self, count: int) -> None:
        self.count, self.is_over = count, False
        self.begun: dict[int, float] = {}  # by process, on the monotonic clock

    def keep(self) -> None:
        """Raises CommandError when a process does not even come to serve."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self.end())
        for _ in range(self.count):
            self.start()
        while self.begun:
            pid, status = os.wait()
            lived = time.monotonic() - self.begun.pop(pid)
            if self.is_over:
                continue
            log.error("A process of the door ended by itself after %.0f s (%s)", lived, status)
            if lived < SOON:
                self.end()
                raise CommandError("A process of the door cannot serve; the reason stands above.")
            self.start()

    def start(self) -> None:
        pid = os.fork()
        if pid:
            self.begun[pid] = time.monotonic()
            return
        status = 1
        try:
            keep_door()
            status = 0
        except Exception:
            log.exception("The door could not be kept")
        finally:
            os._exit(status)

    def end(self) -> None:
        self.is_over = True
        for pid in self.begun:
            os.kill(pid, signal.SIGTERM)


class Command(BaseCommand):
    help = "Listen for DICOM C-ECHO, C-STORE and reports of storage commitment (the DICOM door)."
    requires_system_checks = ["portal"]  # our own (imgshare_site/checks.py); the others load all pages

    def handle(self, **options):
        processes = settings.DICOM_PROCESSES
        by = f"{processes} processes" if processes > 1 else "one process"
        by += ", over TLS only" if settings.DICOM_TLS_CERTIFICATE else ""
        self.stdout.write(f"{settings.AE_TITLE} listens on {settings.BIND_ADDRESS}:{settings.DICOM_PORT} ({by})")
        self.stdout.flush()
        gc.freeze()  # what is loaded now stays; looking through it again and again would hold up transfers
        if processes > 1:
            Doors(processes).keep()
        else:
            keep_door()
