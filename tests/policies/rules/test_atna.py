"""Audit messages hold what PS3.15 A.5 asks for."""

import base64
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from policies.rules import atna

AT = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
ONE = atna.Participant("7", "Lee", True, None, "10.0.0.7")
CODED = {"csd-code", "codeSystemName", "originalText"}
# The schema of A.5.1: element -> (attributes it must have, those it may have, children in their order with bounds).
SCHEMA = {
    "AuditMessage": (
        set(),
        set(),
        [
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, None),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, None),
        ],
    ),
    "EventIdentification": (
        {"EventActionCode", "EventDateTime", "EventOutcomeIndicator"},
        set(),
        [("EventID", 1, 1), ("EventTypeCode", 0, None), ("EventOutcomeDescription", 0, 1)],
    ),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
        [("RoleIDCode", 0, None), ("MediaIdentifier", 0, 1)],
    ),
    "MediaIdentifier": (set(), set(), [("MediaType", 1, 1)]),
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}, [("AuditSourceTypeCode", 0, None)]),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole", "ParticipantObjectDataLifeCycle"},
        [
            ("ParticipantObjectIDTypeCode", 1, 1),
            ("ParticipantObjectName", 0, 1),
            ("ParticipantObjectQuery", 0, 1),
            ("ParticipantObjectDetail", 0, None),
            ("Accession", 0, None),
            ("SOPClass", 0, None),
        ],
    ),
    "ParticipantObjectDetail": ({"type", "value"}, set(), []),
    "Accession": ({"Number"}, set(), []),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}, []),
    **dict.fromkeys(["EventID", "EventTypeCode", "RoleIDCode", "MediaType"], (CODED, {"displayName"}, [])),
    **dict.fromkeys(["AuditSourceTypeCode", "ParticipantObjectIDTypeCode"], (CODED, {"displayName"}, [])),
    **dict.fromkeys(["EventOutcomeDescription", "ParticipantObjectName", "ParticipantObjectQuery"], (set(), set(), [])),
}


def problems(element: ET.Element) -> list[str]:
    """How an element and what is in it fail the schema."""
    must, may, children = SCHEMA[element.tag]
    said, names = set(element.attrib), [name for name, _, _ in children]
    found = [f"{element.tag} lacks {name}" for name in sorted(must - said)]
    found += [f"{element.tag} has {name}" for name in sorted(said - must - may)]
    tags = [child.tag for child in element]
    found += [f"{element.tag} holds {tag}" for tag in tags if tag not in names]
    if tags != sorted(tags, key=lambda tag: names.index(tag) if tag in names else -1):
        found.append(f"{element.tag} is out of order")
    for name, least, most in children:
        if not least <= tags.count(name) <= (most or 10_000):
            found.append(f"{element.tag} holds {tags.count(name)} {name}")
    return found + [problem for child in element if child.tag in SCHEMA for problem in problems(child)]


def message(**columns) -> atna.Message:
    columns = {"event": atna.ACCESSED, "action": "R", "at": AT, "participants": (ONE,), "source_id": "IMG", **columns}
    return atna.Message(**columns)


FULL = {
    "type": atna.LOGIN,
    "description": "No <way> & back",
    "participants": (ONE, atna.Participant("media", role=atna.SOURCE_MEDIA, media=atna.CD)),
    "objects": (
        atna.study("1.2.3", accession_number="A1", instances=7, details=[("line", "12")]),
        atna.patient("P1", "Mueller^Anna"),
        atna.Object("1.2", atna.SOP_CLASS, 2, 24, query=b"PatientName=X"),
        atna.log("urn:ledger"),
    ),
}


@pytest.mark.parametrize("columns", [{}, FULL], ids=["least", "full"])
def test_a_message_is_built_as_the_schema_says(columns):
    root = ET.fromstring(atna.xml(message(**columns)))  # noqa: S314

    assert problems(root) == []


def test_the_checker_itself_notices_what_is_wrong():
    root = ET.fromstring(atna.xml(message()))  # noqa: S314
    del root[0].attrib["EventActionCode"]
    root.append(ET.Element("Surprise"))

    assert len(problems(root)) == 3


def test_the_study_is_an_object_with_its_uid_accession_and_number_of_objects():
    written = ET.fromstring(atna.xml(message(**FULL)))  # noqa: S314
    study = written.find("ParticipantObjectIdentification")

    assert study.get("ParticipantObjectID") == "1.2.3"
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"
    assert (study.find("Accession").get("Number"), study.find("SOPClass").get("NumberOfInstances")) == ("A1", "7")


def test_a_query_goes_as_base64():
    written = ET.fromstring(atna.xml(message(**FULL)))  # noqa: S314

    assert base64.b64decode(written.find(".//ParticipantObjectQuery").text) == b"PatientName=X"


def test_the_time_is_told_in_utc():
    assert b'EventDateTime="2026-03-04T12:30:00.000Z"' in atna.xml(message())


@pytest.mark.parametrize(
    "long",
    [
        {"description": "é" * 50_000},
        {"objects": (atna.study("1.2.3", details=[("a", "x" * 40_000), ("line", "12")]),)},
        {"objects": (atna.Object("1.2", atna.SOP_CLASS, 2, 24, query=b"x" * 60_000),)},
        {"objects": tuple(atna.study(f"1.2.{n}") for n in range(400))},
    ],
    ids=["description", "details", "query", "objects"],
)
def test_a_message_that_is_too_long_is_shortened_and_stays_whole(long):
    written = atna.xml(message(**long))

    assert len(written) <= atna.LIMIT
    assert problems(ET.fromstring(written)) == []  # noqa: S314


def test_letters_that_xml_does_not_have_are_replaced():
    written = atna.xml(message(description="a\x00b\x1b\ud800c", source_id="\x07"))

    assert problems(ET.fromstring(written)) == []  # noqa: S314
