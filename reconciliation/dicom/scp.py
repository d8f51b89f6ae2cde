"""The DICOM door: objects come in by C-STORE, are whole on disk, and only then are answered with success.

pynetdicom negotiates and frames; `Reception` takes the pieces of a C-STORE as they come off the wire and lays them
straight into the spool, so that memory stays flat and no object is ever parsed here. Every other message goes on to
pynetdicom untouched.
"""

import functools
import logging
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom import uid
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from reconciliation.dicom import commitment
from reconciliation.dicom.arrival import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Origin
from reconciliation.dicom.elements import file_head
from reconciliation.dicom.spool import Part, Spool, Submission

log = logging.getLogger(__name__)

# PS3.4 Table B.2-1, PS3.7 annex C
SUCCESS, OUT_OF_RESOURCES, WRONG_OBJECT, CANNOT_UNDERSTAND, CLASS_NOT_SUPPORTED = 0x0000, 0xA700, 0xA900, 0xC000, 0x0122
NOT_AUTHORISED = 0x0124

# PS3.8 Table 9-21: result, source, reason
CALLING_UNKNOWN, CALLED_UNKNOWN, TRY_LATER = (1, 1, 3), (1, 1, 7), (2, 3, 1)

COMMAND, LAST = 1, 2  # bits of the message control header, PS3.8 E.2
C_STORE_RQ, C_STORE_RSP, NO_DATA_SET = 0x0001, 0x8001, 0x0101
LONGEST_COMMAND = 1 << 16
LONGEST_PDU = 1 << 20  # of association requests, which have no agreed length
GOODBYE = 5  # seconds that shutdown gives an association to end
POLL = 0.1  # seconds between looks for a shutdown
PATIENCE = 0.002  # seconds in one wait for the socket, while nothing is to be sent
LOST_LETTERS = (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian)


@dataclass(frozen=True)
class Listener:
    """`maximum_pdu` in bytes, `network_timeout` in seconds; port 0 takes any free one."""

    ae_title: str
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM door is meant to be reached from outside
    port: int = 11112
    maximum_pdu: int = 256 << 10
    maximum_associations: int = 100
    network_timeout: float = 60


@dataclass(frozen=True)
class Caller:
    calling_title: str
    called_title: str
    address: str


class Unknown(Exception):
    """Raised by `admit` for a caller who may not send here; its text is the reason, for the ledger."""


Admit = Callable[[Caller], Origin | None]
Refused = Callable[[Caller, str], None]


def serve(
    listener: Listener, *, spool: Spool, admit: Admit, refused: Refused, on_report: commitment.Keep | None = None
) -> "DoorServer":
    """Open the door in threads of its own; `shutdown()` closes it, `server_address` says where it is.

    `admit` gives the origin of what a caller is about to send, None for one that may only report, or raises Unknown.
    `refused` is told of everyone who was turned away, with the reason. `on_report` keeps the reports of archives on
    storage commitment; without it none are taken.
    """
    _config.UNRESTRICTED_STORAGE_SERVICE = True  # any storage class in any transfer syntax, private ones too
    _config.LOG_HANDLER_LEVEL = "none"  # pynetdicom's own logging of every message costs time and shows identifiers
    ae = AE(listener.ae_title)
    ae.maximum_pdu_size = listener.maximum_pdu
    ae.maximum_associations = listener.maximum_associations
    ae.network_timeout = listener.network_timeout
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.add_supported_context(Verification)
    handlers = [(evt.EVT_REQUESTED, _greet, [listener, admit, refused])]
    if on_report:  # the archive calls as SCP (PS3.4 J.3.3), and some forget to say so
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers.append((evt.EVT_N_EVENT_REPORT, commitment.heard, [on_report]))
    server = ae.make_server(
        (listener.host, listener.port),
        server_class=DoorServer,
        request_handler=Door,
        evt_handlers=handlers,
    )
    server.spool = spool
    ae._servers.append(server)  # where AE.start_server keeps it, and where `shutdown` looks
    threading.Thread(target=server.serve_forever, args=[POLL], name="dicom-door", daemon=True).start()
    return server


# --- who may come in -------------------------------------------------------------------------------------------------


def _greet(event: evt.Event, listener: Listener, admit: Admit, refused: Refused) -> None:
    """Answer an association request: turn it away on the wire, or note on whose behalf its objects come."""
    assoc = event.assoc
    wish = assoc.requestor.primitive
    caller = Caller(wish.calling_ae_title, wish.called_ae_title, assoc.requestor.address_info.address)
    if caller.called_title != listener.ae_title.strip():
        tell = functools.partial(refused, caller, f"It called for {caller.called_title}, which is not our AE title.")
        _turn_away(assoc, CALLED_UNKNOWN, tell)
        return
    try:
        assoc.dimse.origin = admit(caller)
    except Unknown as unknown:
        _turn_away(assoc, CALLING_UNKNOWN, functools.partial(refused, caller, str(unknown)))
        return
    except Exception:  # a door: whatever broke is ours, and the caller may try again
        log.exception("Could not tell whether %s may send", caller.calling_title)
        _turn_away(assoc, TRY_LATER)
        return
    for context in wish.presentation_context_definition_list:
        _prefer_explicit(context)


def _turn_away(assoc: Association, why: tuple[int, int, int], tell: Callable[[], None] = lambda: None) -> None:
    """As ACSE does when it rejects by itself: answer, then wait until the answer is out and the peer has hung up."""
    assoc.acse.send_reject(*why)
    try:
        tell()
    finally:
        assoc.kill()


def _prefer_explicit(context: PresentationContext) -> None:
    """The sender's order stands, but Explicit VR LE wins over the two that lose VRs or byte order.

    Compressed objects stay as they are kept at the sender, and private elements keep their VR (PS3.5 6.2.2, note 2).
    """
    offered = context.transfer_syntax
    if offered and offered[0] in LOST_LETTERS and uid.ExplicitVRLittleEndian in offered:
        others = [syntax for syntax in offered if syntax != uid.ExplicitVRLittleEndian]
        context.transfer_syntax = [uid.ExplicitVRLittleEndian, *others]


# --- one association -------------------------------------------------------------------------------------------------


class DoorServer(ThreadedAssociationServer):
    request_queue_size = 64
    daemon_threads = True
    spool: Spool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.open_doors: set[threading.Thread] = set()
        super().__init__(*args, **kwargs)

    def shutdown(self) -> None:
        """Stop listening, then end what still runs; an object that is not whole by then was never promised."""
        if self not in self.ae._servers:  # shut already
            return
        super().shutdown()
        for assoc in self.active_associations:
            assoc.abort()
        for thread in list(self.open_doors):
            thread.join(GOODBYE)


class Door(RequestHandler):
    """Serves one connection, and sees it to its end whatever that is."""

    server: DoorServer

    def handle(self) -> None:
        self.server.open_doors.add(threading.current_thread())
        try:
            super().handle()
            self.assoc.join()
            self.assoc.dul.join()
            self.assoc.dimse.leave()
        finally:
            self.server.open_doors.discard(threading.current_thread())

    def _create_association(self) -> Association:
        self.assoc = super()._create_association()
        self.request.settimeout(self.server.ae.network_timeout)  # a peer that falls silent in mid PDU holds no thread
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.assoc.dul.event_queue.get_nowait()  # the stock socket has announced itself; ours does so again
        self.assoc.dul.socket = DoorSocket(self.assoc, client_socket=self.request)
        self.assoc.dimse = Reception(self.assoc, self.server.spool)
        return self.assoc


class DoorSocket(AssociationSocket):
    """Reads in large pieces, and waits for data instead of sleeping between looks."""

    def recv(self, nr_bytes: int) -> bytearray:
        agreed = self.assoc.acceptor.maximum_length
        if agreed and nr_bytes > max(agreed, LONGEST_PDU):
            raise OSError(f"a PDU of {nr_bytes} bytes is longer than agreed")
        data = bytearray(nr_bytes)
        view, count = memoryview(data), 0
        while count < nr_bytes:
            received = self.socket.recv_into(view[count:])
            # A sender with Nagle's algorithm waits for our acknowledgement before each short piece. Linux forgets this
            # setting by itself, so it is renewed after every piece.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not received:
                return data[:count]
            count += received
        return data

    @property
    def ready(self) -> bool:
        if self.socket is not None and self.assoc.is_established and self.provider_queue.empty():
            try:
                select.select([self.socket], [], [], PATIENCE)
            except (OSError, ValueError):
                pass  # the look below finds the same and reports it to the state machine
        return super().ready


class Store:
    """One C-STORE: its command, where its bytes go, and what will be answered."""

    def __init__(self, context_id: int, command: dict[int, bytes]) -> None:
        self.context_id, self.command = context_id, command
        self.status = SUCCESS
        self.comment = ""
        self.part: Part | None = None

    def uid_of(self, element: int) -> bytes:
        return self.command.get(element, b"").strip(b" \0")

    def refuse(self, status: int, comment: str) -> None:
        """Answer this at the end; what is still to come is taken off the wire and let go."""
        self.status, self.comment = status, comment
        if self.part:
            self.part.abort()
            self.part = None


class Reception(DIMSEServiceProvider):
    """Where an association's messages arrive: C-STORE is served here, in the thread that reads the wire."""

    def __init__(self, assoc: Association, spool: Spool) -> None:
        super().__init__(assoc)
        self.origin: Origin | None = None
        self._spool = spool
        self._submission: Submission | None = None
        self._command = b""
        self._store: Store | None = None

    def receive_primitive(self, primitive: P_DATA) -> None:
        for context_id, fragment in primitive.presentation_data_value_list:
            control, data = fragment[0], memoryview(fragment)[1:]
            if control & COMMAND:
                self._take_command(context_id, data, last=bool(control & LAST))
            elif self._store:
                self._take_data(data, last=bool(control & LAST))
            else:
                super().receive_primitive(_p_data(context_id, fragment))

    def leave(self) -> None:
        """The association is over, in whatever way: an unfinished object is thrown away, the submission closed."""
        try:
            if self._store:
                self._store.refuse(CANNOT_UNDERSTAND, "cut")
        finally:
            self._store = None
            if self._submission:
                self._submission.close()

    def _take_command(self, context_id: int, data: memoryview, *, last: bool) -> None:
        self._command += data
        if len(self._command) > LONGEST_COMMAND:
            raise ValueError(f"a command set of more than {LONGEST_COMMAND} bytes")
        if not last:
            return
        encoded, self._command = self._command, b""
        command = _parsed(encoded)
        if _number(command, 0x0100) != C_STORE_RQ:
            super().receive_primitive(_p_data(context_id, bytes([COMMAND | LAST]) + encoded))
            return
        if self._store:  # a new request before the last object was whole
            self._store.refuse(CANNOT_UNDERSTAND, "cut")
        self._store = Store(context_id, command)
        if _number(command, 0x0800) == NO_DATA_SET:
            self._store.refuse(CANNOT_UNDERSTAND, "no data set came with the request")
            self._answer()
        else:
            self._guarded(self._begin)

    def _begin(self, store: Store) -> None:
        sop_class, sop_instance = store.uid_of(0x0002), store.uid_of(0x1000)
        context = next((c for c in self.assoc.accepted_contexts if c.context_id == store.context_id), None)
        if context is None:
            store.refuse(CLASS_NOT_SUPPORTED, "presentation context was not accepted")
        elif self.origin is None:
            store.refuse(NOT_AUTHORISED, "an archive may report here, not send")
        elif not sop_class or not sop_instance:
            store.refuse(WRONG_OBJECT, "SOP Class or Instance UID is missing")
        else:
            if self._submission is None:
                self._submission = self._spool.open(self.origin)
            store.part = self._submission.part()
            # The same bytes for the same object, whoever sends it and when.
            store.part.write(file_head(sop_class, sop_instance, context.transfer_syntax[0].encode()))

    def _take_data(self, data: memoryview, *, last: bool) -> None:
        self._guarded(lambda store: store.part and store.part.write(data))
        if last:
            self._guarded(lambda store: store.part and store.part.commit())
            self._answer()

    def _guarded(self, step: Callable[[Store], Any]) -> None:
        """Take one step of the current C-STORE; whatever breaks becomes a refusal that the sender may repeat later."""
        try:
            step(self._store)
            return
        except OSError as error:
            log.error("Could not keep an object from %s: %s", self.origin.calling_title, error)
        except Exception:  # a door: logged, answered, and the association goes on
            log.exception("Could not keep an object from %s", self.origin.calling_title)
        self._store.refuse(OUT_OF_RESOURCES, "no room or no disk; send again later")

    def _answer(self) -> None:
        store, self._store = self._store, None
        response = _element(0x0002, store.uid_of(0x0002)) + _element(0x0100, C_STORE_RSP)
        response += _element(0x0120, _number(store.command, 0x0110)) + _element(0x0800, NO_DATA_SET)
        response += _element(0x0900, store.status)
        if store.comment:
            response += _element(0x0902, store.comment.encode(), pad=b" ")
        response += _element(0x1000, store.uid_of(0x1000))
        group_length = _element(0x0000, struct.pack("<I", len(response)))
        self.dul.send_pdu(_p_data(store.context_id, bytes([COMMAND | LAST]) + group_length + response))


# --- bytes -----------------------------------------------------------------------------------------------------------


def _p_data(context_id: int, fragment: bytes) -> P_DATA:
    primitive = P_DATA()
    primitive.presentation_data_value_list = [[context_id, fragment]]
    return primitive


def _parsed(encoded: bytes) -> dict[int, bytes]:
    """A command set (group 0000, Implicit VR Little Endian, PS3.7 6.3.1) by element number."""
    command, pos = {}, 0
    while pos + 8 <= len(encoded):
        _, element, length = struct.unpack_from("<HHI", encoded, pos)
        command[element] = encoded[pos + 8 : pos + 8 + length]
        pos += 8 + length
    return command


def _number(command: dict[int, bytes], element: int) -> int:
    return int.from_bytes(command.get(element, b"")[:2], "little")


def _element(element: int, value: bytes | int, *, pad: bytes = b"\0") -> bytes:
    """One element of a command set; numbers are US."""
    raw = struct.pack("<H", value) if isinstance(value, int) else value + pad * (len(value) % 2)
    return struct.pack("<HHI", 0, element, len(raw)) + raw
