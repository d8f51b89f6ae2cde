"""A short association for questions (storage commitment, queries): opened, used, released; what broke, in sentences."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from orders.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from reconciliation.dicom.scu import Peer, Refused, Unreachable

STANDSTILL = 1  # seconds that the reactor has to stop; it looks every millisecond


@contextmanager
def opened(
    peer: Peer, context: PresentationContext, *, for_what: str, handlers: Sequence = ()
) -> Iterator[Association]:
    """An association with one context. Raises Unreachable or Refused; `for_what` completes "it does not take ..."."""
    assoc = _requested(peer, context, handlers)
    if not assoc.is_established and not assoc.rejected_contexts:
        raise _why_not(peer, assoc)
    try:
        if not assoc.accepted_contexts:
            raise Refused(f"{peer.ae_title} does not take {for_what} from {peer.calling_title}.")
        yield assoc
        assoc.release()
    finally:
        if assoc.is_established:
            assoc.abort()


def hold(assoc: Association) -> None:
    """Stop the reactor before a question: it would else take the answer away, about once in a thousand times.

    pynetdicom lets it go on by itself once the question has been answered. Raises Unreachable when the line is dead.
    """
    assoc._reactor_checkpoint.clear()
    time.sleep(0.01)  # a reactor that has just slipped through comes round again
    until = time.monotonic() + STANDSTILL
    while not assoc._is_paused:
        if not assoc.is_alive() or time.monotonic() > until:
            raise Unreachable(f"{assoc.acceptor.ae_title} ended the connection at once.")
        time.sleep(0.001)


def _requested(peer: Peer, context: PresentationContext, handlers: Sequence) -> Association:
    try:
        ae = AE(peer.calling_title)
        ae.connection_timeout, ae.acse_timeout = peer.connection_timeout, peer.acse_timeout
        ae.dimse_timeout, ae.network_timeout = peer.dimse_timeout, peer.dimse_timeout
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        return ae.associate(peer.host, peer.port, [context], peer.ae_title, evt_handlers=list(handlers))
    except ValueError as problem:
        raise Refused(f"The settings of {peer.ae_title} are not valid: check both AE titles and the port.") from problem
    except OSError as problem:
        raise Unreachable(f"The host of {peer.ae_title} is not known: {peer.host}.") from problem


def _why_not(peer: Peer, assoc: Association) -> Exception:
    where = f"{peer.ae_title} at {peer.host}:{peer.port}"
    if not assoc.is_rejected:
        return Unreachable(f"{where} does not answer, or ended the connection at once.")
    reason = assoc.acceptor.primitive.reason_str
    if assoc.acceptor.primitive.result == 0x01:
        return Refused(f"{where} does not accept us as {peer.calling_title}: {reason}.")
    return Unreachable(f"{where} does not accept a connection now: {reason}.")
