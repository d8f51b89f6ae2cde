"""Where the messages of an association arrive: the objects of C-STORE go into the spool, the rest to pynetdicom.

Memory stays flat, and no object is parsed. Success is answered only for what is whole on the disk.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from reconciliation.dicom import command
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.elements import file_head
from reconciliation.dicom.spool import Part, Spool, Submission

log = logging.getLogger(__name__)

# PS3.4 Table B.2-1, PS3.7 annex C
SUCCESS, OUT_OF_RESOURCES, WRONG_OBJECT, CANNOT_UNDERSTAND, CLASS_NOT_SUPPORTED = 0x0000, 0xA700, 0xA900, 0xC000, 0x0122
NOT_AUTHORISED = 0x0124

LONGEST_COMMAND = 1 << 16
LONGEST_QUESTION = 64 << 20  # bytes of a data set that pynetdicom keeps in memory: queries, reports of commitment
LONGEST_UID = 64
SLOWEST = 512  # bytes a second of an object once it has had its time: who trickles would hold a place for days
BACKLOG = 64  # messages that wait for pynetdicom; a sender with more of them is let wait


class Garbled(ValueError):
    """What came breaks the protocol, and nothing after it can be trusted: the association ends."""


class Store:
    """One C-STORE: its request, where its bytes go, and what will be answered."""

    def __init__(self, context_id: int, request: dict[int, bytes]) -> None:
        self.context_id, self.request = context_id, request
        self.status = SUCCESS
        self.comment = ""
        self.part: Part | None = None
        self.began, self.taken = time.monotonic(), 0  # when, and the bytes that have come since
        self.pieces: list[memoryview] = []  # of the socket's buffer: to be written before it is filled again

    def uid_of(self, element: int) -> bytes:
        return self.request.get(element, b"").strip(b" \0")

    def trickles(self, patience: float) -> bool:
        """Whether so little has come in the seconds since its request, of which `patience` are given for nothing."""
        return self.taken < (time.monotonic() - self.began - patience) * SLOWEST

    def write(self) -> None:
        pieces, self.pieces = self.pieces, []
        self.part.write_pieces(pieces)

    def keep(self) -> None:
        if self.part:
            self.write()
            self.part.commit()

    def refuse(self, status: int, comment: str) -> None:
        """Answer this at the end; what is still to come is taken off the wire and let go."""
        self.status, self.comment = status, comment
        self.pieces = []
        if self.part:
            self.part.abort()
            self.part = None


class Reception(DIMSEServiceProvider):
    """Serves C-STORE in the thread that reads the wire, and hands every other message to pynetdicom.

    `answers_itself`: the answer goes straight to the socket instead of through pynetdicom's queue of messages.
    """

    def __init__(self, assoc: Association, spool: Spool, *, answers_itself: bool) -> None:
        super().__init__(assoc)
        self.origin: Origin | None = None
        self.is_asked = False  # pynetdicom has got a message, and may want to answer
        self._spool, self._answers_itself = spool, answers_itself
        self._submission: Submission | None = None
        self._spare: Part | None = None
        self._opened = 0  # parts so far
        self._command = b""
        self._store: Store | None = None
        self._passed = 0

    @property
    def is_busy(self) -> bool:
        return self.msg_queue.qsize() >= BACKLOG

    def receive_primitive(self, primitive: P_DATA) -> None:
        """What pynetdicom's own reader has read, when that one is in use."""
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                if not fragment:
                    raise Garbled("a fragment without a message control header")
                self.take(context_id, fragment[0], memoryview(fragment)[1:], ends=True)
            self.flush()
        except Garbled as problem:
            log.warning("%s sent %s", self.assoc.requestor.ae_title, problem)
            self.dul.event_queue.put("Evt19")

    def take(self, context_id: int, control: int, data: memoryview, *, ends: bool) -> None:
        """A piece of a fragment (PS3.8 9.3.5.1), or all of it; `ends`: no more of this fragment comes.

        A piece of an object must stay as it is until `flush`. Raises Garbled.
        """
        last = ends and bool(control & command.LAST)
        if control & command.COMMAND:
            self._take_command(context_id, data, last=last)
        elif self._command:
            raise Garbled("a data set before the end of its request")
        elif self._store:
            self._take_data(context_id, data, last=last)
        else:
            self._pass_on(context_id, data, last=last)

    def flush(self) -> None:
        """Write the pieces that were taken; raises Garbled when they come too slowly."""
        if self._store and self._store.pieces:
            self._guarded(Store.write)
        if self._store and self._store.trickles(self.assoc.network_timeout or 0):
            raise Garbled(f"an object at less than {SLOWEST} bytes a second")

    def prepare(self) -> None:
        """Nothing comes just now: make the file of the next object, for which its sender would have to wait."""
        if self._opened > 1 and not self._store and not self._spare:  # one that sends a second will send a third
            try:
                self._spare = self._submission.part()
            except OSError:  # the next object finds out for itself
                pass

    def leave(self) -> None:
        """The association is over, in whatever way: an unfinished object is thrown away, the submission closed."""
        try:
            if self._store:
                self._store.refuse(CANNOT_UNDERSTAND, "cut")
            if self._spare:
                self._spare.abort()
        finally:
            self._store = self._spare = None
            if self._submission:
                self._submission.close()

    def _take_command(self, context_id: int, data: memoryview, *, last: bool) -> None:
        self._command += data
        if len(self._command) > LONGEST_COMMAND:
            raise Garbled(f"a request of more than {LONGEST_COMMAND} bytes")
        if not last:
            return
        encoded, self._command = self._command, b""
        request = command.parsed(encoded)
        if (self._store or self.message) and command.has_data_set(request):
            raise Garbled("a request with a data set before the last one was whole")
        if command.number(request, command.COMMAND_FIELD) == command.C_STORE_RQ and not self._store:
            self._begin(Store(context_id, request))
        else:
            self.is_asked = True
            super().receive_primitive(command.p_data(context_id, bytes([command.COMMAND | command.LAST]) + encoded))

    def _begin(self, store: Store) -> None:
        self._store, self.is_asked = store, False
        if command.has_data_set(store.request):
            self._guarded(self._open)
        else:
            store.refuse(CANNOT_UNDERSTAND, "no data set came with the request")
            self._answer()

    def _open(self, store: Store) -> None:
        sop_class = store.uid_of(command.AFFECTED_SOP_CLASS_UID)
        sop_instance = store.uid_of(command.AFFECTED_SOP_INSTANCE_UID)
        context = next((c for c in self.assoc.accepted_contexts if c.context_id == store.context_id), None)
        if context is None:
            store.refuse(CLASS_NOT_SUPPORTED, "presentation context was not accepted")
        elif self.origin is None:
            store.refuse(NOT_AUTHORISED, "an archive may report here, not send")
        elif not all(0 < len(uid) <= LONGEST_UID for uid in (sop_class, sop_instance)):
            store.refuse(WRONG_OBJECT, "SOP Class or Instance UID is missing or too long")
        else:
            store.part = self._new_part()
            # The same bytes for the same object, whoever sends it and when.
            store.part.write(file_head(sop_class, sop_instance, context.transfer_syntax[0].encode()))

    def _new_part(self) -> Part:
        if self._submission is None:
            self._submission = self._spool.open(self.origin)
        self._opened += 1
        if self._spare and self._spool.free_bytes() >= self._spool.minimum_free:
            spare, self._spare = self._spare, None
            return spare
        return self._submission.part()

    def _take_data(self, context_id: int, data: memoryview, *, last: bool) -> None:
        if context_id != self._store.context_id:
            self._store.refuse(CANNOT_UNDERSTAND, "the data set came in another presentation context")
        self._store.taken += len(data)
        if self._store.part and data:
            self._store.pieces.append(data)
        if last:
            self._guarded(Store.keep)
            self._answer()

    def _pass_on(self, context_id: int, data: memoryview, *, last: bool) -> None:
        self._passed += len(data)
        if self.message is None:
            raise Garbled("a data set without a request")
        if self._passed > LONGEST_QUESTION:
            raise Garbled(f"a question of more than {LONGEST_QUESTION} bytes")
        super().receive_primitive(command.p_data(context_id, bytes([command.LAST * last]) + data))
        if last:
            self._passed = 0

    def _guarded(self, step: Callable[[Store], Any]) -> None:
        """Take one step of the current C-STORE; whatever breaks becomes a refusal that the sender may repeat later."""
        try:
            step(self._store)
            return
        except OSError as error:
            log.error("Could not keep an object from %s: %s", self.assoc.requestor.ae_title, error)
        except Exception:  # a door: logged, answered, and the association goes on
            log.exception("Could not keep an object from %s", self.assoc.requestor.ae_title)
        self._store.refuse(OUT_OF_RESOURCES, "no room or no disk; send again later")

    def _answer(self) -> None:
        store, self._store = self._store, None
        response = command.store_response(store.request, store.status, store.comment)
        if self._answers_itself:
            self.dul.socket.send(command.p_data_tf(store.context_id, response))
        else:
            answer = bytes([command.COMMAND | command.LAST]) + response
            self.dul.send_pdu(command.p_data(store.context_id, answer))
