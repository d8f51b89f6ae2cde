"""TLS for the doors by BCP 195 (PS3.15 annex B.12): both sides show certificates, and nothing older than TLS 1.2."""

import hashlib
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


def initiator_context(authorities: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """For lines that we open: the name of the peer must be in its certificate, and of an authority (of the system's
    where none are given). We show ours to who asks for it. Raises OSError when a file cannot be read.
    """
    context = ssl.create_default_context(cafile=authorities or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context


def shown(connection: socket.socket) -> tuple[tuple[str, ...], str]:
    """Names and SHA-256 of the certificate that the peer has shown (CN first); none on a line without TLS."""
    if not isinstance(connection, ssl.SSLSocket) or not (whole := connection.getpeercert(binary_form=True)):
        return (), ""
    said = connection.getpeercert() or {}
    common = [value for part in said.get("subject", ()) for name, value in part if name == "commonName"]
    others = [value for _, value in said.get("subjectAltName", ()) if isinstance(value, str)]
    return tuple(dict.fromkeys([*common, *others])), hashlib.sha256(whole).hexdigest()


def why_unproven(problem: OSError) -> str:
    """Say what a peer lacked that could not shake hands with us, or "" where it only hung up or was slow."""
    reason = getattr(problem, "reason", "") or ""
    if "CERTIFICATE" in reason:
        return "It showed no certificate that an authority of ours has signed."
    if reason in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "NO_SHARED_CIPHER"):
        return "It does not speak TLS as it must here."
    return ""
