"""The DICOM door: listens for C-ECHO and C-STORE from known sources, and puts what comes into the spool."""

import functools
import logging
import signal
import threading
from typing import NamedTuple

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection

from policies import audit
from policies.models import Destination, Source
from reconciliation import bell, stores
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.dicom.commitment import Report

log = logging.getLogger(__name__)


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


class Command(BaseCommand):
    help = "Listen for DICOM C-ECHO, C-STORE and reports of storage commitment (the DICOM door)."

    def handle(self, **options):
        listener = scp.Listener(ae_title=settings.AE_TITLE, host=settings.BIND_ADDRESS, port=settings.DICOM_PORT)
        sources = Sources()
        sources.by_title()
        server = scp.serve(
            listener,
            spool=stores.spool(),
            admit=fresh(sources.admit),
            refused=fresh(refused),
            on_report=fresh(reported),
        )
        self.stdout.write(f"{settings.AE_TITLE} listens on {settings.BIND_ADDRESS}:{settings.DICOM_PORT}")
        over = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: over.set())
        over.wait()
        server.shutdown()
