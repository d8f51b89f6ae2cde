"""What the audit repository is told of each deed fills its table in PS3.15 A.5.3, in a message of RFC 5424."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from django.utils import timezone

from policies import atna, deeds
from policies.models import LedgerLine
from policies.rules import atna as messages
from policies.rules import syslog
from tests.policies.rules.test_atna import problems

FACTS = {
    "uid": "1.2.3",
    "accession_number": "A1",
    "instances": 7,
    "patient_id": "P1",
    "patient_name": "Doe^Jo",
    "source": "General Hospital",
    "door": "media",
}
STUDY, PATIENT, LOG, SOP_CLASS = ("2", "3"), ("1", "1"), ("2", "13"), ("2", "24")
PROCESS, SENDER, RECEIVER, MEDIUM = "110150", "110153", "110152", "110155"
# EventID: roles that must take part, objects (type and role) that must be there. PS3.15 tables A.5.3.1-1 to A.5.3.14-1.
TABLES = {
    "110100": ({PROCESS}, []),
    "110101": (set(), [LOG]),
    "110103": (set(), [STUDY, PATIENT]),
    "110104": ({SENDER, RECEIVER}, [STUDY, PATIENT]),
    "110105": (set(), [STUDY, PATIENT]),
    "110107": ({RECEIVER, MEDIUM}, [STUDY, PATIENT]),
    "110109": (set(), [PATIENT]),
    "110110": (set(), [PATIENT]),
    "110111": (set(), [STUDY, PATIENT]),
    "110112": ({SENDER, RECEIVER}, [SOP_CLASS]),
    "110113": (set(), [LOG]),
    "110114": (set(), []),
}
# RFC 5424 6: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG.
RFC5424 = re.compile(
    rb"<(?P<pri>0|[1-9]\d{0,2})>(?P<version>[1-9]\d{0,2}) "
    rb"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)) "
    rb"(?P<host>-|[\x21-\x7e]{1,255}) (?P<application>-|[\x21-\x7e]{1,48}) (?P<process>-|[\x21-\x7e]{1,128}) "
    rb"(?P<id>-|[\x21-\x7e]{1,32}) (?P<data>-) \xef\xbb\xbf(?P<body>.*)",
    re.DOTALL,
)


def told(verb: str, facts: dict = FACTS, **columns) -> ET.Element:
    given = {"actor": "Lee", "actor_key": "7", "subject": "study", "subject_label": "CT", "address": "10.0.0.7"}
    line = LedgerLine(pk=1, at=timezone.now(), verb=verb, digest="d", **{**given, **columns})
    return ET.fromstring(messages.xml(atna.told(line, facts, host="portal")))  # noqa: S314


@pytest.mark.parametrize("actor", ["Lee", "the portal"])
@pytest.mark.parametrize("verb", sorted(deeds.DEEDS))
def test_each_deed_fills_the_table_of_its_event(verb, actor):
    root = told(verb, actor=actor)
    event = root.find("EventIdentification")
    roles, objects = TABLES[event.find("EventID").get("csd-code")]
    there = [
        (one.get("ParticipantObjectTypeCode"), one.get("ParticipantObjectTypeCodeRole"))
        for one in root.iter("ParticipantObjectIdentification")
    ]

    assert problems(root) == []
    assert roles <= {code.get("csd-code") for code in root.iter("RoleIDCode")}
    assert [one for one in objects if one not in there] == []
    assert all(one.get("UserID") for one in root.iter("ActiveParticipant"))


def test_who_signs_in_is_told_with_their_address():
    (person,) = told("failed sign-in", {}).iter("ActiveParticipant")

    assert (person.get("NetworkAccessPointID"), person.get("NetworkAccessPointTypeCode")) == ("10.0.0.7", "2")


@pytest.mark.parametrize(("verb", "code"), [("start", "110120"), ("stop", "110121")])
def test_a_process_that_starts_or_stops_is_told_by_its_number_machine_and_title(verb, code):
    root = told(verb, {}, actor="the portal", subject_label="web", detail={"pid": 12, "host": "radiology1"})
    (process,) = root.iter("ActiveParticipant")

    assert root.find(".//EventTypeCode").get("csd-code") == code
    assert [process.get(name) for name in ("UserID", "UserName", "AlternativeUserID", "NetworkAccessPointID")] == [
        "12",
        "web",
        "AETITLES=IMGSHARE",
        "radiology1",
    ]


@pytest.mark.parametrize("verb", ["refuse association", "many views", "find ledger broken", "access denied"])
def test_what_should_alarm_somebody_is_a_security_alert_that_says_what_it_is(verb):
    root = told(verb, {}, reason="Line 3 was changed.")
    details = {one.get("type"): one.get("value") for one in root.iter("ParticipantObjectDetail")}

    assert root.find(".//EventID").get("csd-code") == "110113"
    assert "Alert Description" in details


@pytest.mark.parametrize("host", ["portal.example.org", "ünï kode", "", "h" * 300])
def test_a_message_is_one_of_rfc_5424(host):
    at = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    found = RFC5424.fullmatch(syslog.message(b"<x/>", at=at, host=host, application="IMG SHARE", process="12"))

    assert (found["pri"], found["version"], found["id"], found["body"]) == (b"85", b"1", b"DICOM+RFC3881", b"<x/>")


def test_a_frame_counts_bytes_not_letters():
    wire = b"".join(syslog.framed(body.encode()) for body in ("é" * 10, "a\nb"))
    ends = [0, 23, 28]

    assert [wire[a:b] for a, b in pairwise(ends)] == [b"20 " + "é".encode() * 10, b"3 a\nb"]
