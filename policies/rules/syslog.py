"""Syslog over TLS (RFC 5424, RFC 5425) as an audit source speaks it (PS3.15 A.6, ITI-20)."""

import re
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from policies.rules.tls import CIPHERS

PRIORITY = 85  # facility 10 (security), severity 5 (notice)
PATIENCE = 6  # times `seconds` that a whole batch may take
MESSAGE_ID = "DICOM+RFC3881"


@dataclass(frozen=True)
class Collector:
    """Where the audit repository listens, and the PEM files by which both sides know each other."""

    host: str
    port: int
    certificate: Path
    key: Path
    authorities: Path
    seconds: float = 10  # that one step of the conversation may take


def message(body: bytes, *, at: datetime, host: str, application: str, process: str) -> bytes:
    """One RFC 5424 message; `body` is UTF-8 and is marked so."""
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    names = f"{_name(host, 255)} {_name(application, 48)} {_name(process, 128)} {MESSAGE_ID}"
    return f"<{PRIORITY}>1 {moment} {names} - ".encode() + b"\xef\xbb\xbf" + body


def _name(text: str, length: int) -> str:
    return re.sub(r"[^\x21-\x7e]", "", text)[:length] or "-"


def framed(body: bytes) -> bytes:
    """MSG-LEN SP SYSLOG-MSG (RFC 5425 4.3)."""
    return f"{len(body)} ".encode() + body


def send(to: Collector, messages: Iterable[bytes]) -> None:
    """Send all of them over one connection; raises OSError when the collector has not certainly read every one.

    Syslog has no answer. But a receiver replies to close_notify (RFC 5425 4.4) when it has read what came before: who
    hangs up, falls silent or is killed does not, and then all are sent again.
    """
    deadline = time.monotonic() + to.seconds * PATIENCE
    with (
        socket.create_connection((to.host, to.port), timeout=to.seconds) as plain,
        _context(to).wrap_socket(plain, server_hostname=to.host) as line,
    ):
        for body in messages:
            if time.monotonic() > deadline:
                raise TimeoutError("The audit repository reads too slowly.")
            line.sendall(framed(body))
        line.unwrap().close()


def _context(to: Collector) -> ssl.SSLContext:
    """Both sides show certificates; nothing older than TLS 1.2 (BCP 195). Raises OSError when a file cannot be read."""
    context = ssl.create_default_context(cafile=str(to.authorities))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # ITI-19: nodes are known by certificates of the authorities named, not by names
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(to.certificate, to.key)
    return context
