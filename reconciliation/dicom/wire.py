"""The socket of one association: pynetdicom's own way of reading it, and the direct one for objects.

Neither blocks for longer than it is patient, so that an association can be ended in the middle of a PDU.
"""

import logging
import select
import socket
import ssl
import time

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from reconciliation.dicom.command import FRAGMENT, P_DATA_TF, PDU
from reconciliation.dicom.reception import Garbled

log = logging.getLogger(__name__)

BUFFER = 256 << 10  # bytes of one read
LONGEST_PDU = 1 << 20  # of the PDUs that have no agreed length
PATIENCE, LONG_PATIENCE = 0.002, 0.05  # seconds of one wait for data; the long one when pynetdicom has nothing to say
# Seconds, for sys.setswitchinterval in a process of its own: the threads of an association take turns, and one waits.
SWITCH_INTERVAL = 0.0005
NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

# States of the upper layer, PS3.8 9.2
AWAITING_REQUEST, ESTABLISHED, AWAITING_CLOSE = "Sta2", "Sta6", "Sta13"
AWAITING_ANSWER = ("Sta3", "Sta8")  # of our own side, to a request for an association or for its release


class DoorSocket(AssociationSocket):
    """Reads in large pieces, and waits for data instead of sleeping between looks."""

    def __init__(self, assoc: Association, client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket=client_socket)
        client_socket.setblocking(False)
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reads, self._writes = select.poll(), select.poll()
        self._reads.register(client_socket, select.POLLIN)
        self._writes.register(client_socket, select.POLLOUT)
        self._request_due = time.monotonic() + (assoc.acse_timeout or 0)

    @property
    def state(self) -> str:
        return self.assoc.dul.state_machine.current_state

    @property
    def has_work(self) -> bool:
        """Whether pynetdicom has something to send or to do."""
        return bool(self.provider_queue.queue or self.event_queue.queue)

    @property
    def ready(self) -> bool:
        if self.socket is None or not self._is_connected:
            return False
        may_wait = self.state in (AWAITING_REQUEST, ESTABLISHED) and not self.has_work
        return self._has_data(PATIENCE if may_wait else 0)

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly so many bytes, fewer only when the peer has hung up; raises OSError when they take too long."""
        agreed = self.assoc.acceptor.maximum_length
        if agreed and nr_bytes > max(agreed, LONGEST_PDU):
            raise OSError(f"a PDU of {nr_bytes} bytes is longer than agreed")
        data, count = bytearray(min(nr_bytes, LONGEST_PDU)), 0
        until = self._until()
        while count < nr_bytes:
            if count == len(data):
                data.extend(bytes(min(count, nr_bytes - count)))
            with memoryview(data) as view:
                received = self._receive(view[count:])
            if received is None:
                self._wait(until)
            elif not received:
                return data[:count]
            else:
                count += received
        return data

    def send(self, bytestream: bytes) -> None:
        try:
            self._send_all(memoryview(bytestream))
            evt.trigger(self.assoc, evt.EVT_DATA_SENT, {"data": bytestream})
        except OSError:
            self.event_queue.put("Evt17")

    def hang_up(self) -> None:
        """From another thread: the one that reads finds the connection closed."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):  # it is closed already
            pass

    def _send_all(self, left: memoryview) -> None:
        until = time.monotonic() + (self.assoc.network_timeout or 0)
        while left:
            try:
                left = left[self.socket.send(left) :]
            except NOT_YET:
                if not self._writes.poll(1000 * max(0.0, until - time.monotonic())):
                    raise TimeoutError("the peer takes no answer") from None

    def _receive(self, view: memoryview) -> int | None:
        """How many bytes came, 0 when the peer has hung up, None when nothing is there now."""
        try:
            return self.socket.recv_into(view)
        except NOT_YET:
            return None

    def _until(self) -> float:
        """A request has to be there within the time for requests, however slowly it trickles."""
        if self.assoc.requestor.primitive is None:
            return self._request_due
        return time.monotonic() + (self.assoc.network_timeout or 0)

    def _wait(self, until: float) -> None:
        if not self._has_data(until - time.monotonic()):
            raise TimeoutError("the rest of a PDU did not come")

    def _has_data(self, seconds: float) -> bool:
        """What TLS has decrypted already is not seen by `poll`."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        # A sender with Nagle's algorithm waits for our acknowledgement before each short piece. Linux forgets this
        # setting by itself, so it is renewed before every wait.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return bool(self._reads.poll(1000 * max(0.0, seconds)))


class DirectSocket(DoorSocket):
    """Takes the fragments out of P-DATA-TF PDUs as they come off the wire, without waiting for the whole PDU.

    They go to `Reception`; every other PDU stays in the buffer until pynetdicom has read it.
    """

    def __init__(self, assoc: Association, client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket)
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0  # of what lies in the buffer
        self._pdu = self._fragment = 0  # bytes that still belong to the current PDU, and to the fragment in it
        self._context_id = self._control = 0
        assoc.dul._run_loop_delay = 0  # between two looks here, which wait by themselves

    @property
    def ready(self) -> bool:
        if self.socket is None or not self._is_connected:
            return False
        try:
            if self.state == ESTABLISHED:
                try:
                    return self._take()
                finally:
                    self.assoc._reactor_checkpoint.set()
            if self.state == AWAITING_CLOSE:
                return self._let_go()
        except Garbled as problem:
            log.warning("%s sent %s", self.assoc.dimse.origin.calling_title, problem)
            self.event_queue.put("Evt19")
            return False
        except OSError:
            self.event_queue.put("Evt17")
            return False
        if self.state in AWAITING_ANSWER:
            self._await_answer()
        return self._start < self._end or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """As pynetdicom reads the PDUs that are its own: out of the buffer first."""
        if nr_bytes > LONGEST_PDU:
            raise OSError(f"a PDU of {nr_bytes} bytes that is no data")
        stop = min(self._end, self._start + nr_bytes)
        data = bytearray(self._view[self._start : stop])
        self._start = stop
        return data + super().recv(nr_bytes - len(data)) if len(data) < nr_bytes else data

    def _take(self) -> bool:
        """Take data until none is there; says whether a PDU for pynetdicom is next.

        Meanwhile pynetdicom's other thread, which looks for work a thousand times a second, is paused as it is while
        pynetdicom itself sends.
        """
        reception, others = self.assoc.dimse, self.assoc._reactor_checkpoint
        while True:
            if self._parse():
                return True
            reception.flush()
            (others.set if reception.is_asked else others.clear)()
            if reception.is_busy:
                time.sleep(PATIENCE)
                return False
            if self.has_work or not self._fill(reception.is_asked):
                return False

    def _await_answer(self) -> None:
        queued = self.provider_queue.not_empty
        with queued:
            if not self.has_work:
                queued.wait(PATIENCE)

    def _let_go(self) -> bool:
        """Nobody listens any more: what is there goes, so that our last word is not lost by a reset."""
        self._start = self._end = 0
        while self._receive(self._view):
            pass
        return False

    def _fill(self, is_asked: bool) -> bool:
        """Read once, after what is left of a header; says whether anything came."""
        left = self._end - self._start
        self._view[:left] = self._view[self._start : self._end]
        self._start, self._end = 0, left
        received = self._receive(self._view[left:])
        if received is None:
            self.assoc.dimse.prepare()
            if not self._has_data(PATIENCE if is_asked else LONG_PATIENCE):
                return False
            received = self._receive(self._view[left:])
        if received == 0:
            self.event_queue.put("Evt17")
        self._end += received or 0
        self.assoc.dul._idle_timer.restart()  # pynetdicom does so for the PDUs that it reads itself
        return bool(received)

    def _parse(self) -> bool:
        """Go through the buffer to its end or to the first PDU that is no data, and say whether there is one."""
        take, view = self.assoc.dimse.take, self._view
        position, end = self._start, self._end
        try:
            while True:
                if self._fragment:
                    count = min(self._fragment, end - position)
                    if not count:
                        return False
                    self._fragment -= count
                    self._pdu -= count
                    position += count
                    take(self._context_id, self._control, view[position - count : position], ends=not self._fragment)
                elif end - position < 6:
                    return False
                elif self._pdu:
                    self._begin_fragment(position)
                    position += FRAGMENT.size
                elif self._buffer[position] != P_DATA_TF:
                    return True
                else:
                    self._begin_pdu(position)
                    position += PDU.size
        finally:
            self._start = position

    def _begin_pdu(self, position: int) -> None:
        _, self._pdu = PDU.unpack_from(self._buffer, position)
        agreed = self.assoc.acceptor.maximum_length
        if agreed and self._pdu > max(agreed, LONGEST_PDU):
            raise Garbled(f"a PDU of {self._pdu} bytes, which is longer than agreed")
        if 0 < self._pdu < FRAGMENT.size:
            raise Garbled(f"a PDU of {self._pdu} bytes, which holds no fragment")

    def _begin_fragment(self, position: int) -> None:
        length, self._context_id, self._control = FRAGMENT.unpack_from(self._buffer, position)
        if length < 2 or length + 4 > self._pdu:
            raise Garbled(f"a fragment of {length} bytes in the {self._pdu} bytes of its PDU")
        self._pdu -= FRAGMENT.size
        self._fragment = length - 2
        if 0 < self._pdu - self._fragment < FRAGMENT.size:
            raise Garbled("a PDU that ends in the middle of a fragment's header")
        if not self._fragment:
            self.assoc.dimse.take(self._context_id, self._control, self._view[:0], ends=True)
