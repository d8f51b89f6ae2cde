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
AT_ONCE = (256 << 10) + HEADROOM  # bytes of a large object that are sent in one call: they stay near the processor
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
    """A data set: bytes, then those of a file from one offset to another, then bytes again.

    No fragment may be odd (PS3.8 9.3.1): after an odd length goes a zero.
    """

    head: bytes | memoryview
    fileno: int
    start: int
    end: int
    foot: bytes = b""

    @property
    def length(self) -> int:
        return len(self.head) + self.end - self.start + len(self.foot)


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
        end = _put(memory, end, context, COMMAND | LAST * (start + most >= len(raw)), len(piece))
        memory[end - len(piece) : end] = piece
    if body is not None:
        stream, left = Stream(body), body.length + body.length % 2
        at_once = AT_ONCE if left > PDU_MAXIMUM else len(memory)
        while left:
            size = min(most, left)
            if end and (end + HEAD.size + size > at_once or len(stream.spans) >= SPANS_MAXIMUM):
                stream.fill()
                yield memory[:end]
                end = 0
            left -= size
            end = _put(memory, end, context, LAST * (not left), size)
            stream.into(memory[end - size : end])
        stream.fill()
    yield memory[:end]


class Stream:
    """The bytes of a body in their order. What lies in the file is only marked, and read by as few calls as can be."""

    def __init__(self, body: Body) -> None:
        self.body, self.position, self.offset = body, 0, body.start
        self.spans: list[memoryview] = []
        self.behind = len(body.head) + body.end - body.start

    def into(self, room: memoryview) -> None:
        """Fill the room, up to what `fill` has to do; with zeros behind the end."""
        start, self.position = self.position, self.position + len(room)
        here = self.body.head[start : self.position]
        room[: len(here)] = here
        past = max(0, self.position - max(start, self.behind))
        if past:
            known = self.body.foot[max(0, start - self.behind) : self.position - self.behind]
            room[len(room) - past :] = known + bytes(past - len(known))
        if len(here) < len(room) - past:
            self.spans.append(room[len(here) : len(room) - past])

    def fill(self) -> None:
        """Read what was marked."""
        spans, self.spans = self.spans, []
        while spans:
            count = os.preadv(self.body.fileno, spans, self.offset)
            if not count:
                raise OSError("The original became shorter while it was sent.")
            self.offset += count
            while spans and count >= len(spans[0]):
                count -= len(spans.pop(0))
            if count:
                spans[0] = spans[0][count:]


def _put(memory: memoryview, position: int, context: int, control: int, size: int) -> int:
    """Write what stands before so many bytes of message; gives the place behind them."""
    HEAD.pack_into(memory, position, P_DATA_TF, 0, size + OVERHEAD, size + 2, context, control)
    return position + HEAD.size + size
