"""Messages about an order that we place or number, ORM^O01 (2.3.1) or OMI^O23 (2.5.1), and what is answered to them."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from orders.hl7 import charsets, read, write
from orders.hl7.encoding import NULL

ORM, OMI = "ORM_O01", "OMI_O23"
KINDS = {ORM: (("ORM", "O01"), "2.3.1"), OMI: (("OMI", "O23", "OMI_O23"), "2.5.1")}
REPRESENTATIONS = ("A", "I", "P")  # XPN-8 of the groups of a DICOM name: alphabetic, ideographic, phonetic
NOT_TO_BE_REPEATED = {str(code) for code in range(200, 204)}  # table 0357: about the header; repeating mends nothing
LONGEST_WORDS = 500
ACCEPTED, REFUSED, LATER = "accepted", "refused", "later"
VERDICTS = {"AA": ACCEPTED, "CA": ACCEPTED, "AE": REFUSED, "CE": REFUSED, "AR": LATER, "CR": LATER}
UNABLE = {"UA", "UC", "UD", "UM", "UX"}  # order controls (table 0119): unable to accept, cancel, discontinue, change


class Patient(NamedTuple):
    """Whom the order is for; `name` as DICOM writes it."""

    name: str
    identifier: str
    issuer: str
    universal_id: str = ""
    universal_id_type: str = ""
    birth_date: date | None = None
    sex: str = ""


class Order(NamedTuple):
    """What is said of an order; `control` is ORC-1: NW, SN, CA, OC. What is not known is empty."""

    control: str
    code: str
    scheme: str
    description: str
    scheduled_at: datetime
    placer_order_number: tuple[str, str] = ("", "")  # with the application that gave it
    filler_order_number: tuple[str, str] = ("", "")
    accession_number: tuple[str, str] = ("", "")  # with its issuer
    requested_procedure_id: str = ""
    scheduled_procedure_step_id: str = ""
    study_instance_uid: str = ""
    modality: str = ""
    reason: str = ""
    cancelled_because: str = ""
    ordering_provider: str = ""  # ID^Family^Given^Middle^Suffix^Prefix, as HL7 writes it (XCN)
    referring_physician: str = ""  # as DICOM writes it (PN)
    admission_id: str = ""


class Envelope(NamedTuple):
    """From whom to whom, and how it is written; `charset` of table 0211."""

    control_id: str
    sender: write.Site
    receiver: write.Site
    now: datetime
    form: str = ORM
    charset: str = charsets.UTF_8


class Written(NamedTuple):
    """`unwritable`: the letters that the character set does not have; "?" stands in their place."""

    raw: bytes
    unwritable: str = ""


def message(order: Order, patient: Patient, envelope: Envelope) -> Written:
    """The message as bytes. No value can end its field: whatever delimiters and line ends it has are escaped."""
    kind, version = KINDS[envelope.form]
    header = write.header(
        kind,
        control_id=envelope.control_id,
        sender=envelope.sender,
        receiver=envelope.receiver,
        now=envelope.now,
        version=version,
    )
    told = _orm(order, envelope) if envelope.form == ORM else _omi(order, envelope)
    charset = charsets.known(envelope.charset) or charsets.UTF_8
    segments = [header, _pid(patient, charset), _pv1(order), *told]
    text = write.message(*segments).decode("utf_8")
    return Written(write.message(*segments, charset=charset), _unwritable(text, charset))


def _unwritable(text: str, charset: str) -> str:
    codec = charsets.CODECS[charset]
    return "".join(sorted(letter for letter in set(text) if b"?" in charsets.encode(letter, codec) and letter != "?"))


def _pid(patient: Patient, charset: str) -> write.Segment:
    authority = (patient.issuer, patient.universal_id, patient.universal_id_type)
    return "PID", {
        3: (patient.identifier, "", "", authority, "MR"),
        5: _names(patient.name, charset),
        7: patient.birth_date,
        8: patient.sex or "U",
    }


def _pv1(order: Order) -> write.Segment:
    return "PV1", {2: "O", 8: _doctor(order.referring_physician), 19: order.admission_id}


def _orm(order: Order, envelope: Envelope) -> list[write.Segment]:
    request = _obr(order) | {
        18: order.accession_number[0],
        19: order.requested_procedure_id,
        20: order.scheduled_procedure_step_id,
        27: ("", "", "", order.scheduled_at, "", "R"),
    }
    segments: list[write.Segment] = [_orc(order, envelope), ("OBR", request)]
    if order.accession_number[0] and order.study_instance_uid:
        segments.append(("ZDS", {1: (order.study_instance_uid, envelope.sender.application, "Application", "DICOM")}))
    return segments


def _omi(order: Order, envelope: Envelope) -> list[write.Segment]:
    """IPC-1 to IPC-4 are required: of a number that the other system is to give, it says the null (2.5.1, 2.5.3)."""
    procedure = {
        1: order.accession_number if order.accession_number[0] else NULL,
        2: order.requested_procedure_id or NULL,
        3: order.study_instance_uid or NULL,
        4: order.scheduled_procedure_step_id or NULL,
        5: order.modality,
        6: (order.code, order.description, order.scheme),
    }
    timing = {1: "1", 7: order.scheduled_at, 9: "R"}
    return [_orc(order, envelope), ("TQ1", timing), ("OBR", _obr(order)), ("IPC", procedure)]


def _orc(order: Order, envelope: Envelope) -> write.Segment:
    return "ORC", {
        1: order.control,
        2: _entity(order.placer_order_number),
        3: _entity(order.filler_order_number),
        5: {"SN": "SC", "OC": "CA"}.get(order.control, ""),
        9: envelope.now,
        12: _provider(order),
        16: ("", order.cancelled_because) if order.cancelled_because else "",
    }


def _obr(order: Order) -> dict[int, write.Value]:
    return {
        1: "1",
        2: _entity(order.placer_order_number),
        3: _entity(order.filler_order_number),
        4: (order.code, order.description, order.scheme),
        13: order.reason,
        16: _provider(order),
        24: order.modality,
        31: ("", order.reason) if order.reason else "",
    }


def _entity(number: tuple[str, str]) -> write.Value:
    return number if number[0] else ""


def _provider(order: Order) -> write.Value:
    return tuple(order.ordering_provider.split("^")) if order.ordering_provider else _doctor(order.referring_physician)


def _doctor(name: str) -> write.Value:
    """XCN without an ID."""
    groups = [_parts(group) for group in name.split("=")]
    return next((("", *parts) for parts in groups if any(parts)), "")


def _names(name: str, charset: str) -> list[tuple]:
    """XPN, a repetition for each group of a DICOM name. One group alone needs no word on how it is written.

    A further group that the character set has no letters for is left out: question marks would be another name.
    """
    groups = [pair for pair in zip(name.split("="), REPRESENTATIONS, strict=False) if pair[0].strip("^ ")]
    fitting = [(group, code) for group, code in groups if code == "A" or not _unwritable(group, charset)]
    written = [(_parts(group), code) for group, code in fitting or groups[:1]]
    if len(written) == 1 and written[0][1] == "A":
        return [written[0][0]]
    return [(*parts, "", "L", code) for parts, code in written]


def _parts(group: str) -> tuple[str, ...]:
    """Family, given, middle, suffix, prefix: HL7 has the last two the other way round than DICOM."""
    family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
    return family, given, middle, suffix, prefix


# --- what is answered ------------------------------------------------------------------------------------------------


class Numbers(NamedTuple):
    """What an answer says of one order (one ORC group of ORR^O02, ORI^O24, ORG^O20)."""

    control: str
    placer_order_number: str = ""
    filler_order_number: str = ""
    accession_number: str = ""
    accession_issuer: str = ""
    requested_procedure_id: str = ""
    scheduled_procedure_step_id: str = ""
    study_instance_uid: str = ""
    words: str = ""


class Answer(NamedTuple):
    """`verdict`: accepted; refused, which is not to be repeated as it is; or to be repeated later (ITI TF-2 C.2.3)."""

    control_id: str  # of the message that is answered (MSA-2)
    verdict: str
    words: str
    orders: tuple[Numbers, ...] = ()


def answer(message: read.Message) -> Answer:
    """What came back, whatever type of acknowledgement it is; raises NotHL7 for what is none."""
    verdict = message.first("MSA")
    code = verdict.text(1).strip().upper() if verdict else ""
    if code not in VERDICTS:
        raise read.NotHL7(f"What came back is no acknowledgement: {f'MSA-1 is {code!r}' if verdict else 'no MSA'}.")
    errors = message.all("ERR")
    orders = tuple(_numbers(group) for group in message.groups("ORC"))
    unable = next((one for one in orders if one.control in UNABLE), None)
    said = VERDICTS[code]
    if said == LATER and any(_code(error) in NOT_TO_BE_REPEATED for error in errors):
        said = REFUSED
    if said == ACCEPTED and unable:
        said = REFUSED
    words = [unable.words if unable else "", verdict.text(3), *map(_error, errors), *_notes(message, orders)]
    return Answer(verdict.text(2).strip(), said, _joined(words), orders)


def _numbers(group: list[read.Segment]) -> Numbers:
    control, nothing = group[0], read.Segment("", "", group[0].encoding)
    request = next((one for one in group if one.name == "OBR"), nothing)
    procedure = next((one for one in group if one.name == "IPC"), nothing)
    study = next((one for one in group if one.name == "ZDS"), nothing)
    return Numbers(
        control=control.component(1, 1).upper(),
        placer_order_number=_first(control.component(2, 1), request.component(2, 1)),
        filler_order_number=_first(control.component(3, 1), request.component(3, 1)),
        accession_number=_first(procedure.component(1, 1), request.component(18, 1)),
        accession_issuer=_first(procedure.component(1, 2)),
        requested_procedure_id=_first(procedure.component(2, 1), request.component(19, 1)),
        scheduled_procedure_step_id=_first(procedure.component(4, 1), request.component(20, 1)),
        study_instance_uid=_first(procedure.component(3, 1), study.component(1, 1)),
        words=words(group),
    )


def words(group: list[read.Segment]) -> str:
    """Why something is done to an order: ORC-16, and the notes of its group."""
    reason = [group[0].component(16, 2) or group[0].component(16, 1)]
    return _joined([*reason, *(one.text(3) for one in group if one.name == "NTE")])


def _first(*values: str) -> str:
    return next((value for value in values if value and value != NULL), "")


def _code(error: read.Segment) -> str:
    """The code of table 0357: ERR-3 since 2.5, a component of ERR-1 before."""
    return error.component(3, 1) or error.component(1, 4, 1)


def _error(error: read.Segment) -> str:
    words = _first(error.text(8), error.text(7), error.component(3, 2), error.component(1, 4, 2))
    field = [error.component(2, n) or error.component(1, n) for n in (1, 3)]
    where = "-".join(part for part in field if part) if field[0] else ""
    return f"{words} ({where})" if words and where else words or where


def _notes(message: read.Message, orders: tuple[Numbers, ...]) -> list[str]:
    """Those that stand before any order."""
    return [] if orders else [note.text(3) for note in message.all("NTE")]


def _joined(words: Iterable[str]) -> str:
    """Once each, on one line, and no more than staff would read."""
    told = dict.fromkeys(" ".join(text.split()) for text in words if text and text.strip())
    return "; ".join(told)[:LONGEST_WORDS]
