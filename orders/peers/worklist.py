"""A Modality Worklist asked for orders: C-FIND (PS3.4 annex K, IHE RAD-5), and what its answers say.

Whatever a worklist gives back is compared with what it was asked: many leave optional keys unmatched.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom.dsutils import decode, encode
from pynetdicom.sop_class import ModalityWorklistInformationFind

from orders.dicom.calling import (
    CLASS,
    COMMAND_FIELD,
    DATA_SET,
    LITTLE_ENDIAN,
    PENDING,
    PRIORITY,
    WITH_DATA_SET,
    Association,
    Lost,
    Peer,
    Refused,
    Unreachable,
    associated,
)
from orders.dicom.fragments import Body
from orders.peers.found import Identifier, Person, Scheduled, Step, Unanswered, birth_date, literal, sex, written
from policies.rules.names import name_key

C_FIND, MEDIUM, SUCCESS = 0x0020, 0x0000, 0x0000
LONGEST_ANSWER = 256 << 10  # bytes
MOST_ANSWERS = 500  # to one query
MOST_ITEMS = 10  # of one sequence
LONGEST_VALUE = 2 << 10  # bytes of a value that is looked at
MODEL = str(ModalityWorklistInformationFind)

# Return keys (standards 1.6) that are asked for empty; those of a step, then those of the order.
STEP_KEYS = """
    Modality ScheduledStationAETitle ScheduledProcedureStepStartDate ScheduledProcedureStepStartTime
    ScheduledPerformingPhysicianName ScheduledProcedureStepDescription ScheduledProtocolCodeSequence
    ScheduledProcedureStepID ScheduledStationName ScheduledProcedureStepLocation ScheduledProcedureStepStatus
"""
KEYS = """
    AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName ReferencedStudySequence PatientName
    PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence PatientBirthDate PatientSex
    OtherPatientIDsSequence StudyInstanceUID RequestingPhysician RequestedProcedureDescription
    RequestedProcedureCodeSequence AdmissionID IssuerOfAdmissionIDSequence RequestedProcedureID
    ReasonForTheRequestedProcedure ReasonForRequestedProcedureCodeSequence RequestedProcedurePriority
    PlacerOrderNumberImagingServiceRequest OrderPlacerIdentifierSequence FillerOrderNumberImagingServiceRequest
    OrderFillerIdentifierSequence ConfidentialityConstraintOnPatientDataDescription
"""
GUESSES = ("utf_8", "latin_1")  # for text that no character set is declared for: the first one that fits
PN_DELIMITERS = {ord("^"), ord("=")}


@dataclass(frozen=True)
class Query:
    """What to match, the keys that are given: an identifier (with its issuer), a name, an accession, a day."""

    patient_id: str = ""
    issuer: str = ""
    name: str = ""
    accession_number: str = ""
    day: date | None = None
    modality: str = ""

    def fits(self, found: Scheduled) -> bool:
        """Whether an answer is one to this query, or a worklist that matched less than it was asked to."""
        return (
            self._fits_person(found.person)
            and self.accession_number in ("", found.accession.value)
            and (not self.day or any(step.at and step.at.date() == self.day for step in found.steps))
            and (not self.modality or any(step.modality == self.modality for step in found.steps))
        )

    def _fits_person(self, person: Person) -> bool:
        if self.name and name_key(person.name) != name_key(self.name):
            return False
        return not self.patient_id or any(
            one.value == self.patient_id and (not self.issuer or one.issuer in ("", self.issuer))
            for one in person.identifiers
        )


def by_patient_id(value: str, issuer: str = "") -> Query | None:
    value = literal(written("PatientID", value))
    return Query(patient_id=value, issuer=literal(written("IssuerOfPatientID", issuer))) if value else None


def by_name(name: str) -> Query | None:
    """By family and given name as they stand; a worklist matches them in any case of letters, or exactly."""
    name = literal(written("PatientName", name.split("=")[0])).strip("^ ")
    return Query(name=name) if name else None


def by_accession_number(number: str) -> Query | None:
    number = literal(written("AccessionNumber", number))
    return Query(accession_number=number) if number else None


def find(peer: Peer, queries: list[Query], *, seconds: float) -> tuple[list[Scheduled], str]:
    """What the worklist has to these queries, and a sentence where it has more than was read.

    All of it within so many seconds. Raises Unanswered.
    """
    until, found, more = time.monotonic() + seconds, [], ""
    try:
        with associated(peer, [(MODEL, LITTLE_ENDIAN)]) as assoc:
            if not assoc.accepted:
                raise Unanswered(f"{peer.ae_title} does not take worklist queries from {peer.calling_title}.")
            for query in queries:
                answers, whole = _answers(assoc, query, until)
                found += [one for one in answers if query.fits(one)]
                if not whole:
                    more = f"{peer.ae_title} gave more than {MOST_ANSWERS} answers to one query; the rest was not read."
                    break
    except (Unreachable, Refused) as problem:
        raise Unanswered(str(problem)) from problem
    except Lost as lost:
        raise Unanswered(f"{peer.ae_title} did not answer a worklist query: it {lost}.") from lost
    return merged(found), more


def _answers(assoc: Association, query: Query, until: float) -> tuple[list[Scheduled], bool]:
    """Those that can be read, and whether there were no more. An association that gives too many is ended."""
    [(context, syntax)] = assoc.accepted.values()
    raw = _encoded(identifier(query), syntax)
    request = {CLASS: MODEL, COMMAND_FIELD: C_FIND, PRIORITY: MEDIUM, DATA_SET: WITH_DATA_SET}
    assoc.send(context, request, Body(raw, -1, 0, 0))
    found: list[Scheduled] = []
    for count, (status, answer) in enumerate(assoc.answers(longest=LONGEST_ANSWER, until=until)):
        if status == SUCCESS:
            break
        if status not in PENDING:
            raise Unanswered(f"{assoc.peer.ae_title} refused a worklist query with 0x{status:04X}.")
        if count == MOST_ANSWERS:
            assoc.abort()
            return found, False
        if one := read(answer, syntax):
            found.append(one)
    return found, True


def identifier(query: Query) -> Dataset:
    """The identifier of a C-FIND: what is matched, and every return key."""
    ds, step = Dataset(), Dataset()
    for keyword in KEYS.split():
        setattr(ds, keyword, None if keyword.endswith("Sequence") else "")
    for keyword in STEP_KEYS.split():
        setattr(step, keyword, None if keyword.endswith("Sequence") else "")
    ds.PatientID, ds.IssuerOfPatientID, ds.PatientName = query.patient_id, query.issuer, query.name
    ds.AccessionNumber = query.accession_number
    step.Modality = query.modality
    step.ScheduledProcedureStepStartDate = f"{query.day:%Y%m%d}" if query.day else ""
    ds.ScheduledProcedureStepSequence = Sequence([step])
    ds.SpecificCharacterSet = "ISO_IR 192"  # some answer in ours, and drop what that does not have
    return ds


def _encoded(ds: Dataset, syntax: str) -> bytes:
    raw = encode(ds, is_implicit_vr=syntax == LITTLE_ENDIAN[1], is_little_endian=True)
    if raw is None:
        raise Unanswered("The query holds a value that DICOM cannot carry.")
    return raw


# --- what an answer says ---------------------------------------------------------------------------------------------


class Answer:
    """An identifier, or an item in one, whose text is decoded as late as it is read: no value gets into a warning."""

    def __init__(self, ds: Dataset, encodings: list[str]) -> None:
        self.ds, self.encodings = ds, encodings

    def text(self, keyword: str) -> str:
        """The value, "" where it is absent or nothing that DICOM allows there."""
        raw = self.raw(keyword)
        if len(raw) > LONGEST_VALUE:
            return ""
        decoded = decode_bytes(raw, self.encodings, PN_DELIMITERS) if self.encodings else _guessed(raw)
        return written(keyword, decoded)

    def raw(self, keyword: str) -> bytes:
        element = self.ds.get_item(keyword)
        value = element.value if isinstance(element, RawDataElement) else None
        return value if isinstance(value, bytes) else b""

    def items(self, keyword: str) -> list[Answer]:
        found = self.ds.get(keyword)
        return [Answer(each, self.encodings) for each in found or []][:MOST_ITEMS]

    def item(self, keyword: str) -> Answer:
        return next(iter(self.items(keyword)), Answer(Dataset(), self.encodings))


def read(raw: bytes, syntax: str) -> Scheduled | None:
    """An answer, None where it cannot be read or names nobody. pydicom raises many things on hostile bytes."""
    try:
        ds = decode(BytesIO(raw), syntax == LITTLE_ENDIAN[1], True)
        declared = Answer(ds, []).raw("SpecificCharacterSet").decode("ascii", "replace")
        names = [name.strip(" \0") for name in declared.split("\\")]
        return _scheduled(Answer(ds, convert_encodings(names) if declared.strip(" \0") else []))
    except Exception:
        return None


def _guessed(raw: bytes) -> str:
    try:
        return raw.decode(GUESSES[0])
    except UnicodeDecodeError:
        return raw.decode(GUESSES[1])


def _scheduled(answer: Answer) -> Scheduled | None:
    name = answer.text("PatientName")
    if not name.strip("^= "):
        return None
    code = answer.item("RequestedProcedureCodeSequence")
    steps = [_step(each) for each in answer.items("ScheduledProcedureStepSequence")]
    described = [answer.text("RequestedProcedureDescription"), code.text("CodeMeaning")]
    described += [step.description for step in steps]
    born, gender = birth_date(answer.text("PatientBirthDate")), sex(answer.text("PatientSex"))
    return Scheduled(
        person=Person(name, born, gender, _identifiers(answer)),
        accession=Identifier(
            answer.text("AccessionNumber"), *_hierarchic(answer.item("IssuerOfAccessionNumberSequence"))
        ),
        placer_order_number=answer.text("PlacerOrderNumberImagingServiceRequest"),
        filler_order_number=answer.text("FillerOrderNumberImagingServiceRequest"),
        requested_procedure_id=answer.text("RequestedProcedureID"),
        procedure_code=code.text("CodeValue"),
        procedure_scheme=code.text("CodingSchemeDesignator"),
        description=next(filter(None, described), ""),
        referring_physician=answer.text("ReferringPhysicianName") or answer.text("RequestingPhysician"),
        admission_id=answer.text("AdmissionID"),
        study_instance_uid=answer.text("StudyInstanceUID"),
        steps=_in_order(steps),
    )


def _identifiers(answer: Answer) -> tuple[Identifier, ...]:
    """Patient ID, then the items of Other Patient IDs."""
    found = []
    for each in [answer, *answer.items("OtherPatientIDsSequence")]:
        if value := each.text("PatientID"):
            _, *universal = _hierarchic(each.item("IssuerOfPatientIDQualifiersSequence"))
            found.append(Identifier(value, each.text("IssuerOfPatientID"), *universal))
    return tuple(dict.fromkeys(found))


def _hierarchic(item: Answer) -> tuple[str, str, str]:
    """An HL7v2 Hierarchic Designator: namespace, universal ID, its type (PS3.3 table 10-17)."""
    return item.text("LocalNamespaceEntityID"), item.text("UniversalEntityID"), item.text("UniversalEntityIDType")


def _step(item: Answer) -> Step:
    at = _at(item.text("ScheduledProcedureStepStartDate"), item.text("ScheduledProcedureStepStartTime"))
    return Step(
        item.text("ScheduledProcedureStepID"),
        item.text("Modality"),
        item.text("ScheduledProcedureStepDescription"),
        at,
    )


def _at(day: str, clock: str) -> datetime | None:
    """The time of a step; midnight where only the day can be read, None where not even that can."""
    digits = clock.strip().replace(":", "").split(".")[0]
    for text, form in [(day.strip() + f"{digits:0<6}"[:6], "%Y%m%d%H%M%S"), (day.strip(), "%Y%m%d")]:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            pass
    return None


def _in_order(steps: list[Step]) -> tuple[Step, ...]:
    """The earliest first, those without a time last."""
    return tuple(sorted(dict.fromkeys(steps), key=lambda step: (step.at is None, step.at or datetime.min, step.id)))


def merged(found: list[Scheduled]) -> list[Scheduled]:
    """One for each order: a worklist gives one answer for each of its steps."""
    orders: dict[tuple, Scheduled] = {}
    for each in found:
        key = (each.person, each.accession, each.requested_procedure_id, each.study_instance_uid)
        before = orders.get(key, each)
        steps = _in_order([*before.steps, *each.steps])
        orders[key] = Scheduled(**{**vars(before), "steps": steps})
    return list(orders.values())


def peer_of(host: str, port: int, ae_title: str, *, calling_title: str, seconds: float) -> Peer:
    return Peer(host, port, ae_title, calling_title, *[seconds] * 3)
