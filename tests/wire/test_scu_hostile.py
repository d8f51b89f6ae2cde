"""Receivers that are silent, slow, cut off, speak out of turn or talk nonsense: no hang, no false success."""

import os
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from reconciliation.dicom import scu
from reconciliation.dicom.edit import make
from reconciliation.dicom.scu import Outcome, Refused, Unreachable
from tests.wire.rawpeer import data, element, pdu, raw_peer, response
from tests.wire.test_scu import CT, outgoing, peer, sent

ABORT, RELEASE_RQ, RELEASE_RP = pdu(0x07, bytes(4)), pdu(0x05, bytes(4)), pdu(0x06, bytes(4))
GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.fixture
def large(tmp_path):
    """An object that no buffer of the network holds."""
    ds = dcmread(CT)
    ds.Rows, ds.Columns, ds.PixelData = 4096, 4096, bytes(32 << 20)
    ds.save_as(tmp_path / "large.dcm")
    return tmp_path / "large.dcm"


def lost(script, *objects, **options) -> tuple[list[Outcome], str]:
    """What is told of objects, and how the sending ends, at a peer that does not let it end well; in time."""
    outcomes: list[Outcome] = []
    started = time.monotonic()
    with raw_peer(script) as port, pytest.raises(Unreachable) as ended:
        scu.send(peer(port, dimse_timeout=1, acse_timeout=1), objects or [outgoing(CT)] * 2, told=outcomes.append)
    assert time.monotonic() - started < 8
    return outcomes, str(ended.value)


def unknown(outcomes: list[Outcome]) -> bool:
    return [(each.status, each.accepted, each.final) for each in outcomes] == [(None, False, False)]


def serve(wire, *statuses: int) -> None:
    """Behave, for as many objects as there are statuses."""
    for status in statuses:
        number, _ = wire.message()
        wire.send(data(response(number, status)))


@pytest.mark.parametrize("said", [b"", GARBAGE, b"\x02\x00\xff\xff\xff\xff", pdu(0x02, bytes(8)), ABORT, RELEASE_RQ])
def test_nonsense_instead_of_an_association_is_unreachable(said):
    def script(wire):
        wire.read()
        wire.send(said)
        time.sleep(0 if said else 3)

    outcomes, _ = lost(script)

    assert outcomes == []


@pytest.mark.parametrize(
    ("rejection", "error"),
    [
        ((1, 1, 7), Refused),
        ((1, 1, 99), Refused),
        ((2, 3, 2), Unreachable),
        ((2, 1, 1), Unreachable),
        ((1, 9, 9), Refused),
    ],
)
def test_a_rejection_is_for_good_or_for_now(rejection, error):
    def script(wire):
        wire.read()
        wire.send(pdu(0x03, bytes([0, *rejection])))

    with raw_peer(script) as port, pytest.raises(error):
        sent(peer(port), outgoing(CT))


@pytest.mark.parametrize(
    "last_words",
    [
        ABORT,
        RELEASE_RQ,
        GARBAGE,
        data(response(77)),
        data(response(1, field=0x0001)),
        data(b"nonsense"),
        data(element(0x0900, b"\0\0")),
        pdu(0x04, struct.pack(">IBB", 4000, 1, 3)),
        pdu(0x02, bytes(70)),
        data(response(1), control=1),
        data(bytes(8), control=1) * 9000,
    ],
    ids=[
        "abort", "release", "garbage", "wrong id", "a request", "no command", "no id", "cut off", "a second accept",
        "no last fragment", "without an end",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_unknown(last_words):
    def script(wire):
        wire.accept()
        wire.message()
        wire.send(last_words)
        wire.read()

    outcomes, _ = lost(script)

    assert unknown(outcomes)


def test_a_response_that_is_lost_is_unknown_and_the_one_before_stands():
    def script(wire):
        wire.accept()
        serve(wire, 0)
        wire.message()

    outcomes, ended = lost(script)

    assert [each.status for each in outcomes] == [0, None]
    assert ended == "STORESCP ended the connection in the middle."


def test_a_reset_in_the_middle_of_an_object_is_unknown(large):
    def script(wire):
        wire.accept()
        wire.read()
        wire.read()
        wire.reset()

    outcomes, _ = lost(script, outgoing(large))

    assert unknown(outcomes)


def test_an_abort_in_the_middle_of_an_object_is_heard_before_its_end(large):
    taken = []

    def script(wire):
        wire.accept()
        wire.read()
        wire.send(ABORT)
        time.sleep(0.3)
        while (got := wire.read())[0] == 0x04:
            taken.append(len(got[1]))

    outcomes, ended = lost(script, outgoing(large))

    assert unknown(outcomes)
    assert ended == "STORESCP aborted the association in the middle."
    assert sum(taken) < 32 << 20


def test_an_answer_before_the_end_of_the_object_counts_when_the_object_is_sent(large):
    def script(wire):
        wire.accept()
        pieces = wire.fragments()
        _, command = next(pieces)
        wire.send(data(response(wire.message_id(command), 0xA700)))
        for _ in pieces:
            pass
        serve(wire, 0)
        wire.read()
        wire.send(RELEASE_RP)

    with raw_peer(script) as port:
        outcomes = sent(peer(port), outgoing(large), outgoing(CT))

    assert [each.status for each in outcomes] == [0xA700, 0]


def test_a_peer_that_answers_and_reads_no_more_is_left_with_its_answer(large):
    def script(wire):
        wire.accept()
        _, command = next(wire.fragments())
        wire.send(data(response(wire.message_id(command), 0xA700)))
        time.sleep(4)

    outcomes, ended = lost(script, outgoing(large), outgoing(CT))

    assert [each.status for each in outcomes] == [0xA700]
    assert ended == "STORESCP took no more bytes for 1 seconds in the middle."


def test_the_last_answer_told_twice_does_no_harm():
    def script(wire):
        wire.accept()
        number, _ = wire.message()
        wire.send(data(response(number)))
        wire.message()
        wire.send(data(response(number)) + data(response(number + 1, 0xB000)))
        wire.read()
        wire.send(RELEASE_RP)

    with raw_peer(script) as port:
        outcomes = sent(peer(port), outgoing(CT), outgoing(CT))

    assert [each.status for each in outcomes] == [0, 0xB000]


def test_an_answer_in_pieces_is_put_together():
    def script(wire):
        wire.accept()
        number, _ = wire.message()
        raw = response(number)
        for piece in data(raw[:20], control=1) + data(raw[20:]):
            wire.send(bytes([piece]))
        wire.read()
        wire.send(RELEASE_RP)

    with raw_peer(script) as port:
        assert [each.status for each in sent(peer(port), outgoing(CT))] == [0]


def test_an_answer_that_drips_does_not_hold_us_beyond_its_time():
    def script(wire):
        wire.accept()
        number, _ = wire.message()
        for piece in data(response(number)):
            time.sleep(0.3)
            wire.send(bytes([piece]))

    outcomes, _ = lost(script)

    assert unknown(outcomes)


def test_a_peer_that_never_answers_a_release_is_left():
    def script(wire):
        wire.accept()
        serve(wire, 0)
        time.sleep(3)

    started = time.monotonic()
    with raw_peer(script) as port:
        outcomes = sent(peer(port, acse_timeout=0.5), outgoing(CT))

    assert [each.status for each in outcomes] == [0]
    assert time.monotonic() - started < 6


def test_a_slow_peer_gets_all_of_it(large):
    def script(wire):
        wire.accept(maximum=0)
        pieces = wire.fragments()
        _, command = next(pieces)
        total = 0
        for _, fragment in pieces:
            total += len(fragment)
            time.sleep(0.05)
        assert total == made.size - made.dataset_offset
        wire.send(data(response(wire.message_id(command))))
        wire.read()
        wire.send(RELEASE_RP)

    made = make(large, [])
    with raw_peer(script) as port:
        assert [each.status for each in sent(peer(port, dimse_timeout=1), outgoing(large))] == [0]


@pytest.mark.parametrize("maximum", [0, 70, 127, 4096, 16384, 16385, 131072, (1 << 20) + 100, 1 << 31])
def test_no_fragment_is_longer_than_the_peer_takes_and_all_are_even(maximum, large):
    original = dcmread(large)

    def script(wire):
        wire.accept(maximum=maximum)
        command, body = b"", b""
        for control, fragment in wire.fragments():
            assert len(fragment) + 6 <= min(maximum or 1 << 20, 1 << 20)
            assert len(fragment) % 2 == 0
            command, body = (command + fragment, body) if control & 1 else (command, body + fragment[:64])
        wire.send(data(response(wire.message_id(command))))
        wire.read()
        wire.send(RELEASE_RP)

    with raw_peer(script) as port:
        file = CT if maximum in (70, 127) else large
        assert [each.status for each in sent(peer(port), outgoing(file))] == [0]
    assert original.Rows == 4096


def test_a_peer_that_takes_next_to_nothing_needs_a_person():
    def script(wire):
        wire.accept(maximum=12)
        wire.read()

    with raw_peer(script) as port, pytest.raises(Refused, match="no object fits"):
        sent(peer(port), outgoing(CT))


def test_a_syntax_that_was_not_proposed_is_not_used():
    def script(wire):
        wire.accept(result=4)
        wire.read()
        wire.send(RELEASE_RP)

    with raw_peer(script) as port:
        assert [each.final for each in sent(peer(port), outgoing(CT))] == [True]


def test_whoever_waits_is_asked_meanwhile_and_may_end_it():
    asked = []

    def idle():
        asked.append(threading.current_thread())
        raise KeyError("taken over")

    def script(wire):
        wire.accept()
        wire.message()
        assert wire.read()[0] == 0x07

    with raw_peer(script) as port, pytest.raises(KeyError):
        sent(peer(port, dimse_timeout=5), outgoing(CT), idle=idle)

    assert asked == [threading.current_thread()]


def test_memory_stays_flat_whatever_the_size_of_an_object(large):
    megabytes = 512
    made = make(large, [])
    size = made.size + ((megabytes - 32) << 20)
    os.truncate(large, large.stat().st_size + ((megabytes - 32) << 20))  # nobody looks at the end of it
    big = replace(made, size=size, tail_end=made.tail_end + size - made.size)
    got = []

    def script(wire):
        wire.accept(maximum=0)
        pieces = wire.fragments()
        _, command = next(pieces)
        got.append(sum(len(fragment) for _, fragment in pieces))
        wire.send(data(response(wire.message_id(command))))
        wire.read()
        wire.send(RELEASE_RP)

    Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory counts from here
    before = resident("VmRSS")
    with raw_peer(script) as port:
        assert [each.status for each in sent(peer(port), outgoing(large, made=lambda: big))] == [0]

    assert got == [size - made.dataset_offset]
    assert resident("VmHWM") - before < 24 << 20


def resident(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) << 10
