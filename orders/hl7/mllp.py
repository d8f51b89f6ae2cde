"""MLLP (HL7 2.5.1, C.4; ITI TF-2 C.2.1): messages in frames, many over one connection, each answered before the next.

Frames are cut in `Decoder`; `Listener` is our door, `Connection` how we call on others.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from orders.hl7 import read, write
from policies.rules.addresses import Forbidden
from policies.rules.tls import Acceptor

log = logging.getLogger(__name__)

START, END = b"\x0b", b"\x1c\r"
NEXT = START + b"MSH"  # inside a frame: the one before it was never ended
LARGEST = 1 << 20  # bytes of one message
PIECE = 1 << 16  # bytes read at a time

UNENDED = "The message has no end block (1C hex); it was not taken."
GOODBYE = 10  # seconds that a stop gives all messages in hand together
POLL = 0.5  # seconds between looks for a stop
LINGER = 1  # seconds until a peer has read what we said last
BACKLOG = 128


class Frame(NamedTuple):
    """A message without its frame; `problem` is a sentence where it is only the beginning of one."""

    content: bytes
    problem: str = ""


class Decoder:
    """Cuts what comes in, in whatever pieces, into frames. Holds one message at most, and never more than `largest`.

    Bytes between frames are dropped. A frame ends at 1C hex whether or not CR follows it.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self.largest = largest
        self.is_inside = False
        self._buffer = bytearray()
        self._looked = 0  # so far there is no end in the buffer
        self._head = b""  # of a message that is too long: the rest is let go

    def feed(self, data: bytes) -> list[Frame]:
        self._buffer += data
        frames: list[Frame] = []
        while self._step(frames):
            pass
        return frames

    def _step(self, frames: list[Frame]) -> bool:
        """Cut off one frame, or what stands before it; False when more has to come first."""
        if not self.is_inside:
            start = self._buffer.find(START)
            self.is_inside = start >= 0
            del self._buffer[: start + 1 if self.is_inside else len(self._buffer)]
            self._looked = 0
            return self.is_inside
        end, following = self._buffer.find(END[:1], self._looked), self._buffer.find(NEXT, self._looked)
        if following >= 0 and not 0 <= end < following:
            before = self._frame(following, UNENDED)
            frames += [before] if before.content.strip(START) else []  # else it was begun twice
            return True
        if end >= 0:
            frames.append(self._frame(end, ""))
            return True
        self._looked = max(0, len(self._buffer) - len(NEXT) + 1)
        if len(self._buffer) > self.largest:
            self._head = self._head or bytes(self._buffer[: self.largest])
            del self._buffer[: self._looked]
            self._looked = 0
        return False

    def _frame(self, end: int, problem: str) -> Frame:
        content = self._head or bytes(self._buffer[:end])
        if self._head or len(content) > self.largest:
            content, problem = content[: self.largest], f"The message is larger than {self.largest:,} bytes."
        del self._buffer[:end]
        self.is_inside, self._head, self._looked = False, b"", 0
        return Frame(content, problem)

    def rest(self) -> Frame | None:
        """What has begun and will not end any more."""
        return self._frame(len(self._buffer), UNENDED) if self.is_inside else None


def framed(message: bytes) -> bytes:
    return START + message + END


# --- the door --------------------------------------------------------------------------------------------------------


class Peer(NamedTuple):
    """Who has connected to us."""

    address: str
    port: int

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class Limits:
    """What one peer may cost us."""

    message_bytes: int = LARGEST
    connections: int = 100
    idle_seconds: float = 600  # between two messages
    message_seconds: float = 60  # from the first byte of a message to its last, and for our answer to be taken


Answer = Callable[[bytes, Peer], bytes]


class Listener:
    """Listens in threads of its own until `stop`: one thread a connection, one message at a time in each.

    `answer` gives the acknowledgement of a message; it is sent as soon as it is there, so whatever it promises is done
    by then. What it raises is logged and answered with AR, and the connection goes on. `parted` is called in the
    thread of a connection when that has ended. Port 0 takes any free one.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        host: str,
        port: int,
        limits: Limits = Limits(),
        tls: Acceptor | None = None,
        parted: Callable[[], None] = lambda: None,
    ) -> None:
        self.answer, self.limits, self.tls, self.parted = answer, limits, tls, parted
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._room = threading.BoundedSemaphore(limits.connections)
        self._is_over = threading.Event()
        self._open: set[threading.Thread] = set()
        self._accepting = threading.Thread(target=self._accept, name="mllp", daemon=True)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        """Take no more connections and no more messages; those in hand are answered first."""
        self._is_over.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        except OSError:
            pass
        self._accepting.join()
        self._socket.close()
        until = time.monotonic() + GOODBYE
        for thread in list(self._open):
            thread.join(max(0.0, until - time.monotonic()))

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                connection, (address, port, *_) = self._socket.accept()
            except OSError as error:
                if not self._is_over.wait(0.1):  # too many open files, say: some will be closed
                    log.error("A connection could not be accepted: %s", error)
                continue
            if not self._room.acquire(blocking=False):
                log.warning("Hung up on %s: there are %s connections already", address, self.limits.connections)
                connection.close()
                continue
            thread = threading.Thread(target=self._serve, args=[connection, Peer(address, port)], daemon=True)
            self._open.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket, peer: Peer) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.tls:
                connection = self.tls.secured(connection, seconds=self.limits.message_seconds)
            self._converse(connection, peer)
            _part(connection)
        except OSError as error:
            log.warning("The connection of %s came to nothing: %s", peer, error)
        except Exception:
            log.exception("The connection of %s came to nothing", peer)
        finally:
            connection.close()
            self.parted()
            self._room.release()
            self._open.discard(threading.current_thread())

    def _converse(self, connection: socket.socket, peer: Peer) -> None:
        for frame in self._frames(connection, peer):
            answer = self._answer(frame, peer)
            connection.settimeout(self.limits.message_seconds)
            connection.sendall(framed(answer))
            if self._is_over.is_set():
                return

    def _frames(self, connection: socket.socket, peer: Peer) -> Iterator[Frame]:
        """Messages as they come, until the peer has hung up, has been too slow, or we are to stop."""
        decoder = Decoder(self.limits.message_bytes)
        until = time.monotonic() + self.limits.idle_seconds
        while not self._is_over.is_set() and (left := until - time.monotonic()) > 0:
            was_inside = decoder.is_inside
            data = _received(connection, min(left, POLL))
            if data is None:
                continue
            if not data:
                break
            frames = decoder.feed(data)
            yield from frames
            if frames or decoder.is_inside != was_inside:
                limit = self.limits.message_seconds if decoder.is_inside else self.limits.idle_seconds
                until = time.monotonic() + limit
        if not self._is_over.is_set() and (rest := decoder.rest()):
            log.warning("A message of %s was cut off after %s bytes", peer, len(rest.content))
            yield rest

    def _answer(self, frame: Frame, peer: Peer) -> bytes:
        if frame.problem:
            log.warning("Refused a message of %s: %s", peer, frame.problem)
            return refusal(frame.content, "AE", frame.problem)
        try:
            return self.answer(frame.content, peer)
        except Exception:
            log.exception("A message of %s could not be answered", peer)
            return refusal(frame.content, "AR", "The message could not be taken; it may be sent again.")


def refusal(raw: bytes, code: str, sentence: str, *, error: int = write.INTERNAL) -> bytes:
    """An answer to bytes that may be a message; its header is read where that is possible."""
    try:
        header = read.parse(raw[:LARGEST])
    except read.NotHL7 as problem:
        header = problem.header
    return write.acknowledge(header, code, error=write.Error(error, sentence), now=datetime.now(UTC))


def _received(connection: socket.socket, seconds: float) -> bytes | None:
    """Some bytes, none when the peer has ended; None when nothing has come for so long."""
    connection.settimeout(seconds)
    try:
        return connection.recv(PIECE)
    except TimeoutError:
        return None


def _part(connection: socket.socket) -> None:
    """Say that we are done, and let the peer read it: to close upon unread bytes would take back our answer."""
    connection.settimeout(LINGER)
    try:
        if isinstance(connection, ssl.SSLSocket):
            connection = connection.unwrap()
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + LINGER
        while (left := until - time.monotonic()) > 0 and _received(connection, left):
            pass
    except (OSError, ValueError):
        pass


# --- calling ---------------------------------------------------------------------------------------------------------


class Refused(Exception):
    """Nobody could be reached, or not in safety; the message was not sent. The text is a sentence."""


class NoAnswer(Exception):
    """The message may have been taken or not: send it again with the same control ID. The text is a sentence."""


class Closed(Exception):
    """The peer has hung up."""


class Connection:
    """To one receiver; opened with the first message, and kept for the next ones."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        connect_seconds: float = 5,
        largest: int = LARGEST,
        connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection,
    ) -> None:
        self.host, self.port, self.tls, self.connect = host, port, tls, connect
        self.connect_seconds, self.largest = connect_seconds, largest
        self._socket: socket.socket | None = None
        self._decoder = Decoder(largest)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, message: bytes, timeout: float = 30) -> bytes:
        """Send a message and give the answer to it, the one whose MSA-2 is its MSH-10; raises Refused, NoAnswer.

        A connection that was open already may have been closed while it was idle: then once more on a new one.
        """
        control_id = read.parse(message).control_id
        until = time.monotonic() + timeout
        was_open = self._socket is not None
        try:
            try:
                return self._ask(message, control_id, until)
            except Closed:
                if not was_open:
                    raise
                self.close()
                return self._ask(message, control_id, until)
        except Closed:
            self.close()
            raise NoAnswer(f"{self} hung up without an answer.") from None
        except (NoAnswer, Refused):
            self.close()
            raise

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def open(self) -> None:
        """Connect now, and say nothing. Raises Refused."""
        if self._socket is None:
            self._connect()

    def stays(self, seconds: float) -> bool:
        """Whether the other side leaves the idle connection open for so long."""
        connection = self._socket or self._connect()
        connection.settimeout(seconds)
        try:
            return connection.recv(1) != b""
        except TimeoutError:
            return True
        except OSError:
            return False

    def _ask(self, message: bytes, control_id: str, until: float) -> bytes:
        connection = self._socket or self._connect()
        try:
            connection.settimeout(max(0.001, until - time.monotonic()))
            connection.sendall(framed(message))
        except TimeoutError:
            raise NoAnswer(f"{self} takes no more bytes.") from None
        except OSError as error:
            raise Closed from error
        others = 0
        for frame in self._answers(connection, until):
            if _answered(frame) == control_id:
                return frame.content
            others += 1
            log.warning("%s sent something that is no answer to %s", self, control_id)
        hint = ", only to other messages" if others else " in time"
        raise NoAnswer(f"{self} has not answered{hint}.")

    def _answers(self, connection: socket.socket, until: float) -> Iterator[Frame]:
        """What comes until it is too late; raises Closed."""
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                data = connection.recv(PIECE)
            except TimeoutError:
                return
            except OSError as error:
                raise Closed from error
            if not data:
                raise Closed
            yield from self._decoder.feed(data)

    def _connect(self) -> socket.socket:
        try:
            connection = self.connect((self.host, self.port), self.connect_seconds)
        except Forbidden as refusal:
            raise Refused(str(refusal)) from refusal
        except OSError as error:
            raise Refused(f"{self} cannot be reached: {error.strerror or error}.") from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_hostname=self.host)
        except OSError as error:
            connection.close()
            raise Refused(f"{self} does not speak TLS as it must: {error.strerror or error}.") from error
        self._socket, self._decoder = connection, Decoder(self.largest)
        return connection

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None


def _answered(frame: Frame) -> str:
    """MSA-2 of an answer, "" when it is none."""
    try:
        acknowledgement = read.parse(frame.content).first("MSA")
    except read.NotHL7:
        return ""
    return acknowledgement.text(2).strip() if acknowledgement and not frame.problem else ""
