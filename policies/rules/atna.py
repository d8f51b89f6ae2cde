"""Audit messages of DICOM PS3.15 A.5, written from plain facts: what the audit repository (ITI-20) is told."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree import ElementTree as ET

LIMIT = 32_000  # bytes of one message; receivers take 32768 with the syslog header (PS3.15 A.6)
SHORTEST = 200  # letters that are left of a text when a message is too long
UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2


class Code(NamedTuple):
    value: str
    meaning: str
    scheme: str = "DCM"


APPLICATION_ACTIVITY = Code("110100", "Application Activity")
AUDIT_LOG_USED = Code("110101", "Audit Log Used")
ACCESSED = Code("110103", "DICOM Instances Accessed")
TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
IMPORT = Code("110107", "Import")
ORDER = Code("110109", "Order Record")
PATIENT = Code("110110", "Patient Record")
PROCEDURE = Code("110111", "Procedure Record")
QUERY = Code("110112", "Query")
ALERT = Code("110113", "Security Alert")
USER = Code("110114", "User Authentication")

START, STOP = Code("110120", "Application Start"), Code("110121", "Application Stop")
LOGIN, LOGOUT = Code("110122", "Login"), Code("110123", "Logout")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")
SECURITY_CONFIGURATION = Code("110129", "Security Configuration")
SOFTWARE_CONFIGURATION = Code("110131", "Software Configuration")
EMERGENCY_OVERRIDE = Code("110127", "Emergency Override Started")
RESTRICTED_FUNCTION = Code("110132", "Use of Restricted Function")
OBJECT_SECURITY = Code("110135", "Object Security Attributes Changed")
USER_SECURITY = Code("110137", "User Security Attributes Changed")

APPLICATION, DESTINATION, SOURCE = (
    Code("110150", "Application"),
    Code("110152", "Destination Role ID"),
    Code("110153", "Source Role ID"),
)
SOURCE_MEDIA, CD, URI = Code("110155", "Source Media"), Code("110032", "CD"), Code("110037", "URI")
STUDY_UID, SOP_CLASS = Code("110180", "Study Instance UID"), Code("110181", "SOP Class UID")
PATIENT_NUMBER, URI_ID = Code("2", "Patient Number", "RFC-3881"), Code("12", "URI", "RFC-3881")
ACTIONS = "CRUDE"
OUTCOMES = (0, 4, 8, 12)


@dataclass(frozen=True)
class Participant:
    """Who took part. `address` is an IP address or a host name; `media` names the code of a source or target medium."""

    user_id: str
    name: str = ""
    requestor: bool = False
    role: Code | None = None
    address: str = ""
    media: Code | None = None
    ae_title: str = ""


@dataclass(frozen=True)
class Object:
    """What it was done to: `type` 1 person, 2 system object; `role` 1 patient, 3 report, 13 security resource."""

    id: str
    id_type: Code
    type: int
    role: int
    name: str = ""
    query: bytes = b""
    details: tuple[tuple[str, str], ...] = ()
    accession_number: str = ""
    instances: int = 0


@dataclass(frozen=True)
class Message:
    """One audit message; `at` is aware, `description` is free text of the outcome."""

    event: Code
    action: str
    at: datetime
    participants: tuple[Participant, ...]
    source_id: str
    type: Code | None = None
    outcome: int = 0
    objects: tuple[Object, ...] = ()
    description: str = ""


def study(uid: str, *, accession_number: str = "", instances: int = 0, details: Iterable = ()) -> Object:
    columns = {"accession_number": accession_number, "instances": instances, "details": tuple(details)}
    return Object(uid, STUDY_UID, 2, 3, **columns)


def patient(number: str, name: str = "", details: Iterable = ()) -> Object:
    return Object(number or "unknown", PATIENT_NUMBER, 1, 1, name, details=tuple(details))


def subject(uri: str, name: str, description: str, details: Iterable = ()) -> Object:
    """What an alert is about (A.5.3.11)."""
    return Object(uri or "unknown", URI_ID, 2, 13, name, details=(("Alert Description", description), *details))


def log(uri: str, details: Iterable = ()) -> Object:
    return Object(uri, URI_ID, 2, 13, "Security Audit Log", details=tuple(details))


def xml(message: Message, *, limit: int = LIMIT) -> bytes:
    """The message in UTF-8, at most `limit` bytes: free texts are shortened, the longest first, then details go."""
    written = _written(message)
    while len(written) > limit:
        message = _shorter(message)
        written = _written(message)
    return written


def _shorter(message: Message) -> Message:
    if len(message.description) > SHORTEST:
        return replace(message, description=message.description[: max(SHORTEST, len(message.description) // 2)])
    if any(one.query for one in message.objects):
        return replace(message, objects=tuple(replace(one, query=b"") for one in message.objects))
    if any(one.details for one in message.objects):
        return replace(message, objects=tuple(_of_fewer_details(one) for one in message.objects))
    if len(message.objects) > 1:
        return replace(message, objects=message.objects[: len(message.objects) // 2])
    raise ValueError("This message cannot be made short enough.")


def _of_fewer_details(one: Object) -> Object:
    """Without the longest of the details."""
    longest = max((len(value) for _, value in one.details), default=0)
    return replace(one, details=tuple(pair for pair in one.details if len(pair[1]) < longest))


def _written(message: Message) -> bytes:
    root = ET.Element("AuditMessage")
    moment = message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=message.action,
        EventDateTime=moment,
        EventOutcomeIndicator=str(message.outcome),
    )
    _code(event, "EventID", message.event)
    if message.type:
        _code(event, "EventTypeCode", message.type)
    if message.description:
        ET.SubElement(event, "EventOutcomeDescription").text = _fit(message.description)
    for one in message.participants:
        _participant(root, one)
    source = ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=_fit(message.source_id))
    _code(source, "AuditSourceTypeCode", Code("4", "Application Server Process", "RFC-3881"))
    for one in message.objects:
        _object(root, one)
    return ET.tostring(root, encoding="UTF-8", xml_declaration=True)


def _code(above: ET.Element, name: str, code: Code) -> None:
    written = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    ET.SubElement(above, name, written)


def _participant(root: ET.Element, one: Participant) -> None:
    columns = {"UserID": _fit(one.user_id), "UserIsRequestor": "true" if one.requestor else "false"}
    if one.ae_title:
        columns["AlternativeUserID"] = _fit(f"AETITLES={one.ae_title}")  # A.5.2.2
    if one.name:
        columns["UserName"] = _fit(one.name)
    if one.address:
        kind = "2" if re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", one.address) else "1"
        columns |= {"NetworkAccessPointID": _fit(one.address), "NetworkAccessPointTypeCode": kind}
    element = ET.SubElement(root, "ActiveParticipant", columns)
    if one.role:
        _code(element, "RoleIDCode", one.role)
    if one.media:
        _code(ET.SubElement(element, "MediaIdentifier"), "MediaType", one.media)


def _object(root: ET.Element, one: Object) -> None:
    columns = {
        "ParticipantObjectID": _fit(one.id),
        "ParticipantObjectTypeCode": str(one.type),
        "ParticipantObjectTypeCodeRole": str(one.role),
    }
    element = ET.SubElement(root, "ParticipantObjectIdentification", columns)
    _code(element, "ParticipantObjectIDTypeCode", one.id_type)
    if one.query:
        ET.SubElement(element, "ParticipantObjectQuery").text = base64.b64encode(one.query).decode()
    elif one.name:
        ET.SubElement(element, "ParticipantObjectName").text = _fit(one.name)
    for name, value in one.details:
        coded = base64.b64encode(value.encode()).decode()
        ET.SubElement(element, "ParticipantObjectDetail", type=_fit(name), value=coded)
    if one.accession_number:
        ET.SubElement(element, "Accession", Number=_fit(one.accession_number))
    if one.instances:
        ET.SubElement(element, "SOPClass", NumberOfInstances=str(one.instances))


def _fit(text: str) -> str:
    """XML has no letter for most control characters."""
    return UNFIT.sub("\ufffd", text)
