"""Where the top-level elements of a file lie: one quick pass over their headers, reading as little as that needs.

Common objects are followed in one tight loop over the first bytes of the file. Whatever it does not know goes to
`elements.walk`, over the whole file mapped, whose word is final.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import lt
from pathlib import Path

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pydicom.uid import ExplicitVRLittleEndian as Explicit
from pydicom.uid import ImplicitVRLittleEndian as Implicit

from reconciliation.dicom.elements import (
    CUT_OFF,
    FILE_META,
    HEADERS,
    KNOWN,
    LENGTHS,
    LONG,
    PIXEL_DATA,
    TAGGED,
    TRANSFER_SYNTAX_UID,
    UNDEFINED,
    Element,
    Encoding,
    Malformed,
    element_at,
    header_at,
    is_sound,
)

REACH = 64 << 10  # bytes that are read first; most headers are shorter
INFLATED_MAXIMUM = 256 << 20  # bytes; a deflated data set is edited in memory
WINDOW = 4 << 10  # bytes that are read behind Pixel Data
NEVER_READ = {PIXEL_DATA, 0xFFFCFFFC}  # and Data Set Trailing Padding: found, but no edit reads what they hold
SHORT = KNOWN - LONG


class Source:
    """An original, opened. `data` begins as the file does and holds all that an edit reads: all of the file, mapped,
    or its first bytes where only Pixel Data goes on behind them; of a deflated file, the data set inflated."""

    def __init__(self, fileno: int, data, size: int) -> None:
        """`size` is that of the file. Raises Malformed, and struct.error where `data` does not reach far enough."""
        self.fileno, self.size = fileno, size
        self.meta, start = _file_meta(data, 132 if data[128:132] == b"DICM" else 0, size)
        value = self.meta.get(TRANSFER_SYNTAX_UID, b"")
        self.syntax = value.rstrip(b"\0 ").decode("latin-1") or str(_guessed(data, start))
        self.deflated = self.syntax == DeflatedExplicitVRLittleEndian
        self.data, self.start, stop = data, start, size
        if self.deflated:
            if len(data) < size:
                raise struct.error
            self.data, self.start = _inflated(data[start:]), 0
            stop = len(self.data)
        self.encoding = Encoding(implicit=self.syntax == Implicit, little=self.syntax != ExplicitVRBigEndian)
        _refuse_another_encoding(self.data, self.start, self.encoding, self.syntax)
        self.tags, self.starts = self._outline(stop)
        self.ordered = all(map(lt, self.tags, self.tags[1:]))
        self.end = stop  # of `data`, or of the file that it begins

    def _outline(self, stop: int) -> tuple[list[int], list[int]]:
        """Tags, and where their elements start: one place more, for the end of the last. To the end of the file, Pixel
        Data included: a late Patient ID must not slip through, nor an object that is cut off."""
        follow = _implicit if self.encoding.implicit else _explicit
        tags, starts = follow(self.data, self.start, stop, self.encoding)
        while len(self.data) < starts[-1] < stop and tags[-1] in NEVER_READ:
            more, position = os.pread(self.fileno, WINDOW, starts[-1]), starts[-1]
            tags_there, starts_there = follow(more, 0, stop - position, self.encoding)
            if not tags_there:
                break
            tags += tags_there
            starts += [position + start for start in starts_there[1:]]
        if starts[-1] == stop and min(tags) >> 16 and (len(self.data) == stop or self._is_read(tags, starts)):
            return tags, starts
        if len(self.data) < stop:
            raise struct.error
        elements = _top_level(self.data, self.start, stop, self.encoding)
        return [element.tag for element in elements], [*(element.start for element in elements), elements[-1].end]

    def _is_read(self, tags: list[int], starts: list[int]) -> bool:
        beyond = bisect_right(starts, len(self.data)) - 1
        return NEVER_READ.issuperset(tags[beyond:])

    def spans(self, tag: int) -> list[tuple[int, int]]:
        """Where the elements of this tag start and end; more than one only in an object against the standard."""
        tags, starts = self.tags, self.starts
        if self.ordered:
            index = bisect_left(tags, tag)
            return [(starts[index], starts[index + 1])] if index < len(tags) and tags[index] == tag else []
        return [(starts[index], starts[index + 1]) for index, each in enumerate(tags) if each == tag]

    def place(self, tag: int) -> int:
        """Where an element of this tag belongs: before the first one of a higher tag, or of the same."""
        if self.ordered:
            return self.starts[bisect_left(self.tags, tag)]
        later = (start for each, start in zip(self.tags, self.starts, strict=False) if each >= tag)
        return next(later, self.starts[-1])

    def raw(self, tag: int) -> bytes:
        """The whole element, the last one where there are more; nothing where there is none."""
        spans = self.spans(tag)
        return self.data[slice(*spans[-1])] if spans else b""

    def raws(self, tags: Sequence[int]) -> tuple[tuple[int, bytes], ...]:
        """Tag and whole element of those that are there."""
        if not self.ordered:
            return tuple((tag, raw) for tag in tags if (raw := self.raw(tag)))
        found, here, starts, data, last = [], self.tags, self.starts, self.data, self.tags[-1]
        for tag in tags:
            if tag <= last and here[index := bisect_left(here, tag)] == tag:
                found.append((tag, data[starts[index] : starts[index + 1]]))
        return tuple(found)

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        found = zip(self.starts, self.starts[1:], self.tags, strict=False)
        return tuple(_element(self.data, *each, self.encoding) for each in found)


@contextmanager
def opened(path: Path, *, reach: int = REACH) -> Iterator[Source]:
    """Find the elements of an original; `reach` bytes of it are read at once. Raises Malformed for bytes that cannot
    be followed to their end."""
    fileno = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fileno).st_size
        if not size:
            raise Malformed("The object is empty: ask the sender for it again.")
        if source := _of_first_bytes(fileno, reach, size):
            yield source
        else:
            with mmap.mmap(fileno, 0, access=mmap.ACCESS_READ) as data:
                yield Source(fileno, data, size)
    finally:
        os.close(fileno)


def _of_first_bytes(fileno: int, reach: int, size: int) -> Source | None:
    try:
        return Source(fileno, os.pread(fileno, min(reach, size), 0), size)
    except struct.error:  # they do not suffice
        return None


def is_sound_file(path: Path) -> bool:
    """Whether the sequences and items of a file, at all depths, fill exactly the room that they claim."""
    try:
        with opened(path) as source:
            return all(is_sound(source.data, element, source.encoding) for element in source.elements)
    except (Malformed, RecursionError):
        return False


def _file_meta(data, position: int, size: int) -> tuple[dict[int, bytes], int]:
    """Group 0002 by tag, and the offset of the data set. Its group length is not trusted."""
    meta = {}
    while data[position : position + 2] == b"\x02\x00":
        tag, _, value, length = header_at(data, position, size, FILE_META)
        position = value + length
        if position > size:
            raise Malformed(CUT_OFF)
        meta[tag] = data[value:position]
    if position + 8 > len(data):
        raise Malformed(CUT_OFF) if len(data) == size else struct.error
    return meta, position


def _guessed(data, start: int) -> UID:
    """The transfer syntax of a file that does not tell, by its first element (the rule of pydicom)."""
    if data[start + 4 : start + 6] not in KNOWN:
        return Implicit
    # Groups stay below 0x0400 at the start of a data set: a larger one is read in the wrong order of bytes.
    return ExplicitVRBigEndian if int.from_bytes(data[start : start + 2], "little") >= 0x0400 else Explicit


def _refuse_another_encoding(data, start: int, encoding: Encoding, syntax: str) -> None:
    vr = data[start + 4 : start + 6]
    capitals = len(vr) == 2 and all(0x41 <= byte <= 0x5A for byte in vr)
    if len(vr) == 2 and capitals == encoding.implicit:
        found = "explicit" if capitals else "implicit"
        raise Malformed(f"The object says that it is written in {UID(syntax).name}, but it is in {found} VR.")


def _inflated(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, INFLATED_MAXIMUM)
    except zlib.error as error:
        raise Malformed("The compressed data set of the object is damaged: ask the sender for it again.") from error
    if not inflater.eof:
        more = f"more than {INFLATED_MAXIMUM >> 20} MiB" if len(data) == INFLATED_MAXIMUM else "no proper end"
        raise Malformed(f"The compressed data set of the object has {more}: it is not taken for a real one.")
    return data


# --- the top level ---------------------------------------------------------------------------------------------------


def _explicit(data, position: int, stop: int, encoding: Encoding) -> tuple[list[int], list[int]]:
    """The loop that nearly every object runs through, as far as `data` reaches and nothing is out of the ordinary."""
    unpack, longer = HEADERS[encoding.order].unpack_from, LENGTHS[encoding.order].unpack_from
    short, long, tags, starts = SHORT, LONG, [], [position]
    try:
        while position < stop:
            group, number, vr, length = unpack(data, position)
            if vr in short:
                position += 8 + length
            elif vr not in long:
                break
            else:
                (length,) = longer(data, position + 8)
                position = position + 12 + length if length != UNDEFINED else _after(data, position, stop, encoding)
            tags.append(group << 16 | number)
            starts.append(position)
    except struct.error:
        pass
    return tags, starts


def _implicit(data, position: int, stop: int, encoding: Encoding) -> tuple[list[int], list[int]]:
    unpack, tags, starts = TAGGED[encoding.order].unpack_from, [], [position]
    try:
        while position < stop:
            group, number, length = unpack(data, position)
            position = position + 8 + length if length != UNDEFINED else _after(data, position, stop, encoding)
            tags.append(group << 16 | number)
            starts.append(position)
    except struct.error:
        pass
    return tags, starts


def _after(data, position: int, stop: int, encoding: Encoding) -> int:
    return element_at(data, position, stop, encoding).end


def _top_level(data, start: int, stop: int, encoding: Encoding) -> list[Element]:
    found, position = [], start
    while position + 8 <= stop:
        if found and data[position : position + 8] == bytes(8):
            break  # zeros after the last element: the padding of some writers
        element = element_at(data, position, stop, encoding)
        if not element.tag >> 16:
            raise Malformed("The object holds elements of a network command where its data set should be.")
        found.append(element)
        position = element.end
    if not found:
        raise Malformed("The object has no data set: ask the sender for it again.")
    return found


def _element(data, start: int, end: int, tag: int, encoding: Encoding) -> Element:
    if start + 12 > len(data) and tag in NEVER_READ:
        return Element(tag, "", start, end, end, False)
    tag, vr, value, length = header_at(data, start, end, encoding)
    return Element(tag, vr, start, value, end, length == UNDEFINED)
