"""The sending side of C-STORE (PS3.4 annex B): what a peer said of each object, in sentences.

An object is never written a second time: its new header comes from memory, the rest from the original. While the peer
stores one object, the next one is made.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydicom.uid import UID

from orders.dicom.calling import (
    CLASS,
    COMMAND_FIELD,
    CONTEXTS,
    DATA_SET,
    ERROR_COMMENT,
    PRIORITY,
    STATUS,
    WITH_DATA_SET,
    Association,
    Lost,
    Peer,
    Proposal,
    Refused,
    Unreachable,
    associated,
)
from orders.dicom.fragments import Body
from reconciliation.dicom import plain
from reconciliation.dicom.edit import CannotWrite, Made
from reconciliation.dicom.plain import PLAIN, NotPlain, Plainer

C_STORE, MEDIUM = 0x0001, 0x0000
INSTANCE = 0x1000  # in group 0000
NO_SUCH_CLASS = 0x03  # result of a presentation context (PS3.8 Table 9-18)


@dataclass(frozen=True)
class Outgoing:
    key: str
    SOPClassUID: str
    SOPInstanceUID: str
    TransferSyntaxUID: str
    original: Path
    made: Callable[[], Made]  # called shortly before it is sent; may raise CannotWrite, which is told

    @property
    def own(self) -> Proposal:
        return str(self.SOPClassUID), (str(self.TransferSyntaxUID),)

    @property
    def plain(self) -> Proposal:
        return str(self.SOPClassUID), PLAIN


@dataclass(frozen=True)
class Outcome:
    key: str
    status: int | None  # None: the peer said nothing of this object
    sentence: str
    accepted: bool = False
    final: bool = False  # refused for good: sending it again will not help

    @property
    def answered(self) -> bool:
        """Whether it is known what became of the object."""
        return self.final or self.status is not None


class Ready(NamedTuple):
    """An object whose header is made, or why it is not."""

    each: Outgoing
    made: Made | Exception | None


def send(
    peer: Peer,
    objects: Sequence[Outgoing],
    *,
    told: Callable[[Outcome], None],
    associations: int = 1,
    idle: Callable[[], None] = lambda: None,
    scratch: Path | None = None,
) -> None:
    """Send each object and tell its outcome at once, in their order where there is one association.

    `told` and `idle` (about once a second in a long wait) are called in this thread, and may end it all by raising.
    `scratch` is a folder for objects that the peer takes only uncompressed. Raises Unreachable or Refused, OSError of
    an original, or what `made` raises; what was told, stands.
    """
    for batch in _batches(objects):
        proposals = list(dict.fromkeys(proposal for each in batch for proposal in (each.own, each.plain)))
        if associations == 1 or len(batch) == 1:
            _in_turn(_Work(peer, proposals, deque(batch), scratch), told=told, idle=idle)
        else:
            _side_by_side(
                _Work(peer, proposals, deque(batch), scratch), min(associations, len(batch)), told=told, idle=idle
            )


def _batches(objects: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Objects in their order, as many as the contexts of one association can carry."""
    batch, proposals = [], set()
    for each in objects:
        if len(proposals | {each.own, each.plain}) > CONTEXTS:
            yield batch
            batch, proposals = [], set()
        batch.append(each)
        proposals |= {each.own, each.plain}
    if batch:
        yield batch


# --- one association, or several -------------------------------------------------------------------------------------


@dataclass
class _Work:
    """What the associations of one batch share."""

    peer: Peer
    proposals: list[Proposal]
    todo: deque[Outgoing]
    scratch: Path | None
    opened: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def take(self) -> Outgoing | None:
        try:
            return None if self.stopped.is_set() else self.todo.popleft()
        except IndexError:
            return None


def _in_turn(work: _Work, *, told: Callable[[Outcome], None], idle: Callable[[], None]) -> None:
    """One association until nothing is left to be done, or it is over: then Unreachable."""
    with ExitStack() as ending:
        assoc = ending.enter_context(associated(work.peer, work.proposals, idle=idle))
        work.opened.set()
        plainer = ending.enter_context(Plainer(work.scratch, idle=idle))
        ready = _made(assoc, work.take())
        while ready:
            outcome, ahead = _sent(assoc, plainer, ready, work)
            told(outcome)
            if assoc.over and ahead:
                work.todo.appendleft(ahead.each)
            if assoc.over and (work.todo or not outcome.answered):
                raise Unreachable(f"{work.peer.ae_title} {assoc.over} in the middle.")
            ready = None if assoc.over else ahead or _made(assoc, work.take())


def _side_by_side(work: _Work, associations: int, *, told: Callable[[Outcome], None], idle: Callable[[], None]) -> None:
    """Several associations that share the work. One that fails leaves what it has not sent to the others.

    The first one comes alone: a peer that takes only one at a time might refuse all that come together.
    """
    heard: queue.SimpleQueue[Outcome | Exception | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            _in_turn(work, told=heard.put, idle=stop_when_told)
        except Exception as problem:
            heard.put(problem)
        heard.put(None)
        work.opened.set()

    def stop_when_told() -> None:
        if work.stopped.is_set():
            raise Unreachable("The sending was stopped.")

    threads = [threading.Thread(target=run, daemon=True) for _ in range(associations)]
    for thread in threads:
        thread.start()
        work.opened.wait()
    try:
        problems = _heard(heard, associations, work, told=told, idle=idle)
    finally:
        work.stopped.set()
        for thread in threads:
            thread.join()
    if problems:
        raise problems[0]


def _heard(heard: queue.SimpleQueue, associations: int, work: _Work, *, told, idle) -> list[Exception]:
    """Tell the outcomes of all associations until each has ended; gives what is wrong, the worst first.

    That one of them could not be opened, or was lost, is no matter where the others have done all the work.
    """
    lost, worse, open_questions = [], [], False
    while associations:
        try:
            said = heard.get(timeout=1)
        except queue.Empty:
            idle()
            continue
        if said is None:
            associations -= 1
        elif isinstance(said, Outcome):
            open_questions |= not said.answered
            told(said)
        elif isinstance(said, Unreachable | Refused):
            lost.append(said)
        else:
            worse.append(said)
            work.stopped.set()
    return [*worse, *(lost if worse or open_questions or work.todo else [])]


# --- one object ------------------------------------------------------------------------------------------------------


def _made(assoc: Association, each: Outgoing | None) -> Ready | None:
    """What the peer does not take at all is not made. A problem waits until the object has its turn."""
    if each is None:
        return None
    if each.own not in assoc.accepted and each.plain not in assoc.accepted:
        return Ready(each, None)
    try:
        return Ready(each, each.made())
    except Exception as problem:  # raised again when its turn comes
        return Ready(each, problem)


def _sent(assoc: Association, plainer: Plainer, ready: Ready, work: _Work) -> tuple[Outcome, Ready | None]:
    """What the peer said to this object; and the next one, made while it thought about it."""
    each, made = ready
    if made is None:
        return Outcome(each.key, None, f"{_not_taken(assoc, each)}.", final=True), None
    if isinstance(made, CannotWrite):
        return Outcome(each.key, None, str(made), final=True), None
    if isinstance(made, Exception):
        raise made
    if made.TransferSyntaxUID != each.TransferSyntaxUID:
        return Outcome(each.key, None, "The object made for sending is not what was announced.", final=True), None
    ahead = None
    with open(each.original, "rb", buffering=0) as original:
        try:
            context, body, said = _body(assoc, plainer, each, made, original.fileno())
            assoc.send(context, _request(each, made), body)
            ahead = _made(assoc, work.take())
            answer = assoc.answer()
        except NotPlain as problem:
            sentence = f"{_not_taken(assoc, each)}, and it cannot be written without compression: {problem}."
            return Outcome(each.key, None, sentence, final=True), None
        except Lost:
            answer, said = assoc.answered(), ""
    return _told(each, answer, said), ahead


def _body(assoc: Association, plainer: Plainer, each: Outgoing, made: Made, original: int) -> tuple[int, Body, str]:
    """In which context the object goes, as what bytes, and what is to be said of that. Raises NotPlain.

    A data set of odd length is not allowed (PS3.5 7.1.1), and DCMTK aborts at one.
    """
    length = made.size - made.dataset_offset
    if each.own not in assoc.accepted:
        context, taken = assoc.accepted[each.plain]
        how = plain.told(taken, each.TransferSyntaxUID, _not_taken(assoc, each))
        return context, _anew(plainer, each, made, taken), how
    context, taken = assoc.accepted[each.own]
    if length % 2 and taken in PLAIN:
        with suppress(NotPlain):
            return context, _anew(plainer, each, made, taken), "Sent with the padding that it lacked."
    head = memoryview(made.head)[made.dataset_offset :]
    body = Body(head, original, made.tail_offset, made.tail_end, made.foot)
    return context, body, "Sent with a byte more than it has: its length is odd." if length % 2 else ""


def _anew(plainer: Plainer, each: Outgoing, made: Made, syntax: str) -> Body:
    fileno, length = plainer.write(made, each.original, syntax)
    return Body(b"", fileno, 0, length)


def _request(each: Outgoing, made: Made) -> dict[int, int | str]:
    """A C-STORE-RQ (PS3.7 Table 9.3-1)."""
    return {
        CLASS: str(each.SOPClassUID),
        COMMAND_FIELD: C_STORE,
        PRIORITY: MEDIUM,
        DATA_SET: WITH_DATA_SET,
        INSTANCE: made.SOPInstanceUID,
    }


def _not_taken(assoc: Association, each: Outgoing) -> str:
    """The beginning of a sentence: what of this object it is that the peer does not take."""
    name, syntax = UID(each.SOPClassUID).name, UID(each.TransferSyntaxUID).name
    what = name if assoc.refused.get(each.own) == NO_SUCH_CLASS else f"{name} in {syntax}"
    return f"{assoc.peer.ae_title} does not take {what}"


def _told(each: Outgoing, answer: dict, said: str) -> Outcome:
    if not answer:
        return Outcome(each.key, None, "The connection ended before the answer: unknown whether the object was stored.")
    return _judged(each.key, answer[STATUS], said, bool(answer.get(ERROR_COMMENT)))


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


def _judged(key: str, status: int, said: str, comment: bool) -> Outcome:
    """The comment of the peer is not repeated where it may name the patient: only its presence is told."""
    if status == 0x0000:
        return Outcome(key, status, said, accepted=True)
    default = "cannot understand" if status >> 12 == 0xC else "a status that DICOM does not define"
    meaning = MEANINGS.get(status) or RANGES.get(status >> 8, default)
    more = " The archive's own log says more." if comment else ""
    if status >> 12 == 0xB:
        sentence = f"The archive answered 0x{status:04X}: {meaning}.{more} {said}".rstrip()
        return Outcome(key, status, sentence, accepted=True)
    sentence = f"The archive refused the object with 0x{status:04X}: {meaning}.{more}"
    return Outcome(key, status, sentence, final=status >> 8 != 0xA7)
