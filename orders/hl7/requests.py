"""Which orders a message tells of: groups of ORC [TQ1] OBR [IPC] [ZDS] of ORM^O01, OMI^O23, OMG^O19."""

import re
from typing import NamedTuple

from orders.hl7.encoding import NULL
from orders.hl7.ordering import words
from orders.hl7.persons import person_name
from orders.hl7.read import Message, Segment, timestamp
from orders.hl7.reading import MISSING, UNLISTED, Reading, Value, Wrong, exact, pick, plain

SH, LO, UI, PN = 16, 64, 64, 194  # the longest of each VR (PS3.5 table 6.2-1)
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+$")

SCHEDULED, IN_PROGRESS, COMPLETED, CANCELLED = "scheduled", "in progress", "completed", "cancelled"
CONTROLS = {  # ORC-1, table 0119: what each makes of the status; None: what ORC-5 says, or nothing
    **dict.fromkeys(("NW", "RO", "RU", "CH", "RL"), SCHEDULED),
    **dict.fromkeys(("CA", "OC", "CR", "DC", "OD", "DR", "UA", "RP", "RQ"), CANCELLED),
    **dict.fromkeys(("XO", "XX", "XR", "SC", "SR", "SN", "NA", "OK", "SS", "AF", "PA", "HD", "OH", "HR")),
    **dict.fromkeys(("OR", "RE", "RR", "LI", "UN", "UX", "UC", "UD", "UH", "UR", "UM", "CN", "DE", "PR")),
}
ELSEWHERE = {"OP", "PY", "RF", "DF", "FU", "OE", "OF", "MC", "AR"}  # of table 0119: nothing about imaging
STATUSES = {"SC": SCHEDULED, "IP": IN_PROGRESS, "A": IN_PROGRESS, "CM": COMPLETED}  # ORC-5, table 0038
STATUSES |= dict.fromkeys(("CA", "DC", "RP"), CANCELLED)
NOT_IMAGING = {"RXO", "RXE", "RXD", "RXG", "RXA", "RQD", "RQ1", "ODS", "ODT", "BPO", "BPX", "SPM"}
LABORATORIES = {"LAB", "CH", "HM", "MB", "MCB", "MYC", "BG", "BLB", "IMM", "CP", "CG", "SP", "TX", "VR", "SR", "OSL"}
MODALITIES = {"NMR": "MR", "MRI": "MR", "CAT": "CT", "RUS": "US", "OUS": "US", "VUS": "US", "CUS": "US", "NMS": "NM"}
MODALITIES |= {"RAD": "", "RX": "", "XRC": "", "RC": "", "OTH": ""}  # table 0074: sections, not modalities


class Number(NamedTuple):
    """An order number with who gave it (EI.1, EI.2)."""

    value: str
    issuer: str = ""

    def __bool__(self):
        return bool(self.value)

    def __str__(self):
        return f"{self.value} ({self.issuer})" if self.issuer else self.value


class Request(NamedTuple):
    """One order: what names it, and `told`, columns of an order. A time is text as HL7 has it, in UTC."""

    control: str
    placer: Number
    filler: Number
    accession: Number
    told: dict[str, str]
    notes: tuple[str, ...]
    words: str = ""  # why something is done to it

    def __str__(self):
        named = {"accession number": self.accession, "placer": self.placer, "filler": self.filler}
        return ", ".join(f"{what} {number}" for what, number in named.items() if number)


def requests(message: Message, reading: Reading) -> list[Request]:
    """Raises Wrong; orders that make no images (a laboratory's, a pharmacy's) are left out."""
    groups = list(message.groups("ORC"))
    if not groups:
        raise Wrong(MISSING, "The segment ORC is missing.", "ORC", 1)
    return [_request(group, n, message, reading) for n, group in enumerate(groups, 1) if is_imaging(group)]


def is_imaging(group: list[Segment]) -> bool:
    if group[0].component(1, 1).upper() in ELSEWHERE or any(segment.name in NOT_IMAGING for segment in group):
        return False
    section = next((segment.component(24, 1).upper() for segment in group if segment.name == "OBR"), "")
    return section not in LABORATORIES


def _request(group: list[Segment], n: int, message: Message, reading: Reading) -> Request:
    orc = group[0]
    control = orc.component(1, 1).upper()
    if control not in CONTROLS:
        code = UNLISTED if control else MISSING
        raise Wrong(code, f"ORC-1 is {control or 'empty'}: what becomes of the order is not said.", "ORC", n, 1)
    placer = _number(group, "ORC-2,OBR-2", "The placer order number", n)
    filler = _number(group, "ORC-3,OBR-3", "The filler order number", n)
    accession = _accession(group, reading, n)
    if not (placer or filler or accession):
        raise Wrong(MISSING, "The order has neither a placer nor a filler nor an accession number.", "ORC", n, 2)
    notes: list[str] = []
    told = _numbers(placer, filler, accession) | _status(control, orc)
    told |= _procedure(group, notes) | _scheduled(group, reading, notes) | _more(group, message, reading, notes)
    return Request(control, placer, filler, accession, told, tuple(notes), words(group))


def _number(group: list[Segment], where: str, what: str, n: int) -> Number:
    found = pick(group, where)
    if not found:
        return Number("")
    location = (found.place.segment, n, found.place.field)
    namespace, universal_id = (found.segment.component(found.place.field, component) for component in (2, 3))
    return Number(exact(found.text, LO, what, *location), _issuer(namespace, universal_id))


def _issuer(namespace: str, universal_id: str) -> str:
    return plain(next((one for one in (namespace, universal_id) if one not in ("", NULL)), ""), LO)


def _accession(group: list[Segment], reading: Reading, n: int) -> Number:
    """SH: one that is longer is no accession number of DICOM, and a shortened one would be another order's."""
    found = pick(group, reading.fields["accession_number"])
    if not found:
        return Number("")
    place = found.place
    value = exact(found.text, SH, f"The accession number ({place})", place.segment, n, place.field)
    alone = place.component > 1
    namespace, universal_id = ("" if alone else found.segment.component(place.field, number) for number in (2, 3))
    return Number(value, _issuer(namespace, universal_id) if value else "")


def _numbers(placer: Number, filler: Number, accession: Number) -> dict[str, str]:
    told = {}
    if placer:
        told |= {"placer_order_number": placer.value, "placer_issuer": placer.issuer}
    if filler:
        told |= {"filler_order_number": filler.value, "filler_issuer": filler.issuer}
    if accession:
        told |= {"accession_number": accession.value, "accession_issuer": accession.issuer}
    return told


def _status(control: str, orc: Segment) -> dict[str, str]:
    status = CONTROLS[control]
    if status != CANCELLED:
        status = STATUSES.get(orc.component(5, 1).upper()) or status
    return {"status": status} if status else {}


def _procedure(group: list[Segment], notes: list) -> dict[str, str]:
    """OBR-44 (procedure code) or OBR-4 (universal service identifier)."""
    obr = next((segment for segment in group if segment.name == "OBR"), None)
    if obr is None:
        return {}
    told = {}
    field = 44 if obr.component(44, 1) not in ("", NULL) else 4
    code, text, scheme = (obr.component(field, component) for component in (1, 2, 3))
    if len(code) > SH or len(scheme) > SH:
        notes.append(f"The procedure code (OBR-{field}) is longer than {SH} characters; only its text is kept.")
    elif code not in ("", NULL):
        told |= {"procedure_code": plain(code, SH), "procedure_scheme": plain(scheme, SH)}
    text = text or obr.component(field, 5) or obr.component(4, 2) or code
    return told | ({"description": plain(text, LO)} if text not in ("", NULL) else {})


def _scheduled(group: list[Segment], reading: Reading, notes: list) -> dict[str, str]:
    found = pick(group, reading.fields["scheduled_at"])
    if not found:
        return {}
    at = timestamp(found.text, reading.zone) if found.text else None
    if found.text and at is None:
        notes.append(f"The scheduled time ({found.place}) is no time; left out.")
        return {}
    return {"scheduled_at": at.isoformat() if at else ""}


def _more(group: list[Segment], message: Message, reading: Reading, notes: list) -> dict[str, str]:
    told = {}
    for column in ("requested_procedure_id", "scheduled_procedure_step_id"):
        if found := pick(group, reading.fields[column]):
            told |= _short(column, found, notes)
    if found := pick(group, reading.fields["study_instance_uid"]):
        if found.text and (len(found.text) > UI or not UID.match(found.text)):
            notes.append(f"The Study Instance UID ({found.place}) is not a valid UID; left out.")
        else:
            told["study_instance_uid"] = found.text
    if found := pick(group, reading.fields["modality"]):
        modality = plain(found.text, SH).upper()
        if (modality := MODALITIES.get(modality, modality)) or not found.text:
            told["modality"] = modality
    if found := pick([*group, *_once(message, "PV1", "PID")], reading.fields["admission_id"]):
        told["admission_id"] = plain(found.text, LO)
    return told | _physician(group, message)


def _short(column: str, found: Value, notes: list) -> dict[str, str]:
    try:
        return {column: exact(found.text, SH, str(found.place))}
    except Wrong as wrong:
        notes.append(f"{wrong} Left out.")
        return {}


def _physician(group: list[Segment], message: Message) -> dict[str, str]:
    """PV1-8, or else who ordered it: ORC-12, OBR-16."""
    visit = message.first("PV1")
    fields = [visit.repetitions(8)] if visit else []
    fields += [group[0].repetitions(12), *(segment.repetitions(16) for segment in group if segment.name == "OBR")]
    name = next(filter(None, (person_name(repetitions, first=2) for repetitions in fields)), "")
    return {"referring_physician": name[:PN]} if name else {}


def _once(message: Message, *names: str) -> list[Segment]:
    return [segment for name in names if (segment := message.first(name))]
