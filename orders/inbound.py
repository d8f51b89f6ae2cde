"""HL7 messages that come in: each is kept as it came, applied once in one transaction, answered after the commit."""

import hashlib
import logging
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError, IntegrityError, OperationalError, transaction
from django.utils import timezone

from orders import feeds, merging, outbound, patients, received
from orders.hl7 import persons, read, registers, requests, write
from orders.hl7.reading import MISSING, OUT_OF_ORDER, Reading, Wrong
from orders.models import Feed, Message
from orders.telling import Telling
from policies import audit, authority
from policies.models import Power
from policies.problems import Conflict, Denied, Invalid

log = logging.getLogger(__name__)

TRIES = 4  # two connections can bring the same new patient at once: the database lets one of them in
AHEAD = timedelta(days=1)  # a clock that is further ahead would keep every later message from being believed
KIND = ("MSH", 1, 9, 1)
Outcome = Message.Outcome
ACCEPTED = [Outcome.APPLIED, Outcome.IGNORED]


class Unsupported(Exception):
    """No message that we take (ITI TF-2 C.2.3)."""

    def __init__(self, code: int, sentence: str, location: tuple) -> None:
        super().__init__(sentence)
        self.error = write.Error(code, sentence, location)


class Verdict(NamedTuple):
    outcome: str
    answer: str
    error: write.Error | None = None
    problem: str = ""


# --- what each message does ------------------------------------------------------------------------------------------


class Said(NamedTuple):
    message: read.Message
    reading: Reading
    telling: Telling


def _demographics(said: Said) -> None:
    pid = _pid(said)
    person = _person(pid, said)
    patients.tell(person, said.telling, _known(person))


def _merge(said: Said) -> None:
    found = _pairs(said)
    known = _known(*(person for pair in found for person in pair))
    for number, (person, prior) in enumerate(found):
        merging.merge(person, prior, said.telling, known, number=number)


def _rename(said: Said) -> None:
    for person, prior in _pairs(said):
        merging.rename(person, prior, said.telling, _known(person, prior))


def _link(said: Said) -> None:
    one, other = (_person(pid, said) for pid in persons.two(said.message))
    merging.link(one, other, said.telling, _known(one, other))


def _part(said: Said) -> None:
    one, other = (_person(pid, said) for pid in persons.two(said.message))
    merging.part(one, other, said.telling, _known(one, other))


def _orders(said: Said) -> None:
    asked = requests.requests(said.message, said.reading)
    if not asked:
        return
    record, key = None, ""
    if pid := said.message.first("PID"):
        person = _person(pid, said)
        record = patients.tell(person, said.telling, _known(person), rank=registers.COPIED)
        key = person.anchor.key
    for number, request in enumerate(asked):
        order = received.tell(request, record, key, said.telling, number=number)
        outbound.heard(order, by=str(said.telling.by), control=request.control, words=request.words)


def _answer(said: Said) -> None:
    """An order response that comes by itself, to an order that we told of."""
    try:
        if outbound.late(said.message):
            said.telling.find_by([said.message.first("MSA").text(2).strip()])
    except read.NotHL7 as problem:
        raise Wrong(MISSING, str(problem), "MSA", 1) from problem


def _nothing(said: Said) -> None:
    """It says nothing that is kept here."""


def _pid(said: Said) -> read.Segment:
    if pid := said.message.first("PID"):
        return pid
    raise Wrong(MISSING, "The segment PID is missing.", "PID", 1)


def _person(pid: read.Segment, said: Said) -> persons.Person:
    return persons.person(pid, said.message, said.reading, today=timezone.localdate())


def _pairs(said: Said) -> list[tuple[persons.Person, persons.Person]]:
    found = []
    for pid, mrg in persons.pairs(said.message):
        person = _person(pid, said)
        found.append((person, persons.prior(mrg, person, said.message, said.reading)))
    return found


def _known(*people: persons.Person) -> patients.Known:
    return patients.load(one for person in people for one in (person.anchor, *person.others))


DEMOGRAPHICS = "A01 A02 A03 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A16 A21 A22 A25 A26 A27 A28 A31 A32 A33 A38"
DEMOGRAPHICS += " A52 A53 A54 A55 A60 A61 A62"  # PID is the patient as the sender knows them then
NOTHING = "A17 A20 A23 A29 A35 A41 A42 A44 A45 A46 A48 A49 A50 A51"  # beds, visits, accounts, deletions
KINDS: dict[str, dict[str, Callable[[Said], None]]] = {
    "ADT": {
        **dict.fromkeys(DEMOGRAPHICS.split(), _demographics),
        **dict.fromkeys(NOTHING.split(), _nothing),
        **dict.fromkeys(("A18", "A30", "A34", "A36", "A40"), _merge),
        "A47": _rename,
        "A24": _link,
        "A37": _part,
    },
    "ORM": {"O01": _orders},
    "OMI": {"O23": _orders},
    "OMG": {"O19": _orders},
    "ORR": {"O02": _answer},
    "ORI": {"O24": _answer},
    "ORG": {"O20": _answer},
    "ACK": dict.fromkeys(("O01", "O19", "O23"), _answer),
}


# --- in --------------------------------------------------------------------------------------------------------------


def receive(raw: bytes, *, peer: str) -> bytes:
    """The acknowledgement of one message, without its frame: AA when what it says is committed, AE when the sender has
    to correct it, AR when it is not for us or may be sent again later. Whatever comes is kept, and always answered."""
    now = timezone.now()
    message, verdict = None, None
    try:
        message, verdict = _received(raw, peer, now)
    except Exception as error:  # a door: whatever it is, the sender hears that nothing is promised
        _log(error, peer)
        verdict = Verdict(Outcome.REFUSED, "AR", write.Error(write.INTERNAL, "It cannot be taken now. Send it again."))
        message = _keep_anyway(raw, peer, now, verdict)
    return write.acknowledge(message, verdict.answer, error=verdict.error, now=now, ours=_ours())


def _ours() -> write.Site:
    return write.Site(settings.AE_TITLE, settings.INSTITUTION_NAME)


def _received(raw: bytes, peer: str, now: datetime) -> tuple[read.Message | None, Verdict]:
    site = feeds.lately()
    try:
        message, feed = site.read(raw)
    except read.NotHL7 as problem:
        verdict = Verdict(Outcome.REFUSED, "AE", write.Error(OUT_OF_ORDER, str(problem)), str(problem))
        _row(raw, peer, now, problem.header, None, verdict).save(force_insert=True)
        return problem.header, verdict
    for attempt in range(TRIES):
        row = _row(raw, peer, now, message, feed, Verdict("", ""))
        try:
            return message, _take(row, message, site.reading(feed))
        except (IntegrityError, OperationalError):
            if _is_repeated(row):
                return message, _close(row, Verdict(Outcome.REPEATED, "AA"))
            if attempt + 1 == TRIES:
                raise
    raise AssertionError("unreachable")


def _take(row: Message, message: read.Message, reading: Reading) -> Verdict:
    """In one transaction. A message that was accepted before raises IntegrityError: the database keeps one."""
    telling = _telling(row, message)
    try:
        with transaction.atomic():
            may_tell(message, row.feed)
            _apply(message, reading, telling)
            verdict = Verdict(Outcome.APPLIED if telling.lines or telling.words else Outcome.IGNORED, "AA")
            _close(row, verdict, telling)
            telling.record()
            return verdict
    except (Wrong, Unsupported) as refused:
        verdict = Verdict(
            Outcome.REFUSED, "AR" if isinstance(refused, Unsupported) else "AE", refused.error, str(refused)
        )
    except (Conflict, Invalid, Denied) as problem:
        error = write.Error(write.INTERNAL, str(problem))
        verdict = Verdict(Outcome.REFUSED, "AR" if isinstance(problem, Denied) else "AE", error, str(problem))
    return _close(row, verdict, telling)


def _row(raw, peer, now, message: read.Message | None, feed: Feed | None, verdict: Verdict) -> Message:
    """What can be said of it before it is applied. Texts are cut where a column ends; the bytes are not."""
    row = Message(
        received_at=now,
        peer=peer[:64],
        feed=feed,
        raw=raw,
        digest=hashlib.sha256(raw).hexdigest(),
        outcome=verdict.outcome,
        answer=verdict.answer,
        problem=clean(verdict.problem),
    )
    if message:
        for column in ("sending_application", "sending_facility", "control_id", "type", "trigger", "version"):
            longest = Message._meta.get_field(column).max_length
            setattr(row, column, clean(getattr(message, column))[:longest])
        row.said_at, row.search_key = _said_at(message, now), row.control_id
    return row


def clean(text: str) -> str:
    """Without what no database keeps."""
    return requests.plain(text, len(text))


def _said_at(message: read.Message, now: datetime) -> datetime | None:
    """EVN-2, or MSH-7."""
    event = message.first("EVN")
    said = read.timestamp(event.component(2, 1), message.zone) if event else None
    return said or message.time


def _is_repeated(row: Message) -> bool:
    """The same bytes from the same sender, accepted before: acknowledged again, and not applied again. Other bytes
    under a control ID that was used before are another message of a sender that counts anew."""
    return Message.objects.filter(
        sending_application=row.sending_application,
        sending_facility=row.sending_facility,
        control_id=row.control_id,
        digest=row.digest,
        outcome__in=ACCEPTED,
    ).exists()


def may_tell(message: read.Message, feed: Feed | None) -> None:
    if feed and not feed.active:
        raise Denied(f"The feed {feed} is switched off here.")
    if message.version and not message.version.startswith("2"):
        sentence = f"HL7 {message.version[:16]} is not read here."
        raise Unsupported(write.UNSUPPORTED_VERSION, sentence, ("MSH", 1, 12))
    kinds = KINDS.get(message.type)
    if kinds is None:
        said = f"Messages of type {message.type[:16]} are not taken here." if message.type else "MSH-9 is empty."
        raise Unsupported(write.UNSUPPORTED_TYPE, said, (*KIND, 1))
    if message.trigger not in kinds:
        kind = f"{message.type}^{message.trigger[:16]}"
        raise Unsupported(write.UNSUPPORTED_EVENT, f"Messages {kind} are not taken here.", (*KIND, 2))
    if not message.control_id:
        raise Wrong(MISSING, "MSH-10, the control ID, is empty.", "MSH", 1, 10)


def _telling(row: Message, message: read.Message) -> Telling:
    said_at = row.said_at or row.received_at
    sender = str(row.feed) if row.feed else f"HL7 {row.sending_application}|{row.sending_facility}".strip("| ")
    telling = Telling(by=sender[:150], at=said_at, control_id=row.control_id, key=str(row.pk))
    if said_at > row.received_at + AHEAD:
        telling.at = row.received_at
        telling.notes.append("Its time lies in the future; the time at which it came is taken instead.")
    if message.charset_note:
        telling.notes.append(f"MSH-18 {message.charset_note}.")
    return telling


def _apply(message: read.Message, reading: Reading, telling: Telling) -> None:
    KINDS[message.type][message.trigger](Said(message, reading, telling))


def _close(row: Message, verdict: Verdict, telling: Telling | None = None) -> Verdict:
    row.outcome, row.answer, row.problem = verdict.outcome, verdict.answer, clean(verdict.problem)
    if telling:
        if verdict.answer == "AA":
            row.changed = [clean(one) for one in telling.changed]
            row.problem = clean(" ".join(dict.fromkeys(telling.notes)))
        row.search_key = clean(" ".join(dict.fromkeys([row.control_id, *telling.words])))[:500]
    row.save(force_insert=row._state.adding)
    return verdict


def _keep_anyway(raw: bytes, peer: str, now: datetime, verdict: Verdict) -> read.Message | None:
    """After a crash: the message as it came, if the database will have it; its header, for the answer."""
    try:
        message = read.parse(raw)
    except read.NotHL7 as problem:
        message = problem.header
    try:
        _row(raw, peer, now, message, None, verdict._replace(problem=verdict.error.sentence)).save(force_insert=True)
    except DatabaseError as error:
        _log(error, peer)
    return message


def _log(error: Exception, peer: str) -> None:
    """Where it happened, without what it says: the database quotes identifiers."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("A message of %s stumbled: %s at\n%s", peer, type(error).__name__, where)


def trial(message: read.Message, feed: Feed | None, reading: Reading) -> list[str]:
    """What the message would change; all of it is taken back. Raises what says why it would be refused."""
    row = _row(b"", "", timezone.now(), message, feed, Verdict("", ""))
    telling = _telling(row, message)
    with transaction.atomic():
        may_tell(message, feed)
        _apply(message, reading, telling)
        transaction.set_rollback(True)
    return telling.changed


# --- again -----------------------------------------------------------------------------------------------------------


def replay(message: Message, *, by) -> list[str]:
    """Apply a kept message again, by the settings of today; what that changed. What is newer stays: it can only add
    what was missing."""
    if authority.why_not(by, Power.OVERRIDE):
        raise Denied("Your role may not replay messages.")
    site = feeds.load()
    try:
        said, feed = site.read(bytes(message.raw))
    except read.NotHL7 as problem:
        raise Invalid(str(problem)) from problem
    try:
        with transaction.atomic():
            row = Message.objects.select_for_update().get(pk=message.pk)
            if row.outcome not in ACCEPTED and _is_repeated(row):
                raise Conflict("The same message was accepted another time. Replay that one.")
            may_tell(said, feed)
            row.feed = feed
            telling = _telling(row, said)
            _apply(said, site.reading(feed), telling)
            row.outcome = Outcome.APPLIED if telling.lines or telling.words else Outcome.IGNORED
            row.changed, row.problem = telling.changed or row.changed, " ".join(dict.fromkeys(telling.notes))
            row.search_key = " ".join(dict.fromkeys([row.control_id, *telling.words]))[:500]
            row.save(update_fields=["feed", "outcome", "changed", "problem", "search_key"])
            telling.record()
            audit.record(by, "replay", row, detail={"changed": len(telling.changed)})
    except (Wrong, Unsupported) as refused:
        raise Invalid(str(refused)) from refused
    return telling.changed
