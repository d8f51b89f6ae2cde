"""The sending side of C-STORE and C-ECHO (PS3.4 annexes A and B): what a peer said of each object, in sentences.

pynetdicom's association is kept on a short rein: its queue is bounded, so that memory stays flat, and its reactor is
parked while we wait for answers, because it otherwise takes about one of a thousand away.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA, MaximumLengthNotification
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from reconciliation.dicom.arrival import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from reconciliation.dicom.edit import CannotWrite, Made

_config.STORE_SEND_CHUNKED_DATASET = True  # a path is read piece by piece, never as a whole

CONTEXTS = 128  # an association holds no more (PS3.8 7.1.1.13: odd numbers up to 255)
PDU_MAXIMUM = 1 << 20  # bytes that we send at once, also to a peer that takes any length
QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux only
PDUS_AHEAD = 8  # of the network; the file is read no further

Pair = tuple[str, str]  # SOP Class UID, Transfer Syntax UID


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


@dataclass(frozen=True)
class Outgoing:
    key: str
    SOPClassUID: str
    SOPInstanceUID: str
    TransferSyntaxUID: str
    path: Callable[[], Path]  # makes the file, or finds it, just before it is sent; may raise CannotWrite
    original: Path = Path()
    made: Callable[[], Made] | None = None

    @property
    def pair(self) -> Pair:
        return str(self.SOPClassUID), str(self.TransferSyntaxUID)


@dataclass(frozen=True)
class Outcome:
    key: str
    status: int | None  # None: the peer said nothing of this object
    sentence: str
    accepted: bool = False
    final: bool = False  # refused for good: sending it again will not help


class Unreachable(Exception):
    """The peer is down, silent or busy: try again later. str() is a sentence."""


class Refused(Exception):
    """The peer will not talk to us until a person changes something. str() is a sentence."""


def send(peer: Peer, objects: Sequence[Outgoing], *, told: Callable[[Outcome], None]) -> None:
    """Send each object in turn and tell its outcome at once. Raises Unreachable or Refused; what was told, stands."""
    for batch in _batches(objects):
        pairs = list(dict.fromkeys(each.pair for each in batch))
        with _association(peer, pairs) as assoc:
            taken = {(str(cx.abstract_syntax), str(cx.transfer_syntax[0])) for cx in assoc.accepted_contexts}
            for number, each in enumerate(batch):
                sent = each.pair in taken
                outcome = _sent(assoc, each, number % 0xFFFF + 1) if sent else _not_taken(peer, each, assoc)
                told(outcome)
                if outcome.status is None and not outcome.final:
                    assoc.abort()
                    raise Unreachable(f"{peer.ae_title} did not answer, or ended the connection in the middle.")


def echo(peer: Peer) -> str:
    """Say why the peer cannot be used, or "" (C-ECHO, PS3.4 annex A)."""
    try:
        with _association(peer, [(Verification, "1.2.840.10008.1.2")]) as assoc:
            if not assoc.accepted_contexts:
                return f"{peer.ae_title} does not answer to a verification."
            status = assoc.send_c_echo().get("Status")
    except (Unreachable, Refused) as problem:
        return str(problem)
    return "" if status == 0 else f"{peer.ae_title} did not answer the verification with success."


def _batches(objects: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Objects in their order, as many as the contexts of one association can carry."""
    batch, pairs = [], set()
    for each in objects:
        if len(pairs | {each.pair}) > CONTEXTS:
            yield batch
            batch, pairs = [], set()
        batch.append(each)
        pairs.add(each.pair)
    if batch:
        yield batch


def _sent(assoc: Association, each: Outgoing, message_id: int) -> Outcome:
    try:
        answer = assoc.send_c_store(each.path(), msg_id=message_id)
    except CannotWrite as problem:
        return Outcome(each.key, None, str(problem), final=True)
    except (ValueError, AttributeError, InvalidDicomError) as problem:
        sentence = f"The file made for sending is not what was announced ({type(problem).__name__})."
        return Outcome(each.key, None, sentence, final=True)
    except (RuntimeError, ConnectionError):  # the association is over
        answer = {}
    status = answer.get("Status")
    if status is None:
        return Outcome(each.key, None, "The connection ended before the answer: unknown whether the object was stored.")
    return _judged(each.key, status, str(answer.get("ErrorComment") or ""))


# --- what a status means (PS3.4 Table B.2-1, PS3.7 annex C) ----------------------------------------------------------

MEANINGS = {
    0xB000: "stored, but some values were changed there",
    0xB006: "stored, but some elements were dropped there",
    0xB007: "stored, but the data set does not match its SOP class",
    0x0110: "processing failure",
    0x0111: "an object with this SOP Instance UID is already there",
    0x0117: "invalid SOP Instance UID",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}
RANGES = {0xA7: "out of resources", 0xA9: "the data set does not match its SOP class", 0xB0: "stored, with a warning"}


def _judged(key: str, status: int, comment: str) -> Outcome:
    """The comment of the peer is not repeated where it may name the patient: only its presence is told."""
    if status == 0x0000:
        return Outcome(key, status, "", accepted=True)
    default = "cannot understand" if status >> 12 == 0xC else "a status that DICOM does not define"
    meaning = MEANINGS.get(status) or RANGES.get(status >> 8, default)
    more = " The archive's own log says more." if comment else ""
    if status >> 12 == 0xB:
        return Outcome(key, status, f"The archive answered 0x{status:04X}: {meaning}.{more}", accepted=True)
    sentence = f"The archive refused the object with 0x{status:04X}: {meaning}.{more}"
    return Outcome(key, status, sentence, final=status >> 8 != 0xA7)


def _not_taken(peer: Peer, each: Outgoing, assoc: Association) -> Outcome:
    results = {
        (str(cx.abstract_syntax), str(cx.transfer_syntax[0])): cx.result
        for cx in assoc.rejected_contexts
        if cx.transfer_syntax
    }
    name, syntax = UID(each.SOPClassUID).name, UID(each.TransferSyntaxUID).name
    what = name if results.get(each.pair) == 0x03 else f"{name} in {syntax}"
    return Outcome(each.key, None, f"{peer.ae_title} does not take {what}.", final=True)


# --- the association -------------------------------------------------------------------------------------------------


class Brake(threading.Event):
    """Holds the reactor of an association, which pynetdicom believes to pause when it may still take an answer."""

    def __init__(self) -> None:
        super().__init__()
        super().set()
        self.pulled = False
        self.stopped = threading.Event()

    def set(self) -> None:
        if not self.pulled:
            super().set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self.stopped.set()  # whoever comes here now stays until the brake is released
        return super().wait(timeout)

    def pull(self, assoc: Association) -> None:
        self.clear()
        self.pulled = True
        while assoc.is_alive() and not self.stopped.wait(0.05):
            pass

    def release(self) -> None:
        self.pulled = False
        self.set()


@contextmanager
def _association(peer: Peer, pairs: Sequence[Pair]) -> Iterator[Association]:
    """An association with one context a pair, so that the peer has no choice of syntax; released, or else aborted."""
    assoc = _requested(peer, pairs)
    if not assoc.is_established and not assoc.rejected_contexts:
        raise _why_not(peer, assoc)
    brake = assoc._reactor_checkpoint = Brake()
    try:
        if assoc.is_established:
            brake.pull(assoc)
            _bound(assoc)
        yield assoc
        assoc.release()
    finally:
        brake.release()
        if assoc.is_established:
            assoc.abort()


def _requested(peer: Peer, pairs: Sequence[Pair]) -> Association:
    try:
        ae = AE(peer.calling_title)
        ae.connection_timeout, ae.acse_timeout = peer.connection_timeout, peer.acse_timeout
        ae.dimse_timeout, ae.network_timeout = peer.dimse_timeout, peer.dimse_timeout
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in pairs]
        handlers = [(evt.EVT_CONN_OPEN, _set_up, [peer.dimse_timeout]), (evt.EVT_DATA_SENT, _acknowledge_at_once)]
        return ae.associate(peer.host, peer.port, contexts, peer.ae_title, evt_handlers=handlers)
    except ValueError as problem:
        raise Refused(f"The settings of {peer.ae_title} are not valid: check both AE titles and the port.") from problem
    except OSError as problem:
        raise Unreachable(f"The host of {peer.ae_title} is not known: {peer.host}.") from problem


def _set_up(event: evt.Event, seconds: float) -> None:
    """Nagle's algorithm costs 40 ms an object; and a peer that takes no more bytes must not hold us for ever."""
    line = event.assoc.dul.socket.socket
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.settimeout(seconds)


def _acknowledge_at_once(event: evt.Event) -> None:
    """A peer that uses Nagle's algorithm waits for our acknowledgement in the middle of its answer: another 40 ms."""
    if QUICKACK is not None and event.assoc.dul.socket.socket:
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)  # holds for the next packets only


def _why_not(peer: Peer, assoc: Association) -> Exception:
    where = f"{peer.ae_title} at {peer.host}:{peer.port}"
    if not assoc.is_rejected:
        return Unreachable(f"{where} does not answer, or ended the connection at once.")
    primitive = assoc.acceptor.primitive
    reason = primitive.reason_str
    if primitive.result == 0x01:
        return Refused(f"{where} does not accept us as {assoc.requestor.ae_title}: {reason}.")
    return Unreachable(f"{where} does not accept a connection now: {reason}.")


def _bound(assoc: Association) -> None:
    """Read a file no faster than the network takes it, in pieces that also a peer without limits gets."""
    for item in assoc.acceptor.user_information:
        if isinstance(item, MaximumLengthNotification):
            item.maximum_length_received = min(item.maximum_length_received or PDU_MAXIMUM, PDU_MAXIMUM)
    dul, put = assoc.dul, assoc.dul.send_pdu

    def send_pdu(primitive) -> None:
        while isinstance(primitive, P_DATA) and dul.to_provider_queue.qsize() >= PDUS_AHEAD:
            if not dul.is_alive():
                raise ConnectionAbortedError("The connection ended while an object was sent.")
            time.sleep(0.0005)
        put(primitive)

    dul.send_pdu = send_pdu
