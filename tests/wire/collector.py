"""An audit repository for the tests: syslog over TLS with certificates of both sides, and the moods of real ones."""

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

from policies.rules.tls import Credentials, acceptor_context
from tests.wire.certificates import Trust


class Collector:
    """Keeps every whole message it reads. `hangs_up_after` so many messages it drops the line without a word."""

    def __init__(self, trust: Trust, *, port: int = 0, hangs_up_after: int = 0, pause: float = 0):
        self.context = acceptor_context(Credentials(trust.ours.certificate, trust.ours.key, Path(trust.authority)))
        self.hangs_up_after, self.pause = hangs_up_after, pause
        self.messages: list[bytes] = []
        self.connections = 0
        self.door = socket.create_server(("127.0.0.1", port))
        self.port = self.door.getsockname()[1]
        self.open = True

    def __enter__(self) -> "Collector":
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.open = False
        with contextlib.suppress(OSError):
            self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        self.thread.join(10)

    def _serve(self) -> None:
        while self.open:
            try:
                plain, _ = self.door.accept()
            except OSError:
                return
            with contextlib.suppress(OSError, ssl.SSLError), plain:
                plain.settimeout(10)
                self.connections += 1
                with self.context.wrap_socket(plain, server_side=True) as line:
                    self._read(line)

    def _read(self, line: ssl.SSLSocket) -> None:
        held, count = b"", 0
        while data := line.recv(65536):
            held += data
            while (whole := _first(held)) is not None:
                body, held = whole
                self.messages.append(body)
                count += 1
                time.sleep(self.pause)
                if count == self.hangs_up_after:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    return
        line.unwrap()


def _first(held: bytes) -> tuple[bytes, bytes] | None:
    """The first whole message of what was read, and the rest (RFC 5425 4.3)."""
    length, blank, rest = held.partition(b" ")
    if not blank or len(rest) < int(length):
        return None
    return rest[: int(length)], rest[int(length) :]
