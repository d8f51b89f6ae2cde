"""TLS for the doors by BCP 195 (PS3.15 annex B.12): both sides show certificates, and nothing older than TLS 1.2."""

import logging
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# RFC 9325 4.2: keys that are forgotten, ciphers that notice a change. TLS 1.3 has no others.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True)
class Credentials:
    """PEM files: our certificate with those above it, its key, and the authorities whose word we take for a peer."""

    certificate: Path
    key: Path
    authorities: Path
    ciphers: str = CIPHERS


def acceptor_context(credentials: Credentials) -> ssl.SSLContext:
    """Raises OSError (ssl.SSLError is one) when a file cannot be read, or a cipher is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(credentials.ciphers)
    context.load_cert_chain(credentials.certificate, credentials.key)
    context.load_verify_locations(credentials.authorities)
    return context


class Acceptor:
    """Shakes hands with the certificates as they lie in their files now: a renewed one needs no restart."""

    def __init__(self, credentials: Credentials) -> None:
        """Raises OSError as `acceptor_context` does: a door opens with good files or not at all."""
        self._credentials = credentials
        self._seen = self._stamps()
        self._context = acceptor_context(credentials)

    def secured(self, connection: socket.socket, *, seconds: float) -> ssl.SSLSocket:
        """Shake hands within so many seconds; raises OSError, and then the connection is closed."""
        connection.settimeout(seconds)
        return self._current().wrap_socket(connection, server_side=True)

    def _current(self) -> ssl.SSLContext:
        """The old files go on while the new ones cannot be read: they may still be being written."""
        try:
            if (stamps := self._stamps()) != self._seen:
                self._context, self._seen = acceptor_context(self._credentials), stamps
        except OSError as error:
            log.error("The new certificate cannot be used, the old one goes on: %s", error)
        return self._context

    def _stamps(self) -> list[tuple[int, int]]:
        files = self._credentials.certificate, self._credentials.key, self._credentials.authorities
        return [(found.st_ino, found.st_mtime_ns) for found in map(os.stat, files)]
