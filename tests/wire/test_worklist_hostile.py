"""Worklists that are silent, slow, endless, cut off or talk nonsense: a sentence in time, and nothing false."""

import struct
import time
from itertools import count

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from orders.peers import worklist
from orders.peers.found import Unanswered
from orders.peers.worklist import MOST_ANSWERS, by_patient_id
from tests.wire.rawpeer import data, element, pdu, raw_peer

PENDING, SUCCESS, C_FIND_RSP = 0xFF00, 0x0000, 0x8020
FOREVER = 10  # seconds; longer than anybody waits
ASKED = {"PatientName": "Mueller^Anna", "PatientID": "L-1", "AccessionNumber": "WL1", "RequestedProcedureID": "RP1"}


def response(number: int, status: int, *, with_data: bool) -> bytes:
    """A C-FIND-RSP as a command set."""
    values = {0x0100: C_FIND_RSP, 0x0120: number, 0x0800: 0x0001 if with_data else 0x0101, 0x0900: status}
    body = b"".join(element(tag, struct.pack("<H", value)) for tag, value in values.items())
    return data(element(0x0000, struct.pack("<I", len(body))) + body)


def identifier(**keywords) -> bytes:
    ds = Dataset()
    for keyword, value in (ASKED | keywords).items():
        setattr(ds, keyword, value)
    return encode(ds, is_implicit_vr=False, is_little_endian=True)


def match(number: int, **keywords) -> bytes:
    return response(number, PENDING, with_data=True) + data(identifier(**keywords), control=2)


def ask(script, *, seconds: float = 1) -> tuple[list, str]:
    """What is found at a peer that has accepted us and then follows the script with the id of the query."""

    def whole(wire) -> None:
        wire.accept()
        number, _ = wire.message()
        script(wire, number)

    with raw_peer(whole) as port:
        peer = worklist.peer_of("127.0.0.1", port, "STORESCP", calling_title="IMGSHARE", seconds=seconds)
        return worklist.find(peer, [by_patient_id("L-1")], seconds=seconds)


def refused(script) -> str:
    started = time.monotonic()
    with pytest.raises(Unanswered) as problem:
        ask(script)
    assert time.monotonic() - started < 3.5
    return str(problem.value)


def test_an_answer_in_many_fragments_is_one():
    def script(wire, number):
        raw = identifier()
        wire.send(response(number, PENDING, with_data=True))
        for start in range(0, len(raw), 10):
            wire.send(data(raw[start : start + 10], control=2 if start + 10 >= len(raw) else 0))
        wire.send(response(number, SUCCESS, with_data=False))

    [found], more = ask(script)

    assert (found.accession.value, more) == ("WL1", "")


def test_endless_answers_are_capped_and_said():
    def script(wire, number):
        for n in count():
            wire.send(match(number, AccessionNumber=f"A{n}", RequestedProcedureID=f"R{n}"))

    found, more = ask(script, seconds=5)

    assert len(found) == MOST_ANSWERS
    assert "more than 500" in more


def test_a_worklist_that_ignores_what_it_was_asked_gives_nothing():
    def script(wire, number):
        wire.send(match(number, PatientID="L-2") + response(number, SUCCESS, with_data=False))

    assert ask(script) == ([], "")


def test_an_answer_without_a_character_set_is_read_as_what_it_can_be():
    def script(wire, number):
        raw = identifier(PatientName="Mxxller^Anna").replace(b"Mxxller", "Müller".encode())
        wire.send(response(number, PENDING, with_data=True) + data(raw, control=2))
        wire.send(response(number, SUCCESS, with_data=False))

    assert ask(script)[0][0].person.name == "Müller^Anna"


def test_what_cannot_be_read_is_left_and_the_rest_stays():
    def script(wire, number):
        wire.send(response(number, PENDING, with_data=True) + data(b"\xff" * 400, control=2))
        wire.send(response(number, PENDING, with_data=False))
        wire.send(match(number, PatientName="", PatientID="L-1"))
        wire.send(match(number, PatientBirthDate="19611399", AccessionNumber="12345678901234567"))
        wire.send(response(number, SUCCESS, with_data=False))

    [found], _ = ask(script)

    assert (found.person.birth_date, found.accession.value, found.requested_procedure_id) == ("", "", "RP1")


def test_a_giant_answer_is_not_held():
    def script(wire, number):
        wire.send(response(number, PENDING, with_data=True))
        for _ in range(1000):
            wire.send(data(b"\0" * 16000, control=0))

    assert "without an end" in refused(script)


def test_answers_that_trickle_end_in_time():
    def script(wire, number):
        for n in range(100):
            wire.send(match(number, AccessionNumber=f"A{n}"))
            time.sleep(0.1)

    assert "in time" in refused(script)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0xFE00, 0x0122])
def test_a_refused_query_is_said_with_its_status(status):
    said = refused(lambda wire, number: wire.send(response(number, status, with_data=False)))

    assert f"0x{status:04X}" in said


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda wire, number: time.sleep(FOREVER / 3), "did not answer"),
        (lambda wire, number: wire.send(pdu(0x07, bytes(4))), "aborted"),
        (lambda wire, number: wire.send(pdu(0x05, bytes(4))), "ended the association"),
        (lambda wire, number: wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not DICOM"),
        (lambda wire, number: wire.send(data(b"\0\0\1")), "sent a command"),
        (lambda wire, number: wire.send(response(number + 7, SUCCESS, with_data=False)), "not asked"),
        (lambda wire, number: wire.reset(), "ended the connection"),
    ],
)
def test_whatever_else_it_does_is_a_sentence(script, said):
    assert said in refused(script)


@pytest.mark.parametrize("value", ["*", "L-?", "L-1\\L-2", "  ", "", "x" * 65])
def test_what_would_mean_a_pattern_is_not_asked(value):
    assert by_patient_id(value) is None
