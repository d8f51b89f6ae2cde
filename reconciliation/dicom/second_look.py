"""The header of an original and the one that was made of it, cut into elements by code of its own (PS3.5 chapter 7).

It is short, knows common objects only, and shares nothing with `elements` and `outline`, so that a mistake in them is
seen. What it does not know is None: then pydicom looks at the whole object.
"""

from __future__ import annotations

import os
import struct
from functools import cache
from typing import NamedTuple

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

FIRST, MOST = 64 << 10, 4 << 20  # bytes of an original: read at once, and read at all
WIDE = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
NARROW = frozenset(vr.value.encode() for vr in VR if len(vr.value) == 2) - WIDE
UNDEFINED = 0xFFFFFFFF
DEEPEST = 32


class Strange(Exception):
    """Not an object that this module knows."""


class Order(NamedTuple):
    """How numbers are written, and whether VRs are."""

    implicit: bool
    header: struct.Struct
    length: struct.Struct
    tag: struct.Struct


@cache
def order_of(syntax: str) -> Order:
    mark = ">" if syntax == ExplicitVRBigEndian else "<"
    implicit = syntax == ImplicitVRLittleEndian
    return Order(implicit, *(struct.Struct(mark + form) for form in ("4s2sH", "I", "HH")))


class Pair(NamedTuple):
    """Two headers: whole elements by the bytes of their tag."""

    syntax: str
    order: Order
    before: dict[bytes, bytes]
    after: dict[bytes, bytes]

    def differing(self) -> set[int]:
        """Every tag whose element is not the same in both."""
        before, after = self.before, self.after
        tags = {tag for tag, raw in before.items() if after.get(tag) != raw}
        tags.update(after.keys() - before.keys())
        return {group << 16 | number for group, number in map(self.order.tag.unpack, tags)}

    def both(self, tag: int) -> tuple[bytes | None, bytes | None]:
        name = self.order.tag.pack(*divmod(tag, 0x10000))
        return self.before.get(name), self.after.get(name)


def pair(fileno: int, size: int, made) -> Pair | None:
    """Both headers, as far as the made one goes, of `edit.Made` and the original that is open."""
    if made.foot or made.tail_end != size or made.tail_offset > MOST:
        return None
    try:
        data = os.pread(fileno, max(FIRST, made.tail_offset + 4096), 0)
        syntax, start = _file_meta(data, size)
        order = order_of(syntax)
        before = _cut(data, start, made.tail_offset, order)
        after = _cut(made.head, made.dataset_offset, len(made.head), order)
        _refuse_late(data, made.tail_offset, size, order, before.keys() | after.keys())
        _refuse_other_meta(made, syntax, after, order)
    except (Strange, struct.error, RecursionError):
        return None
    return Pair(syntax, order, before, after)


def _cut(data: bytes, position: int, stop: int, order: Order) -> dict[bytes, bytes]:
    """The elements from here to exactly there, each tag once."""
    found, count, implicit, narrow = {}, 0, order.implicit, NARROW
    header_of, length_of = order.header.unpack_from, order.length.unpack_from
    while position < stop:
        tag, vr, short = header_of(data, position)
        start, count = position, count + 1
        if vr in narrow and not implicit:
            position += 8 + short
        else:
            if not implicit and vr not in WIDE:
                raise Strange
            value = position + (8 if implicit else 12)
            (length,) = length_of(data, value - 4)
            position = value + length if length != UNDEFINED else _after_items(data, value, stop, order, vr, 0)
        found[tag] = data[start:position]
    if position != stop or count != len(found):
        raise Strange
    return found


def _after_items(data: bytes, position: int, stop: int, order: Order, vr: bytes, depth: int) -> int:
    """Behind a sequence of undefined length, or behind encapsulated pixels."""
    if vr == b"UN" or depth > DEEPEST:
        raise Strange
    while position < stop:
        group, number = order.tag.unpack_from(data, position)
        (length,) = order.length.unpack_from(data, position + 4)
        position += 8
        if (group, number) == (0xFFFE, 0xE0DD):
            return position
        if (group, number) != (0xFFFE, 0xE000):
            raise Strange
        position = position + length if length != UNDEFINED else _after_item(data, position, stop, order, depth + 1)
    raise Strange


def _after_item(data: bytes, position: int, stop: int, order: Order, depth: int) -> int:
    while position < stop:
        if order.tag.unpack_from(data, position) == (0xFFFE, 0xE00D):
            return position + 8
        _, vr, short = order.header.unpack_from(data, position)
        if not order.implicit and vr in NARROW:
            position += 8 + short
            continue
        if not order.implicit and vr not in WIDE:
            raise Strange
        value = position + (8 if order.implicit else 12)
        (length,) = order.length.unpack_from(data, value - 4)
        position = value + length if length != UNDEFINED else _after_items(data, value, stop, order, vr, depth)
    raise Strange


def _refuse_late(data: bytes, position: int, size: int, order: Order, known) -> None:
    """The tail must go on in the order of tags to the end of the file: nothing of the head comes again in it."""
    last = max((order.tag.unpack(tag) for tag in known), default=(0, 0))
    while position < size:
        tag, vr, short = order.header.unpack_from(data, position)
        if (here := order.tag.unpack(tag)) <= last:
            raise Strange
        if here >= (0x7FE0, 0x0008):
            return
        last, value = here, position + 8
        if order.implicit or vr not in NARROW:
            value = position + (8 if order.implicit else 12)
            (short,) = order.length.unpack_from(data, value - 4)
        position = value + short if short != UNDEFINED else _after_items(data, value, size, order, vr, 0)


def _file_meta(data: bytes, size: int) -> tuple[str, int]:
    """The transfer syntax of an original, and where its data set begins."""
    if data[128:132] != b"DICM":
        raise Strange
    found, position = {}, 132
    order = order_of("")
    while data[position : position + 2] == b"\x02\x00":
        tag, vr, length = order.header.unpack_from(data, position)
        value = position + (8 if vr in NARROW else 12)
        if vr not in NARROW:
            (length,) = order.length.unpack_from(data, value - 4)
        position = value + length
        found[tag] = data[value:position]
    syntax = found.get(b"\x02\x00\x10\x00", b"").rstrip(b"\0 ").decode("latin-1")
    if not syntax or syntax == DeflatedExplicitVRLittleEndian or position + 8 > len(data):
        raise Strange
    return syntax, position


def _refuse_other_meta(made, syntax: str, after: dict[bytes, bytes], order: Order) -> None:
    """The file meta information must tell what the data set is."""
    if made.head[:132] != bytes(128) + b"DICM":
        raise Strange
    meta = _cut(made.head, 132, made.dataset_offset, order_of(""))
    length = meta.get(b"\x02\x00\x00\x00", b"")[8:]
    if any(tag[:2] != b"\x02\x00" for tag in meta) or length != struct.pack("<I", made.dataset_offset - 144):
        raise Strange
    names = [b"\x02\x00\x10\x00", b"\x02\x00\x02\x00", b"\x02\x00\x03\x00"]
    told = [meta.get(name, b"")[8:].rstrip(b"\0 ") for name in names]
    here = [after.get(order.tag.pack(8, number), b"")[8:].rstrip(b"\0 ") for number in (0x16, 0x18)]
    if told != [syntax.encode(), *here] or [made.TransferSyntaxUID, made.SOPInstanceUID] != [
        syntax,
        here[1].decode("latin-1"),
    ]:
        raise Strange
