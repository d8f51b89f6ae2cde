"""HL7 v2 messages and acknowledgements as bytes; no value can break out of its place."""

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from orders.hl7 import charsets, read
from orders.hl7.encoding import NULL, STANDARD, Encoding, Null

# A list is the repetitions of a field, a tuple its components, a tuple within a tuple the subcomponents of one.
Value = str | int | date | datetime | None | tuple | list
Segment = tuple[str, Mapping[int, Value]]  # name, values by field number

NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
VERSION = "2.5.1"
LONGEST_TEXT = 80  # characters of MSA-3 before 2.7
UNSUPPORTED_TYPE, UNSUPPORTED_EVENT, UNSUPPORTED_VERSION, INTERNAL = 200, 201, 203, 207
TEXTS = {  # table 0357
    0: "Message accepted",
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    205: "Duplicate key identifier",
    206: "Application record locked",
    207: "Application internal error",
}


class Site(NamedTuple):
    """A system at the other end or at ours: MSH-3 and MSH-4, or MSH-5 and MSH-6."""

    application: Value
    facility: Value


NOBODY = Site("", "")


class Error(NamedTuple):
    """What is wrong with a message: a code of table 0357, a sentence, and where (segment, its number, field, ...)."""

    code: int
    sentence: str = ""
    location: tuple[str | int, ...] = ()
    severity: str = "E"  # table 0516


def control_id() -> str:
    """For MSH-10: ours alone, and as long as it may be before version 2.7."""
    return secrets.token_hex(10)


def header(
    kind: tuple[str, ...],
    *,
    control_id: str,
    sender: Site,
    receiver: Site,
    now: datetime,
    version: str = VERSION,
    processing: Value = "P",
) -> Segment:
    """The segment MSH; `kind` is MSH-9, such as ("ORM", "O01", "ORM_O01")."""
    return "MSH", {
        3: sender.application,
        4: sender.facility,
        5: receiver.application,
        6: receiver.facility,
        7: now,
        9: kind,
        10: control_id,
        11: processing,
        12: version,
    }


def message(*segments: Segment, charset: str = charsets.UTF_8, encoding: Encoding = STANDARD) -> bytes:
    """The segments, MSH first, as they go over the wire, each ended by CR; raises ValueError for what is no segment.

    `charset` (table 0211) goes into MSH-18 where there are letters beyond ASCII, and only there (ITI TF-2 C.2.2).
    """
    if charset in charsets.WIDE:  # their bytes may end a frame
        charset = charsets.UTF_8
    text = _text(segments, encoding)
    if not text.isascii():
        (name, fields), *others = segments
        text = _text([(name, {**fields, 18: charset}), *others], encoding)
    return charsets.encode(text, charsets.CODECS[charset])


def _text(segments: Iterable[Segment], encoding: Encoding) -> str:
    return "".join(f"{_segment(name, fields, encoding)}\r" for name, fields in segments)


def _segment(name: str, fields: Mapping[int, Value], encoding: Encoding) -> str:
    if not NAME.fullmatch(name) or any(number < 1 for number in fields):
        raise ValueError(f"{name} with fields {sorted(fields)} is no segment")
    values = [""] * max(fields, default=0)
    for number, value in fields.items():
        repetitions = value if isinstance(value, list) else [value]
        values[number - 1] = encoding.repetition.join(
            _written(one, encoding.component + encoding.subcomponent, encoding) for one in repetitions
        )
    if name == "MSH":
        values = [encoding.characters, *values[2:]]
    return encoding.field.join([name, *values]).rstrip(encoding.field)


def _written(value: Value, delimiters: str, encoding: Encoding) -> str:
    if not isinstance(value, tuple):
        return _quoted(value, encoding)
    if not delimiters:
        raise ValueError("there is nothing below a subcomponent")
    parts = [_written(part, delimiters[1:], encoding) for part in value]
    return delimiters[0].join(parts).rstrip(delimiters[0])


def _quoted(value: Value, encoding: Encoding) -> str:
    match value:
        case None:
            return ""
        case Null():
            return str(value)
        case datetime():
            return f"{value:%Y%m%d%H%M%S%z}"
        case date():
            return f"{value:%Y%m%d}"
        case str() | int():
            text = encoding.quote(str(value))
            return text.replace('"', f"{encoding.escape}X22{encoding.escape}") if text == NULL else text
    raise TypeError(f"a {type(value).__name__} is no value of HL7")


# --- acknowledgements ------------------------------------------------------------------------------------------------

COMMIT = {"AA": "CA", "AE": "CE", "AR": "CR"}


def acknowledge(
    received: read.Message | None, code: str, *, error: Error | None = None, now: datetime, ours: Site = NOBODY
) -> bytes:
    """The answer to a message, in its own character set, delimiters and version (HL7 2.5.1, 2.9; ITI TF-2 C.2.3).

    `received` is None where not even a header could be read. `code` is AA, AE or AR; a sender that asks for accept
    acknowledgements (MSH-15) gets CA, CE or CR in their place. There is always one answer, and never two: a sender
    that wants none (NE, NE) would otherwise not learn that its message is kept.
    """
    if received is None:
        first = header(("ACK",), control_id=control_id(), sender=ours, receiver=NOBODY, now=now)
        return message(first, *_verdict("", code, error, VERSION))
    version = received.version or VERSION
    incoming = received.header
    segments = [
        header(
            _kind(received, version),
            control_id=control_id(),
            sender=Site(_again(incoming, 5) or ours.application, _again(incoming, 6) or ours.facility),
            receiver=Site(_again(incoming, 3), _again(incoming, 4)),
            now=now,
            version=_again(incoming, 12) or version,
            processing=_again(incoming, 11) or "P",
        ),
        *_verdict(received.control_id, _mode(incoming, code), error, version),
    ]
    encoding = received.encoding if len(received.encoding.characters) == 4 else STANDARD
    charset = received.charset if charsets.CODECS[received.charset] != "ascii" else charsets.UTF_8
    return message(*segments, charset=charset, encoding=encoding)


def _kind(received: read.Message, version: str) -> tuple[str, ...]:
    """MSH-9 of the answer; its third component came with 2.3.1."""
    return ("ACK", received.trigger, "ACK" if _since(version, 2, 3, 1) else "")


def _again(segment: read.Segment, number: int) -> Value:
    """A field with its components, to be written once more."""
    repetitions = segment.repetitions(number)
    if not repetitions:
        return ""
    return tuple(repetitions[0].components())


def _mode(incoming: read.Segment, code: str) -> str:
    """Original mode, or the accept acknowledgement of enhanced mode where MSH-15 (table 0155) asks for it."""
    wish = incoming.text(15).strip().upper()
    asked = {"AL": True, "ER": code != "AA", "SU": code == "AA"}
    return COMMIT[code] if asked.get(wish) else code


def _verdict(answered: str, code: str, error: Error | None, version: str) -> list[Segment]:
    """MSA, and ERR where there is something to say: its old layout says only where, its sentence goes into MSA-3."""
    if error is None:
        return [("MSA", {1: code, 2: answered})]
    kind = (str(error.code), TEXTS.get(error.code, ""), "HL70357")
    if _since(version, 2, 5):
        details = {2: error.location, 3: kind, 4: error.severity, 8: error.sentence}
        return [("MSA", {1: code, 2: answered}), ("ERR", details)]
    segment, sequence, field = (*error.location, "", "", "")[:3]
    text = (error.sentence or TEXTS.get(error.code, ""))[:LONGEST_TEXT]
    return [("MSA", {1: code, 2: answered, 3: text}), ("ERR", {1: (segment, sequence, field, kind)})]


def _since(version: str, *wanted: int) -> bool:
    """Whether a version such as 2.3.1 is this one or later."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) >= wanted
