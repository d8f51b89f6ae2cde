"""Frames are found however the bytes are cut, and none of them costs more memory than it may."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.hl7.mllp import UNENDED, Decoder, Frame, framed

BODY = st.binary(max_size=40).map(lambda raw: b"MSH|" + raw.replace(b"\x1c", b"").replace(b"\x0b", b""))
GARBAGE = st.binary(max_size=10).map(lambda raw: raw.replace(b"\x0b", b""))


def fed(stream: bytes, *cuts: int, largest: int = 1 << 20) -> list[Frame]:
    decoder = Decoder(largest)
    at = [0, *sorted(cuts), len(stream)]
    return [frame for start, end in pairwise(at) for frame in decoder.feed(stream[start:end])]


@given(st.lists(st.tuples(GARBAGE, BODY), max_size=5), st.lists(st.integers(0, 300), max_size=8))
def test_messages_come_out_whole_however_the_stream_is_cut(messages, cuts):
    stream = b"".join(garbage + framed(body) for garbage, body in messages)

    assert fed(stream, *(min(cut, len(stream)) for cut in cuts)) == [Frame(body) for _, body in messages]


def test_one_byte_at_a_time_is_enough():
    stream = framed(b"MSH|1") + b"\n" + framed(b"MSH|2")

    assert fed(stream, *range(len(stream))) == [Frame(b"MSH|1"), Frame(b"MSH|2")]


@pytest.mark.parametrize("end", [b"\x1c", b"\x1c\n", b"\x1c\r\n", b"\x1c\x1c\r"])
def test_an_end_block_without_its_cr_is_an_end(end):
    assert fed(b"\x0bMSH|1" + end + framed(b"MSH|2")) == [Frame(b"MSH|1"), Frame(b"MSH|2")]


@pytest.mark.parametrize("cut", range(8, 14))
def test_a_message_without_an_end_is_refused_when_the_next_one_begins(cut):
    stream = b"\x0bMSH|unended\r" + framed(b"MSH|2")

    assert fed(stream, cut) == [Frame(b"MSH|unended\r", UNENDED), Frame(b"MSH|2")]


def test_a_beginning_that_is_sent_twice_begins_one_message():
    assert fed(b"\x0b\x0bMSH|1\x1c\r") == [Frame(b"MSH|1")]


def test_a_vertical_tab_in_a_text_begins_nothing():
    assert fed(framed(b"MSH|1\rNTE|||a\x0bb")) == [Frame(b"MSH|1\rNTE|||a\x0bb")]


def test_what_never_ended_is_what_is_left():
    decoder = Decoder()
    decoder.feed(framed(b"MSH|1") + b"\x0bMSH|2")

    assert decoder.rest() == Frame(b"MSH|2", UNENDED)
    assert decoder.rest() is None


@pytest.mark.parametrize("piece", [1, 7, 1000, 5000])
def test_a_message_that_is_too_long_is_known_by_its_head_and_the_next_one_comes(piece):
    stream = framed(b"MSH|" + b"x" * 3000) + framed(b"MSH|2")
    first, second = fed(stream, *range(0, len(stream), piece), largest=1000)

    assert first == Frame(b"MSH|" + b"x" * 996, "The message is larger than 1,000 bytes.")
    assert second == Frame(b"MSH|2")


def test_a_message_of_just_the_size_is_taken():
    assert fed(framed(b"M" * 1000), largest=1000) == [Frame(b"M" * 1000)]
    assert fed(framed(b"M" * 1001), largest=1000)[0].problem


@pytest.mark.parametrize("start", [b"\x0bMSH|", b""])
def test_memory_is_capped_whatever_comes(start):
    """100 MB of one message, or of no message at all."""
    decoder, piece = Decoder(1 << 20), b"x" * (1 << 16)
    tracemalloc.start()
    try:
        decoder.feed(start)
        for _ in range(1600):
            assert decoder.feed(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 << 20
