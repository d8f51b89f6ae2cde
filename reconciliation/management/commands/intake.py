"""The intake process: indexes what the doors have spooled, and settles studies that have gone quiet."""

import logging
import signal
import threading
import time

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from policies import running
from reconciliation import intake, matching, stores

log = logging.getLogger(__name__)
PAUSE = 0.02  # seconds between two looks at an empty spool: the listing of one folder
SETTLING = 0.5  # seconds between two looks at the database for studies that have gone quiet


def look(delays: intake.Delays | None = None) -> int:
    """One look: index, settle, and propose for what has just settled. The number of arrivals indexed."""
    done = intake.index_all(delays)
    settle()
    return done


def settle() -> None:
    close_old_connections()
    stores.spool().sweep_hidden()
    for study in intake.quiet():
        try:
            intake.settle(study)
            matching.propose(study)
        except Exception:
            log.exception("Study %s could not be settled; the sweep will try again", study.pk)


class Command(BaseCommand):
    help = "Index what the doors have received and settle quiet studies."
    requires_system_checks = ["portal"]  # our own (imgshare_site/checks.py); the others load all pages

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="Look once and end.")

    def handle(self, **options):
        self.delays, self.settled = intake.Delays(), 0.0
        over = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: over.set())
        stores.reader().start()
        if options["once"]:
            self.look()
            return
        with running.told("intake"):
            while not over.is_set():
                over.wait(self.look())

    def look(self) -> float:
        """One look; how many seconds to pause before the next."""
        try:
            return 0 if self.step() else PAUSE
        except Exception:  # a database that is down stops the queue, not this process
            log.exception("Intake failed; trying again")
            return intake.LONGEST_WAIT / 5

    def step(self) -> int:
        done = intake.index_all(self.delays)
        if time.monotonic() - self.settled > SETTLING:
            self.settled = time.monotonic()
            settle()
        return done
