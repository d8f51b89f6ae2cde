"""The DICOM door: listens for C-ECHO and C-STORE from known sources, and puts what comes into the spool."""

import logging
import signal
import threading

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from policies import audit
from policies.models import Source
from reconciliation import stores
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Door, Origin

log = logging.getLogger(__name__)


def admit(caller: scp.Caller) -> Origin:
    """Let a known source in; `scp.Unknown` for everybody else."""
    close_old_connections()
    source = Source.objects.filter(ae_title=caller.calling_title, active=True).first()
    if source is None:
        raise scp.Unknown(f"'{caller.calling_title}' is no AE title of an active source.")
    if source.address and source.address != caller.address:
        raise scp.Unknown(f"'{caller.calling_title}' called from {caller.address}, which is not its address.")
    return Origin(
        door=Door.DIMSE,
        source=str(source.pk),
        calling_title=caller.calling_title,
        called_title=caller.called_title,
        address=caller.address,
    )


def refused(caller: scp.Caller, why: str) -> None:
    """Write a refused caller into the ledger; the refusal stands even if the database is down."""
    log.warning("Refused %s from %s: %s", caller.calling_title, caller.address, why)
    try:
        close_old_connections()
        detail = {"called_title": caller.called_title, "address": caller.address}
        audit.record(audit.PORTAL, "refuse association", "caller", key=caller.calling_title, reason=why, detail=detail)
    except Exception:
        log.exception("The refusal of %s could not be written into the ledger", caller.calling_title)


class Command(BaseCommand):
    help = "Listen for DICOM C-ECHO and C-STORE (the DICOM door)."

    def handle(self, **options):
        listener = scp.Listener(ae_title=settings.AE_TITLE, host=settings.BIND_ADDRESS, port=settings.DICOM_PORT)
        server = scp.serve(listener, spool=stores.spool(), admit=admit, refused=refused)
        self.stdout.write(f"{settings.AE_TITLE} listens on {settings.BIND_ADDRESS}:{settings.DICOM_PORT}")
        over = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: over.set())
        over.wait()
        server.shutdown()
