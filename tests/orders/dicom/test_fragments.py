"""A message cut into PDUs: whatever the parts of the body and the peer's maximum, put together it is the same bytes."""

import struct
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orders.dicom import fragments
from orders.dicom.fragments import Body, Nonsense

REQUEST = {0x0002: "1.2.840.10008.5.1.4.1.1.2", 0x0100: 1, 0x0110: 7, 0x0700: 0, 0x0800: 1, 0x1000: "1.2.3"}


def together(pieces) -> tuple[bytes, bytes, list[int]]:
    """The command, the data set, and the lengths of the PDUs."""
    raw, parts, lengths, position = b"".join(bytes(piece) for piece in pieces), {1: b"", 0: b""}, [], 0
    while position < len(raw):
        kind, length = struct.unpack_from(">BxI", raw, position)
        assert kind == fragments.P_DATA_TF
        for _, control, fragment in fragments.values(raw[position + 6 : position + 6 + length]):
            parts[control & fragments.COMMAND] += fragment
            last = control & fragments.LAST
        lengths.append(length)
        position += 6 + length
    assert last
    return parts[1], parts[0], lengths


@given(
    maximum=st.sampled_from([0, 70, 129, 4096, 16384, 131072]),
    head=st.binary(max_size=300),
    tail=st.integers(0, 40_000),
    foot=st.binary(max_size=200),
    start=st.integers(0, 100),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_byte_is_lost_or_moved(maximum, head, tail, foot, start, tmp_path):
    content = bytes(range(251)) * 160
    (tmp_path / "file").write_bytes(content)
    memory = memoryview(bytearray(b"\xee" * fragments.ROOM))
    with open(tmp_path / "file", "rb") as file:
        body = Body(head, file.fileno(), start, start + tail, foot)
        raw, most = fragments.command(REQUEST), fragments.payload(maximum)
        command, got, lengths = together(bytes(p) for p in fragments.batches(memory, most, 1, raw, body))

    whole = head + content[start : start + tail] + foot
    assert command == raw
    assert got == whole + bytes(len(whole) % 2)
    assert max(lengths) <= (maximum or fragments.PDU_MAXIMUM)
    assert all(length % 2 == 0 for length in lengths)


def test_a_command_is_read_as_it_was_written():
    told = fragments.read_command(fragments.command(REQUEST))

    assert (told[0x0100], told[0x0110], told[0x0002]) == (1, 7, b"1.2.840.10008.5.1.4.1.1.2\0")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_command_or_nonsense(raw):
    with suppress(Nonsense):
        fragments.read_command(raw)
    with suppress(Nonsense):
        assert all(len(fragment) < len(raw) for _, _, fragment in fragments.values(raw))


def test_a_file_that_became_shorter_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"short")
    with open(tmp_path / "file", "rb") as file, pytest.raises(OSError, match="shorter"):
        list(fragments.batches(memoryview(bytearray(fragments.ROOM)), 100, 1, b"xx", Body(b"", file.fileno(), 0, 10)))
