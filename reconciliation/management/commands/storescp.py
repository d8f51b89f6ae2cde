"""The DICOM door: listens for C-ECHO and C-STORE from known sources, and puts what comes into the spool."""

import functools
import gc
import logging
import os
import signal
import sys
import threading
import time

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, close_old_connections, connection

from policies import audit, bell, callers, running
from policies.models import Destination
from policies.rules.senders import Sender, Shown, identify
from policies.rules.sparing import Sparing
from policies.rules.tls import CIPHERS, Credentials
from reconciliation import stores
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.dicom.commitment import Report
from reconciliation.dicom.wire import SWITCH_INTERVAL

log = logging.getLogger(__name__)

SOON = 5  # seconds; a process that ends within them never served


class Sources:
    """The senders of active sources, as the database last said: the door stays open while the database is down.

    Destinations may come in too, but only to report on storage commitment; also inactive ones, for what they have got.
    """

    def __init__(self):
        self.senders: list[Sender] = []
        self.reporters: set[str] = set()

    def read(self) -> list[Sender]:
        try:
            self.senders = callers.senders()
            self.reporters = set(Destination.objects.exclude(ae_title="").values_list("ae_title", flat=True))
        except DatabaseError:
            log.exception("The database does not answer; the door goes by the %s senders it knows", len(self.senders))
        return self.senders

    def admit(self, caller: scp.Caller) -> Origin | None:
        """Let a known source in, and a destination (None) to report; `scp.Unknown` for everybody else."""
        shown = Shown(caller.calling_title, caller.address, caller.names, caller.fingerprint)
        source, why = identify(self.read(), shown)
        if not source:
            known_as = {sender.ae_title for sender in self.senders}
            if caller.calling_title in self.reporters - known_as:
                return None
            raise scp.Unknown(why)
        return Origin(
            door=Door.DIMSE,
            source=source,
            calling_title=caller.calling_title,
            called_title=caller.called_title,
            address=caller.address,
        )


class Refusals:
    """Callers that were turned away, in the ledger: at most once a minute from each address. All are in the log."""

    def __init__(self):
        self.sparing = Sparing()

    def write(self, caller: scp.Caller, why: str) -> None:
        """The refusal stands even if the database is down."""
        log.warning("Refused %s from %s: %s", caller.calling_title or "a caller", caller.address, why)
        unsaid = self.sparing.unsaid(caller.address)
        if unsaid is None:
            return
        detail = {"called_title": caller.called_title, "address": caller.address}
        detail |= {"certificate": caller.names[0]} if caller.names else {}
        detail |= {"refused_before": unsaid} if unsaid else {}
        key = caller.calling_title or caller.address
        try:
            audit.record(audit.PORTAL, "refuse association", "caller", key=key, reason=why, detail=detail)
        except Exception:
            log.exception("The refusal of %s could not be written into the ledger", key)


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
    sources.read()
    server = scp.serve(
        listener(),
        spool=stores.spool(),
        admit=fresh(sources.admit),
        refused=fresh(Refusals().write),
        on_report=fresh(reported),
    )
    with running.told("storescp"):
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
