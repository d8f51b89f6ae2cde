"""The HL7 door: listens for HL7 v2 messages over MLLP, and answers each when what it says is committed."""

import gc
import logging
import signal
import threading
import time

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import close_old_connections, connections

from orders import inbound
from orders.hl7 import mllp
from policies import running
from policies.problems import Conflict, Denied, Invalid, Problem, TooMany
from policies.rules.tls import CIPHERS, Acceptor, Credentials

log = logging.getLogger(__name__)

# AE: the same message would be refused again. AR: the sender may try later, as after whatever else goes wrong.
REFUSALS: dict[type[Problem], str] = {Denied: "AR", Conflict: "AE", Invalid: "AE", TooMany: "AR"}
PAUSE = 5  # seconds without a message; what kept the database connection open may have forgotten it since


class Threads(threading.local):
    """What the thread of one connection remembers."""

    last = 0.0  # message, on the monotonic clock


threads = Threads()


def answer(raw: bytes, peer: mllp.Peer) -> bytes:
    """The acknowledgement of one message, on a database connection that this thread keeps while it works."""
    if time.monotonic() - threads.last > PAUSE:
        close_old_connections()
    try:
        return inbound.receive(raw, peer=str(peer))
    except Problem as problem:
        log.warning("Refused a message of %s: %s", peer, problem)
        return mllp.refusal(raw, REFUSALS.get(type(problem), "AE"), str(problem))
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.errors_occurred:  # the next message begins on a new one
                connection.close()
        threads.last = time.monotonic()


def listener() -> mllp.Listener:
    """The door as the settings have it; raises OSError where it cannot be opened."""
    return mllp.Listener(
        answer,
        host=settings.BIND_ADDRESS,
        port=settings.MLLP_PORT,
        limits=mllp.Limits(
            message_bytes=settings.MLLP_MESSAGE_BYTES,
            connections=settings.MLLP_CONNECTIONS,
            idle_seconds=settings.MLLP_IDLE_SECONDS,
        ),
        tls=acceptor(),
        parted=connections.close_all,
    )


def acceptor() -> Acceptor | None:
    if not settings.MLLP_TLS_CERTIFICATE:
        return None
    credentials = Credentials(
        settings.MLLP_TLS_CERTIFICATE,
        settings.MLLP_TLS_KEY,
        settings.MLLP_TLS_AUTHORITIES,
        settings.MLLP_TLS_CIPHERS or CIPHERS,
    )
    return Acceptor(credentials)


class Command(BaseCommand):
    help = "Listen for HL7 v2 messages over MLLP (the HL7 door)."

    def handle(self, **options):
        over = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: over.set())
        try:
            door = listener()
        except OSError as error:
            raise CommandError(f"The HL7 door cannot be opened: {error.strerror or error}.") from error
        door.start()
        by = " (over TLS only)" if settings.MLLP_TLS_CERTIFICATE else ""
        self.stdout.write(f"HL7 door listens on {settings.BIND_ADDRESS}:{door.port}{by}")
        self.stdout.flush()
        gc.freeze()  # what is loaded now stays
        with running.told("mllp"):
            over.wait()
            door.stop()
