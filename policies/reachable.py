"""The one way out: whom the portal may call (IMGSHARE_PEERS), and how it shows itself and whom it trusts over TLS."""

import logging
import socket
import ssl
import threading
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from policies import audit
from policies.rules import addresses
from policies.rules.addresses import Forbidden, Peers
from policies.rules.sparing import Sparing
from policies.rules.tls import initiator_context

log = logging.getLogger(__name__)
sparing = Sparing()


def listed() -> list[Peers]:
    """Whom the operator has listed; the archive of the demo is always among them."""
    return [addresses.read(entry.strip()) for entry in [*settings.PEERS, f"127.0.0.1:{settings.PACS_PORT}"]]


def why_not(host: str, port: int) -> str:
    """Say why the portal would not connect there, or "". A name that nobody knows now is asked again at the time."""
    try:
        addresses.permitted(host, port, addresses.resolved(host, port), listed())
    except Forbidden as refusal:
        return str(refusal)
    except (OSError, UnicodeError):
        return ""
    return ""


def why_not_web(url: str) -> str:
    """The same for an address of the web."""
    try:
        host, port = endpoint(url)
    except ValueError:
        return f"'{url}' is no address of the web."
    return why_not(host, port)


def endpoint(url: str) -> tuple[str, int]:
    """Host and port of an address of the web. Raises ValueError."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def connect(address: tuple[str, int], timeout: float | None = None) -> socket.socket:
    """As socket.create_connection, to whom we may call; who is not is written into the ledger. Raises Forbidden too."""
    host, port = address
    try:
        return addresses.connect(host, port, listed(), seconds=timeout)
    except Forbidden as refusal:
        _tell(f"{host}:{port}", str(refusal))
        raise


def context() -> ssl.SSLContext:
    """For every line over TLS that we open. Raises OSError when a file cannot be read."""
    return initiator_context(settings.TLS_AUTHORITIES, settings.TLS_CERTIFICATE, settings.TLS_KEY)


def _tell(where: str, why: str) -> None:
    """The refusal stands even if the database is down. Threads of a look-up leave no connection of theirs behind."""
    log.warning("Did not connect to %s: %s", where, why)
    if sparing.unsaid(where) is None:
        return
    try:
        audit.record(audit.PORTAL, "refuse connection", "address", key=where, reason=why)
    except Exception:
        log.exception("That the portal did not connect to %s could not be written into the ledger", where)
    finally:
        if threading.current_thread() is not threading.main_thread() and not connection.in_atomic_block:
            connection.close()
