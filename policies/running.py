"""The life of a process in the ledger: it has started, it stops (PS3.15 A.5.3.1), whatever the database does meanwhile.

Lines are written by a thread of their own: a database that is down or slow holds up neither the start nor the end.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connection
from django.utils import timezone

from policies import audit

log = logging.getLogger(__name__)
SHORTEST_PAUSE, LONGEST_PAUSE = 2, 60  # seconds until the start is told again to a database that did not answer
GOODBYE = 3  # seconds that a process waits for its last line


@contextmanager
def told(name: str) -> Iterator[None]:
    """Tell that the process `name` (web, worker, storescp, intake, mllp) has started, and at the end that it stops.

    Enter it after the last fork. Whoever is killed says no last word; the next start tells.
    """
    detail = {"host": socket.gethostname(), "pid": os.getpid(), "since": timezone.now().isoformat(timespec="seconds")}
    over = threading.Event()
    threading.Thread(target=_write_at_last, args=(name, detail, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        last = threading.Thread(target=_write, args=("stop", name, detail), daemon=True)
        last.start()
        last.join(GOODBYE)


def _write_at_last(name: str, detail: dict, over: threading.Event) -> None:
    pause = SHORTEST_PAUSE
    while not _write("start", name, detail) and not over.wait(pause):
        pause = min(pause * 2, LONGEST_PAUSE)


def _write(verb: str, name: str, detail: dict) -> bool:
    try:
        audit.record(audit.PORTAL, verb, "process", key=name, detail=detail)
    except DatabaseError as problem:
        log.warning("The %s of %s is not in the ledger: %s", verb, name, problem)
        return False
    finally:
        connection.close()
    return True
