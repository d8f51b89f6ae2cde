"""A message cut into P-DATA-TF PDUs (PS3.8 9.3.5 and annex E): commands, and objects that stay in their file.

An object passes through one piece of memory that is used again and again, so that memory stays flat whatever its size.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

P_DATA_TF = 0x04
COMMAND, LAST = 0x01, 0x02  # the bits of a message control header (PS3.8 E.2)
HEADROOM = 16 << 10  # bytes for the heads of PDUs, and for a command
PDU_MAXIMUM = 1 << 20  # bytes after the head of a PDU that we send at once, also to a peer that takes any length
ROOM = PDU_MAXIMUM + HEADROOM  # bytes: the longest PDU, and a command before it
AT_ONCE = (256 << 10) + HEADROOM  # bytes that are sent in one call: few enough to stay near the processor
SPANS_MAXIMUM = 1000  # that one call can read into (IOV_MAX is 1,024)

HEAD = struct.Struct(">BBIIBB")  # of a PDU with one presentation data value in it: type, 0, lengths, context, control
VALUE = struct.Struct(">IBB")  # of a presentation data value: length, context, control
ELEMENT = struct.Struct("<HHI")
OVERHEAD = VALUE.size  # bytes of the maximum length that hold no data
SMALLEST = 64  # bytes of a message in a PDU; a peer that takes less cannot be meant

TEXTS = {0x0002, 0x0003, 0x1000, 0x1001}  # elements of commands that hold a UID
NO_DATA_SET = 0x0101


class Nonsense(ValueError):
    """The bytes are not what PS3.8 says."""


class Body(NamedTuple):
    """A data set: first these bytes, then those of a file from an offset on; `length` counts both.

    No fragment may be odd (PS3.8 9.3.1): after an odd length goes a zero.
    """

    head: memoryview
    fileno: int
    offset: int
    length: int


def payload(maximum: int) -> int:
    """How many bytes of a message go into one PDU for a peer with this maximum length (0: any). Even, as it must be."""
    return (min(maximum or PDU_MAXIMUM, PDU_MAXIMUM) - OVERHEAD) & ~1


def command(elements: dict[int, int | str]) -> bytes:
    """A command set in Implicit VR Little Endian (PS3.7 6.3.1), elements of group 0000 by number."""
    values = {
        number: each if isinstance(each, str) else each.to_bytes(2, "little") for number, each in elements.items()
    }
    raw = b"".join(_element(number, value) for number, value in sorted(values.items()))
    return _element(0x0000, len(raw).to_bytes(4, "little")) + raw


def _element(number: int, value: bytes | str) -> bytes:
    raw = value.encode("ascii") if isinstance(value, str) else value
    raw += b"\0" * (len(raw) % 2)
    return ELEMENT.pack(0, number, len(raw)) + raw


def read_command(raw: bytes) -> dict[int, int | bytes]:
    """The elements of a command set by number, those of two bytes as numbers. Raises Nonsense."""
    found, position = {}, 0
    while position < len(raw):
        if position + ELEMENT.size > len(raw):
            raise Nonsense("a command that is cut off")
        group, number, length = ELEMENT.unpack_from(raw, position)
        position += ELEMENT.size
        if group or position + length > len(raw):
            raise Nonsense("a command that is none")
        value = raw[position : position + length]
        found[number] = int.from_bytes(value, "little") if length == 2 and number not in TEXTS else value
        position += length
    return found


def values(raw: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """The presentation data values of one P-DATA-TF: context, control, fragment. Raises Nonsense."""
    position = 0
    while position < len(raw):
        if position + VALUE.size > len(raw):
            raise Nonsense("a PDU that is cut off")
        length, context, control = VALUE.unpack_from(raw, position)
        end = position + 4 + length
        if length < 2 or end > len(raw):
            raise Nonsense("a PDU that does not have the length that it claims")
        yield context, control, bytes(raw[position + VALUE.size : end])
        position = end


def batches(memory: memoryview, most: int, context: int, raw: bytes, body: Body | None = None) -> Iterator[memoryview]:
    """PDUs of at most `most` bytes of message each, as filled pieces of `memory`; a piece holds until the next one."""
    end = 0
    for start in range(0, len(raw), most):
        piece = raw[start : start + most]
        control = COMMAND | LAST * (start + most >= len(raw))
        end = _put(memory, end, context, control, len(piece))
        memory[end - len(piece) : end] = piece
    if body is None:
        yield memory[:end]
        return
    done, spans, offset, length = 0, [], body.offset, body.length + body.length % 2
    while done < length:
        size = min(most, length - done)
        if end and (end + HEAD.size + size > AT_ONCE or len(spans) >= SPANS_MAXIMUM):
            offset += _fill(spans, body.fileno, offset)
            yield memory[:end]
            end, spans = 0, []
        end = _put(memory, end, context, LAST * (done + size == length), size)
        here = body.head[done : done + size]
        memory[end - size : end - size + len(here)] = here
        done += size
        last = end - (done > body.length)
        memory[last:end] = bytes(end - last)
        if end - size + len(here) < last:
            spans.append(memory[end - size + len(here) : last])
    _fill(spans, body.fileno, offset)
    yield memory[:end]


def _put(memory: memoryview, position: int, context: int, control: int, size: int) -> int:
    """Write what stands before so many bytes of message; gives the place behind them."""
    HEAD.pack_into(memory, position, P_DATA_TF, 0, size + OVERHEAD, size + 2, context, control)
    return position + HEAD.size + size


def _fill(spans: list[memoryview], fileno: int, offset: int) -> int:
    """Read a file from an offset into the gaps between headers; gives how many bytes that were."""
    wanted, done = sum(map(len, spans)), 0
    while done < wanted:
        count = os.preadv(fileno, spans, offset + done)
        if not count:
            raise OSError("The original became shorter while it was sent.")
        done += count
        while spans and count >= len(spans[0]):
            count -= len(spans.pop(0))
        if count:
            spans[0] = spans[0][count:]
    return wanted
