"""The demo's PACS: listens for C-ECHO and C-STORE from this portal, and files what it receives."""

import logging
import signal
import threading

from django.conf import settings
from django.core.management.base import BaseCommand

from imgshare_site.archive import AE_TITLE, Archive

log = logging.getLogger(__name__)
PAUSE = 0.2  # seconds between two looks at an empty spool


class Command(BaseCommand):
    help = "Run a small receiving archive, as the PACS of a demo."
    requires_system_checks = ()  # it has no database and starts beside the portal that is being checked

    def handle(self, **options):
        archive = Archive(settings.DATA_DIR / "archive")
        server = archive.serve(host=settings.BIND_ADDRESS, port=settings.PACS_PORT)
        self.stdout.write(f"{AE_TITLE} listens on {settings.BIND_ADDRESS}:{settings.PACS_PORT}")
        over = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: over.set())
        while not over.is_set():
            filed = 0
            try:
                filed = archive.file_all()
            except Exception:  # a full disk stops the filing, not the process
                log.exception("Filing failed; trying again")
            if not filed:
                over.wait(PAUSE)
        server.shutdown()
