"""TLS for the doors by BCP 195 (PS3.15 annex B.12): both sides show certificates, and nothing older than TLS 1.2."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

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


def secured(connection: socket.socket, context: ssl.SSLContext, *, seconds: float) -> ssl.SSLSocket:
    """Shake hands within so many seconds; raises OSError, and then the connection is closed."""
    connection.settimeout(seconds)
    return context.wrap_socket(connection, server_side=True)
