"""The DICOM door: objects come in by C-STORE, are whole on disk, and only then are answered with success.

pynetdicom negotiates, releases and aborts; `wire` reads the socket, and `reception` lays the pieces of a C-STORE
straight into the spool.
"""

import functools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom import uid
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from orders.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from policies.rules.tls import Acceptor, Credentials, shown, why_unproven
from reconciliation.dicom import commitment
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.reception import Reception
from reconciliation.dicom.spool import Spool
from reconciliation.dicom.wire import DirectSocket, DoorSocket

log = logging.getLogger(__name__)

# PS3.8 Table 9-21: result, source, reason
CALLING_UNKNOWN, CALLED_UNKNOWN, TRY_LATER = (1, 1, 3), (1, 1, 7), (2, 3, 1)

GOODBYE = 5  # seconds that shutdown gives all associations together to end
POLL = 0.1  # seconds between looks for a shutdown
TURNED_AWAY = 32  # connections beyond those that may send, so that who is too many is told so before we hang up
LOST_LETTERS = (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian)


@dataclass(frozen=True)
class Listener:
    """Where and how the door is open; port 0 takes any free one."""

    ae_title: str
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM door is meant to be reached from outside
    port: int = 11112
    maximum_pdu: int = 256 << 10  # bytes, 0 for no limit
    maximum_associations: int = 100
    network_timeout: float = 60  # seconds without a byte
    request_timeout: float = 30  # seconds from the connection to the whole association request
    tls: Credentials | None = None
    shared: bool = False  # other processes listen at the same port
    plain: bool = False  # pynetdicom reads the wire, at a quarter of the speed


@dataclass(frozen=True)
class Caller:
    """What it says of itself, where it calls from; over TLS, the names in its certificate and the SHA-256 of that."""

    calling_title: str
    called_title: str
    address: str
    names: tuple[str, ...] = ()
    fingerprint: str = ""


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
    ae.acse_timeout = listener.request_timeout
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.add_supported_context(Verification)
    handlers = [(evt.EVT_REQUESTED, _greet, [listener, admit, refused]), (evt.EVT_CONN_CLOSE, _wake)]
    if on_report:  # the archive calls as SCP (PS3.4 J.3.3), and some forget to say so
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        handlers.append((evt.EVT_N_EVENT_REPORT, commitment.heard, [on_report]))
    server = ae.make_server(
        (listener.host, listener.port),
        server_class=functools.partial(DoorServer, listener=listener, spool=spool, refused=refused),
        request_handler=Door,
        evt_handlers=handlers,
    )
    ae._servers.append(server)  # where AE.start_server keeps it, and where `shutdown` looks
    threading.Thread(target=server.serve_forever, args=[POLL], name="dicom-door", daemon=True).start()
    return server


# --- who may come in -------------------------------------------------------------------------------------------------


def _greet(event: evt.Event, listener: Listener, admit: Admit, refused: Refused) -> None:
    """Answer an association request: turn it away on the wire, or note on whose behalf its objects come."""
    assoc = event.assoc
    wish = assoc.requestor.primitive
    address = assoc.requestor.address_info.address
    caller = Caller(wish.calling_ae_title, wish.called_ae_title, address, *shown(assoc.dul.socket.socket))
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


def _wake(event: evt.Event) -> None:
    """Who hangs up before any request is waited for no longer."""
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(None)


# --- one association -------------------------------------------------------------------------------------------------


class DoorServer(ThreadedAssociationServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, *args: Any, listener: Listener, spool: Spool, refused: Refused, **kwargs: Any) -> None:
        self.listener, self.spool, self.refused = listener, spool, refused
        self.tls = Acceptor(listener.tls) if listener.tls else None
        self.open_doors: set[threading.Thread] = set()
        self._room = threading.BoundedSemaphore(listener.maximum_associations + TURNED_AWAY)
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        if self.listener.shared:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def verify_request(self, request: socket.socket, client_address: Any) -> bool:
        """A connection costs three threads, whoever makes it: there is an end to them."""
        has_room = self._room.acquire(blocking=False)
        if not has_room:
            log.warning("Hung up on %s: too many connections", client_address[0])
        return has_room

    def leave(self, thread: threading.Thread) -> None:
        self.open_doors.discard(thread)
        self._room.release()

    def shutdown(self) -> None:
        """Stop listening, then end what still runs; an object that is not whole by then was never promised."""
        if self not in self.ae._servers:  # shut already
            return
        super().shutdown()
        for assoc in self.active_associations:
            if assoc.requestor.primitive is None:
                assoc.dul.socket.hang_up()
            else:
                assoc.abort(block=False)
                assoc._kill = True  # its thread would go on until the peer has hung up
        until = time.monotonic() + GOODBYE
        for thread in list(self.open_doors):
            thread.join(max(0.0, until - time.monotonic()))


class Door(RequestHandler):
    """Serves one connection, and sees it to its end whatever that is."""

    server: DoorServer

    def handle(self) -> None:
        thread = threading.current_thread()
        self.server.open_doors.add(thread)
        try:
            if self.server.tls:
                self.request = self._secured(self.server.tls)
            super().handle()
            self.assoc.join()
            self.assoc.dul.join()
            self.assoc.dimse.leave()
        except OSError as error:
            log.warning("A connection from %s came to nothing: %s", self.client_address[0], error)
        finally:
            self.request.close()
            self.server.leave(thread)

    def _secured(self, acceptor: Acceptor) -> ssl.SSLSocket:
        try:
            return acceptor.secured(self.request, seconds=self.server.listener.request_timeout)
        except OSError as error:
            if why := why_unproven(error):
                self.server.refused(Caller("", "", self.client_address[0]), why)
            raise

    def _create_association(self) -> Association:
        self.assoc = super()._create_association()
        plain = self.server.listener.plain
        self.assoc.dul.event_queue.get_nowait()  # the stock socket has announced itself; ours does so again
        self.assoc.dul.socket = (DoorSocket if plain else DirectSocket)(self.assoc, self.request)
        self.assoc.dimse = Reception(self.assoc, self.server.spool, answers_itself=not plain)
        return self.assoc
