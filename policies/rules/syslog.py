"""Syslog over TLS (RFC 5424, RFC 5425) as an audit source speaks it (PS3.15 A.6, ITI-20)."""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from policies.rules.tls import CIPHERS, initiator_context

PRIORITY = 85  # facility 10 (security), severity 5 (notice)
PATIENCE = 6  # times `seconds` that a whole batch may take
MESSAGE_ID = "DICOM+RFC3881"


@dataclass(frozen=True)
class Collector:
    """Where the audit repository listens, and the PEM files by which both sides know each other.

    `name` is the one in its certificate, where that is another than `host`.
    """

    host: str
    port: int
    certificate: Path
    key: Path
    authorities: Path
    seconds: float = 10  # that one step of the conversation may take
    name: str = ""


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
    hangs up, falls silent, is killed or refuses our certificate does not, and then all are sent again.
    """
    deadline = time.monotonic() + to.seconds * PATIENCE
    with socket.create_connection((to.host, to.port), timeout=to.seconds) as plain:
        line = _Line(plain, _context(to), to.name or to.host)
        line.take(line.tls.do_handshake)
        for body in messages:
            if time.monotonic() > deadline:
                raise TimeoutError("The audit repository reads too slowly.")
            line.take(line.tls.write, framed(body))
        line.close(deadline)


class _Line:
    """TLS of which every byte passes through our hands.

    A socket's own unwrap() takes a fatal alert for the reply to close_notify: with TLS 1.3 a refused certificate would
    count as success.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, name: str):
        self.plain, self.incoming, self.outgoing = plain, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def take(self, step: Callable, *given) -> object:
        """Take one step of the conversation, reading and writing what it needs."""
        while True:
            try:
                done = step(*given)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            else:
                self._flush()
                return done

    def close(self, deadline: float) -> None:
        """Say that nothing more comes, and wait until the other side says the same."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()
        while time.monotonic() < deadline:
            try:
                self.take(self.tls.read, 1024)
            except ssl.SSLZeroReturnError:
                return
        raise TimeoutError("The audit repository does not close the line.")

    def _flush(self) -> None:
        if data := self.outgoing.read():
            self.plain.sendall(data)

    def _feed(self) -> None:
        if data := self.plain.recv(65536):
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


def _context(to: Collector) -> ssl.SSLContext:
    """Both sides show certificates, and theirs has the name that we call (RFC 5425 5.2); BCP 195.

    Raises OSError when a file cannot be read.
    """
    context = initiator_context(str(to.authorities), str(to.certificate), str(to.key))
    context.set_ciphers(CIPHERS)
    return context
