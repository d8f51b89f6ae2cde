"""The intake process: indexes what the doors have spooled, and settles studies that have gone quiet."""

import logging
import signal
import threading

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from reconciliation import intake, matching

log = logging.getLogger(__name__)
PAUSE = 0.5  # seconds between two looks at an empty spool


def look() -> int:
    """One look: index, settle, and propose for what has just settled. The number of arrivals indexed."""
    close_old_connections()
    done = intake.index_all()
    for study in intake.quiet():
        try:
            intake.settle(study)
            matching.propose(study)
        except Exception:
            log.exception("Study %s could not be settled; the sweep will try again", study.pk)
    return done


class Command(BaseCommand):
    help = "Index what the doors have received and settle quiet studies."

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="Look once and end.")

    def handle(self, **options):
        over = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: over.set())
        while not over.is_set():
            done = 0
            try:
                done = look()
            except Exception:  # a database that is down stops the queue, not this process
                log.exception("Intake failed; trying again")
            if options["once"]:
                return
            if not done:
                over.wait(PAUSE)
