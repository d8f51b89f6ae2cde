"""An association that we ask for (PS3.8), on a socket of our own: no thread, no queue, no wait without an end.

pynetdicom encodes and decodes what opens, refuses and aborts an association. Messages go out as `fragments` cuts them.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from orders.dicom import fragments
from orders.dicom.fragments import COMMAND, LAST, NO_DATA_SET, Body, Nonsense
from orders.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from policies.rules.addresses import Forbidden

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
PDU = struct.Struct(">BxI")  # type and length
CONTEXTS = 128  # an association holds no more (PS3.8 7.1.1.13: odd numbers up to 255)
OURS_MAXIMUM = 1 << 14  # bytes of a PDU that we are sent: there are only answers in it
LONGEST_PDU = 1 << 20  # bytes; also of an answer to an association, which has no agreed length
LONGEST_COMMAND = 1 << 16
QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux only
UNSENT_LOWEST = getattr(socket, "TCP_NOTSENT_LOWAT", None)
FEW, MANY = 128 << 10, 0x7FFFFFFF  # bytes that may wait in the kernel for the line
SLICE = 1.0  # seconds of a wait between two looks at whatever else is to be done

# Elements of group 0000 (PS3.7 annex E)
CLASS, COMMAND_FIELD, MESSAGE_ID, MESSAGE_ANSWERED, PRIORITY = 0x0002, 0x0100, 0x0110, 0x0120, 0x0700
DATA_SET, STATUS, ERROR_COMMENT = 0x0800, 0x0900, 0x0902
RESPONSE, C_ECHO, WITH_DATA_SET = 0x8000, 0x0030, 0x0001
PENDING = (0xFF00, 0xFF01)  # more responses follow (PS3.7 9.1.2.1.5)
LITTLE_ENDIAN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")  # Explicit and Implicit VR Little Endian
NO_REASON = 0x02  # result of a presentation context (PS3.8 Table 9-18)

Connect = Callable[[tuple[str, int], float], socket.socket]  # host and port, seconds; raises OSError, Forbidden
Proposal = tuple[str, tuple[str, ...]]  # an abstract syntax, and transfer syntaxes in our order


@dataclass(frozen=True)
class Peer:
    """Whom we call, as whom, and how many seconds we wait: for the line, for the association, for each answer."""

    host: str
    port: int
    ae_title: str
    calling_title: str
    connection_timeout: float = 5
    acse_timeout: float = 10
    dimse_timeout: float = 60
    connect: Connect = socket.create_connection
    tls: ssl.SSLContext | None = None


class Unreachable(Exception):
    """The peer is down, silent or busy: try again later. str() is a sentence."""


class Refused(Exception):
    """The peer will not talk to us until a person changes something. str() is a sentence."""


class Lost(Exception):
    """The association is over; str() says what the peer did, without a subject: "aborted the association"."""


class Line:
    """A connection on which whole PDUs come and go. `idle` is called about once a second while nothing comes."""

    def __init__(self, peer: Peer, idle: Callable[[], None]) -> None:
        self.idle, self.patience, self.broken = idle, peer.dimse_timeout, False
        self.received = bytearray()
        self.socket = _connected(peer)
        seconds, rest = divmod(peer.dimse_timeout, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(seconds), int(rest * 1e6)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)

    def hold_back(self, much: bool) -> None:
        """Let only a little of a large object wait in the kernel: that is near the processor when the line takes it,
        and a receiver on a fast line needs a quarter less time. A small one is handed over whole.
        """
        if UNSENT_LOWEST is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, UNSENT_LOWEST, FEW if much else MANY)

    def send(self, data: bytes | memoryview) -> None:
        """All of it, or Lost where the peer takes nothing for as long as it may be silent."""
        left = memoryview(data)
        try:
            while left:
                left = left[self.socket.send(left) :]
        except (BlockingIOError, TimeoutError) as error:
            self.broken = True
            raise Lost(f"took no more bytes for {self.patience:g} seconds") from error
        except OSError as error:
            self.broken = True
            raise Lost("ended the connection") from error

    def pending(self) -> bool:
        return bool(self.received or self._decrypted() or self.poll.poll(0))

    def _decrypted(self) -> int:
        """Bytes that `poll` does not see any more: TLS has taken them off the line."""
        return self.socket.pending() if isinstance(self.socket, ssl.SSLSocket) else 0

    def read(self, deadline: float) -> tuple[int, bytes]:
        """The next PDU, as its type and all its bytes. Raises Lost."""
        self._want(PDU.size, deadline)
        kind, length = PDU.unpack_from(self.received)
        if length > LONGEST_PDU or not ASSOCIATE_AC <= kind <= ABORT:
            raise Lost("answered with something that is not DICOM")
        self._want(PDU.size + length, deadline)
        pdu = bytes(self.received[: PDU.size + length])
        del self.received[: PDU.size + length]
        return kind, pdu

    def _want(self, size: int, deadline: float) -> None:
        while len(self.received) < size:
            self._wait(deadline)
            try:
                piece = self.socket.recv(1 << 16)
            except OSError as error:
                raise Lost("ended the connection") from error
            if not piece:
                raise Lost("ended the connection")
            self.received += piece

    def _wait(self, deadline: float) -> None:
        """A peer that uses Nagle's algorithm waits for our acknowledgement in the middle of its answer: 40 ms each."""
        if QUICKACK is not None:
            with suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)  # holds for the next packets only
        while not self._decrypted() and not self.poll.poll(1000 * min(SLICE, max(0.0, deadline - time.monotonic()))):
            self.idle()
            if time.monotonic() >= deadline:
                raise Lost("did not answer in time")

    def goodbye(self, pdu: bytes) -> None:
        """Send a last PDU where that is possible without waiting."""
        if not self.broken:
            with suppress(OSError):
                if isinstance(self.socket, ssl.SSLSocket):
                    self.socket.settimeout(0)
                    self.socket.send(pdu)
                else:
                    self.socket.send(pdu, socket.MSG_DONTWAIT)

    def close(self) -> None:
        if self.broken:  # what still waits to be sent is of no use to anybody
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def _connected(peer: Peer) -> socket.socket:
    """Without TLS the kernel waits for us: fewer calls, and larger ones. With it, nothing waits longer than it may."""
    line = peer.connect((peer.host, peer.port), peer.connection_timeout)
    if peer.tls is None:
        line.settimeout(None)
        return line
    try:
        line = peer.tls.wrap_socket(line, server_hostname=peer.host)
    except BaseException:
        line.close()
        raise
    line.settimeout(peer.dimse_timeout)
    return line


class Agreed(NamedTuple):
    """What a peer answers to our proposals: result and transfer syntax by context, and the longest PDU (0: any)."""

    contexts: dict[int, tuple[int, str]]
    maximum: int


class Association:
    """`accepted`: context and transfer syntax of each proposal that was taken; `refused`: the result of the others."""

    def __init__(self, line: Line, peer: Peer, proposals: Sequence[Proposal], agreed: Agreed) -> None:
        self.line, self.peer = line, peer
        self.over, self.released = "", False
        self.accepted: dict[Proposal, tuple[int, str]] = {}
        self.refused: dict[Proposal, int] = {}
        for number, proposal in enumerate(proposals):
            context = 2 * number + 1
            result, syntax = agreed.contexts.get(context, (NO_REASON, ""))
            if result == 0 and syntax in proposal[1]:
                self.accepted[proposal] = context, syntax
            else:
                self.refused[proposal] = result
        self.most = fragments.payload(agreed.maximum)
        if self.most < fragments.SMALLEST:
            raise Refused(f"{peer.ae_title} takes only {self.most} bytes at once: no object fits into that.")
        self.memory = memoryview(bytearray(fragments.ROOM))
        self.message_id, self._command, self._large = 0, b"", False
        self._answers: dict[int, dict] = {}

    def send(self, context: int, elements: dict[int, int | str], body: Body | None = None) -> int:
        """Send one request with its data set; gives its message id. Raises Lost, or OSError of the file.

        An answer may come before the end of the data set: it is kept. A peer that aborts is heard at once.
        """
        self.message_id = self.message_id % 0xFFFF + 1
        self._answers.clear()
        raw = fragments.command(elements | {MESSAGE_ID: self.message_id})
        large = body is not None and body.length > fragments.PDU_MAXIMUM
        if large != self._large:
            self.line.hold_back(large)
            self._large = large
        with self._ending():
            for piece in fragments.batches(self.memory, self.most, context, raw, body):
                self._send(piece)
                if large:
                    self.line.idle()
                    while self.line.pending():
                        self._take(time.monotonic() + self.peer.dimse_timeout)
        return self.message_id

    def _send(self, piece: memoryview) -> None:
        """A peer that takes no more, or has gone, may have said why before."""
        try:
            self.line.send(piece)
        except Lost:
            with suppress(Lost):
                while self.line.pending():
                    self._take(time.monotonic())
            raise

    def answer(self) -> dict[int, int | bytes]:
        """The response to what was sent last, by element of group 0000. Raises Lost."""
        deadline = time.monotonic() + self.peer.dimse_timeout
        with self._ending():
            while self.message_id not in self._answers:
                self._take(deadline)
        return self._answers[self.message_id]

    def answered(self) -> dict[int, int | bytes]:
        """The response if it has come, also on an association that is over by now; else nothing."""
        return self._answers.get(self.message_id, {})

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except Nonsense as error:
            self.over = f"sent {error}"
            raise Lost(self.over) from error
        except Lost as lost:
            self.over = str(lost)
            raise

    def answers(self, *, longest: int, until: float) -> Iterator[tuple[int, bytes]]:
        """Status and data set of each response to a query that was sent last, to the final one (PS3.7 9.1.2).

        No data set may be longer than `longest` bytes; `until` is a time of the monotonic clock. Raises Lost.
        """
        status, ds = None, bytearray()
        with self._ending():
            while status is None or status in PENDING:
                if (now := time.monotonic()) > until:
                    raise Lost("did not answer to the end in time")
                deadline = min(until, now + self.peer.dimse_timeout)
                for control, fragment in self._fragments(deadline):
                    if control & COMMAND:
                        self._assemble(control, fragment)
                    else:
                        ds += fragment
                    if len(ds) > longest:
                        raise Nonsense("an answer without an end")
                    if not control & LAST:
                        continue
                    told = self._answers.get(self.message_id, {})
                    if control & COMMAND and told.get(DATA_SET) != NO_DATA_SET:
                        continue  # its data set comes next
                    self._answers.clear()
                    if told:
                        status = told[STATUS]
                        yield status, bytes(ds)
                    ds.clear()

    def _take(self, deadline: float) -> None:
        """Hear one PDU; data sets are let go, for no answer to `send` has any use for one."""
        for control, fragment in self._fragments(deadline):
            if control & COMMAND:
                self._assemble(control, fragment)

    def _fragments(self, deadline: float) -> Iterator[tuple[int, bytes]]:
        """Control header and bytes of what is in the next PDU. Raises Lost, Nonsense."""
        kind, pdu = self.line.read(deadline)
        if kind == ABORT:
            raise Lost("aborted the association")
        if kind == RELEASE_RQ:
            self.line.goodbye(A_RELEASE_RP().encode())
            raise Lost("ended the association")
        if kind != P_DATA:
            raise Lost("answered out of turn")
        for _, control, fragment in fragments.values(memoryview(pdu)[PDU.size :]):
            yield control, fragment

    def _assemble(self, control: int, fragment: bytes) -> None:
        self._command += fragment
        if len(self._command) > LONGEST_COMMAND:
            raise Nonsense("a command without an end")
        if control & LAST:
            self._hear(fragments.read_command(self._command))
            self._command = b""

    def _hear(self, told: dict) -> None:
        """Keep an answer to this message; one to the message before, told twice, does no harm."""
        status, number = told.get(STATUS), told.get(MESSAGE_ANSWERED)
        if not isinstance(status, int) or not int(told.get(COMMAND_FIELD) or 0) & RESPONSE:
            raise Nonsense("a command that is no answer")
        if number == self.message_id:
            self._answers[number] = told
        elif number != (self.message_id - 2) % 0xFFFF + 1:
            raise Nonsense("an answer to something that it was not asked")

    def abort(self) -> None:
        """Want no more: `close` tells the peer so."""
        self.over = self.over or "was aborted"

    def release(self) -> None:
        """End in peace (PS3.8 7.2); a peer that does not answer is left."""
        if self.over:
            return
        self.over, self.released = "was released", True
        with suppress(Lost):
            self.line.send(A_RELEASE_RQ().encode())
            deadline, kind = time.monotonic() + self.peer.acse_timeout, P_DATA
            while kind not in (RELEASE_RP, ABORT):
                kind, _ = self.line.read(deadline)
                if kind == RELEASE_RQ:
                    self.line.goodbye(A_RELEASE_RP().encode())

    def close(self) -> None:
        """Leave; what was not released is aborted."""
        if not self.released:
            self.line.goodbye(_abort())
        self.line.close()


@contextmanager
def associated(
    peer: Peer, proposals: Sequence[Proposal], *, idle: Callable[[], None] = lambda: None
) -> Iterator[Association]:
    """An association, released at the end, or aborted after an error. Raises Unreachable or Refused."""
    assoc = _opened(peer, proposals, idle)
    try:
        yield assoc
        assoc.release()
    finally:
        assoc.close()


def echo(peer: Peer) -> str:
    """Say why the peer cannot be used, or "" (C-ECHO, PS3.4 annex A)."""
    try:
        with associated(peer, [(Verification, LITTLE_ENDIAN[1:])]) as assoc:
            if not assoc.accepted:
                return f"{peer.ae_title} does not answer to a verification."
            [(context, _)] = assoc.accepted.values()
            assoc.send(context, {CLASS: Verification, COMMAND_FIELD: C_ECHO, DATA_SET: NO_DATA_SET})
            status = assoc.answer()[STATUS]
    except Lost as lost:
        hint = f" It may not let {peer.calling_title} in." if "aborted" in str(lost) else ""
        return f"{peer.ae_title} does not answer to a verification: it {lost}.{hint}"
    except (Unreachable, Refused) as problem:
        return str(problem)
    return "" if status == 0 else f"{peer.ae_title} did not answer the verification with success."


def _opened(peer: Peer, proposals: Sequence[Proposal], idle: Callable[[], None]) -> Association:
    request, where = _request(peer, proposals), f"{peer.ae_title} at {peer.host}:{peer.port}"
    try:
        line = Line(peer, idle)
    except socket.gaierror as problem:
        raise Unreachable(f"The host of {peer.ae_title} is not known: {peer.host}.") from problem
    except Forbidden as problem:
        raise Refused(str(problem)) from problem
    except ssl.SSLCertVerificationError as problem:
        raise Refused(f"The certificate of {where} is not trusted here: {problem.verify_message}") from problem
    except ssl.SSLError as problem:
        raise Refused(f"{where} does not speak TLS, or does not trust our certificate.") from problem
    except ConnectionRefusedError as problem:
        raise Unreachable(f"Nobody listens at {peer.host}:{peer.port} ({peer.ae_title}).") from problem
    except TimeoutError as problem:
        raise Unreachable(f"{where} does not answer in {peer.connection_timeout:g} seconds.") from problem
    except OSError as problem:
        hint = " Perhaps it does not speak TLS." if peer.tls else ""
        raise Unreachable(f"{where} does not answer.{hint}") from problem
    except (ValueError, OverflowError) as problem:
        raise _not_valid(peer) from problem
    try:
        line.send(request)
        kind, pdu = line.read(time.monotonic() + peer.acse_timeout)
        if kind == ASSOCIATE_RJ:
            raise _rejected(peer, where, pdu)
        if kind != ASSOCIATE_AC:
            raise Unreachable(f"{where} ended the association at once.")
        return Association(line, peer, proposals, _agreed(pdu))
    except BaseException as problem:
        line.goodbye(_abort())
        line.close()
        if isinstance(problem, Lost):
            raise Unreachable(f"{where} does not answer as DICOM systems do: it {problem}.") from problem
        raise


def _request(peer: Peer, proposals: Sequence[Proposal]) -> bytes:
    asked = A_ASSOCIATE()
    try:
        asked.application_context_name = APPLICATION_CONTEXT
        asked.calling_ae_title, asked.called_ae_title = peer.calling_title, peer.ae_title
        asked.presentation_context_definition_list = [
            _context(2 * number + 1, *proposal) for number, proposal in enumerate(proposals)
        ]
        length, implementation, version = (
            MaximumLengthNotification(),
            ImplementationClassUIDNotification(),
            ImplementationVersionNameNotification(),
        )
        length.maximum_length_received = OURS_MAXIMUM
        implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        asked.user_information = [length, implementation, version]
        pdu = A_ASSOCIATE_RQ()
        pdu.from_primitive(asked)
        return pdu.encode()
    except (ValueError, TypeError) as problem:
        raise _not_valid(peer) from problem


def _context(number: int, abstract: str, syntaxes: tuple[str, ...]):
    context = build_context(abstract, list(syntaxes))
    context.context_id = number
    return context


def _agreed(raw: bytes) -> Agreed:
    """pydicom and pynetdicom raise many things on bytes that are not what they should be."""
    try:
        pdu = A_ASSOCIATE_AC()
        pdu.decode(raw)
        contexts = {item.context_id: (item.result, str(item.transfer_syntax)) for item in pdu.presentation_context}
        return Agreed(contexts, pdu.user_information.maximum_length or 0)
    except Exception as error:
        raise Lost("answered with something that is not DICOM") from error


def _rejected(peer: Peer, where: str, raw: bytes) -> Exception:
    pdu = A_ASSOCIATE_RJ()
    try:
        pdu.decode(raw)
        reason = pdu.reason_str
    except Exception:  # as above, and for a reason that DICOM does not define
        reason = "no reason that is known"
    if pdu.result == 0x01:
        return Refused(f"{where} does not accept us as {peer.calling_title}: {reason}.")
    return Unreachable(f"{where} does not accept a connection now: {reason}.")


def _not_valid(peer: Peer) -> Refused:
    return Refused(f"The settings of {peer.ae_title} are not valid: check both AE titles and the port.")


def _abort() -> bytes:
    pdu = A_ABORT_RQ()
    pdu.source, pdu.reason_diagnostic = 0x00, 0x00
    return pdu.encode()
