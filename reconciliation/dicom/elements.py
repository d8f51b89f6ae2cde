"""The elements of a DICOM file by their place in its bytes (PS3.5 chapter 7): followed, not decoded.

Nothing is read here that is not asked for, so that whatever is not changed can be copied byte by byte.
"""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, EXPLICIT_VR_LENGTH_32, VR

from orders.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TRANSFER_SYNTAX_UID, SPECIFIC_CHARACTER_SET, PIXEL_DATA = 0x00020010, 0x00080005, 0x7FE00010
LONG = {vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32}  # a reserved field, then a length of four bytes
TEXTS = {vr.value for vr in CUSTOMIZABLE_CHARSET_VR}  # what the Specific Character Set applies to
KNOWN = {vr.value.encode() for vr in VR if len(vr.value) == 2}
DEEPEST = 64  # levels of sequences; real objects stay below ten

CUT_OFF = "The object is cut off, or its structure cannot be followed: ask the sender for it again."

HEADERS = {"<": struct.Struct("<HH2sH"), ">": struct.Struct(">HH2sH")}
TAGGED = {"<": struct.Struct("<HHI"), ">": struct.Struct(">HHI")}
# What pydicom raises on bytes that are not what their element says.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OSError, EOFError)
UNREADABLE += (BytesLengthException, struct.error, RecursionError)
LENGTHS = {"<": struct.Struct("<I"), ">": struct.Struct(">I")}


def name_of(tag: int) -> str:
    """What the standard calls an element, for sentences."""
    return dictionary_description(tag) if dictionary_has_tag(tag) else f"The private element {BaseTag(tag)}"


class Malformed(ValueError):
    """The bytes are not what DICOM says; str() is a sentence for staff."""


class Encoding(NamedTuple):
    implicit: bool
    little: bool

    @property
    def order(self) -> str:
        return "<" if self.little else ">"

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """The bytes before a value of this length; raises Malformed where the VR cannot hold so much."""
        group, number = divmod(tag, 0x10000)
        if self.implicit or tag in (ITEM, ITEM_END, SEQUENCE_END):
            return TAGGED[self.order].pack(group, number, length)
        if vr.encode() in LONG:
            return HEADERS[self.order].pack(group, number, vr.encode(), 0) + LENGTHS[self.order].pack(length)
        if length > 0xFFFF:
            raise Malformed(f"A value of {length} bytes does not fit into an element of kind {vr}.")
        return HEADERS[self.order].pack(group, number, vr.encode(), length)

    def value(self, raw: bytes) -> bytes:
        """The value in the bytes of one element, without padding; of a sequence without items, nothing."""
        if not raw:
            return b""
        element = element_at(raw, 0, len(raw), self)
        return raw[element.value : element.end - 8 * element.undefined].rstrip(b"\0 ")


FILE_META = Encoding(implicit=False, little=True)  # PS3.10 7.1, whatever the data set is written in


class Element(NamedTuple):
    """Offsets: `start` of the tag, `value` of its first byte, `end` after the last one, a delimiter included."""

    tag: int
    vr: str  # "" where the encoding is implicit
    start: int
    value: int
    end: int
    undefined: bool


class Item(NamedTuple):
    """Offsets: `start` and `end` of what the item holds, `after` its delimiter."""

    start: int
    end: int
    after: int


def walk(data, start: int, stop: int, encoding: Encoding, *, depth: int = 0) -> Iterator[Element]:
    """The elements of one level in the order of the bytes; the end of an item ends it. Raises Malformed."""
    position = start
    while position < stop:
        element = element_at(data, position, stop, encoding, depth=depth)
        if element.tag == ITEM_END:
            return
        yield element
        position = element.end


def header_at(data, position: int, stop: int, encoding: Encoding) -> tuple[int, str, int, int]:
    """Tag, VR, the offset of the value and its length as it is declared."""
    if position + 8 > stop:
        raise Malformed(CUT_OFF)
    group, number, vr, length = HEADERS[encoding.order].unpack_from(data, position)
    tag, value = group << 16 | number, position + 8
    # Some writers switch to implicit VR inside sequences: no two capitals, no VR (as pydicom reads it).
    if encoding.implicit or not b"AA" <= vr <= b"ZZ":
        vr, length = b"", LENGTHS[encoding.order].unpack_from(data, position + 4)[0]
    elif vr in LONG:
        if position + 12 > stop:
            raise Malformed(CUT_OFF)
        length, value = LENGTHS[encoding.order].unpack_from(data, position + 8)[0], position + 12
    return tag, vr.decode("latin-1"), value, length


def element_at(data, position: int, stop: int, encoding: Encoding, *, depth: int = 0) -> Element:
    tag, vr, value, length = header_at(data, position, stop, encoding)
    undefined = length == UNDEFINED
    end = value + length
    if undefined:
        end = _after_items(data, value, stop, inner(data, value, vr, encoding), depth + 1)
    if end > stop:
        raise Malformed(CUT_OFF)
    return Element(tag, vr, position, value, end, undefined)


def items(data, start: int, stop: int, encoding: Encoding, *, depth: int = 0) -> Iterator[Item]:
    """The items of a sequence, or the fragments of encapsulated pixel data, whose value starts here."""
    if depth > DEEPEST:
        raise Malformed(f"The object nests its sequences deeper than {DEEPEST} levels: it is not taken for a real one.")
    position = start
    while position + 8 <= stop:
        group, number, length = TAGGED[encoding.order].unpack_from(data, position)
        tag, inside = group << 16 | number, position + 8
        if tag == SEQUENCE_END:
            return
        if tag != ITEM:
            raise Malformed(CUT_OFF)
        end = inside + length if length != UNDEFINED else _end_of_item(data, inside, stop, encoding, depth)
        position = end if length != UNDEFINED else end + 8
        if position > stop:
            raise Malformed(CUT_OFF)
        yield Item(inside, end, position)


def inner(data, value: int, vr: str, encoding: Encoding) -> Encoding:
    """How the items of this value are written: UN holds implicit VR little endian (PS3.5 6.2.2), or so it should."""
    if vr != "UN":
        return encoding
    return Encoding(implicit=True, little=data[value : value + 2] != b"\xff\xfe")


def _end_of_item(data, position: int, stop: int, encoding: Encoding, depth: int) -> int:
    for element in walk(data, position, stop, encoding, depth=depth):
        position = element.end
    if _tag_at(data, position, stop, encoding) != ITEM_END:
        raise Malformed(CUT_OFF)
    return position


def _after_items(data, position: int, stop: int, encoding: Encoding, depth: int) -> int:
    for item in items(data, position, stop, encoding, depth=depth):
        position = item.after
    if _tag_at(data, position, stop, encoding) != SEQUENCE_END:
        raise Malformed(CUT_OFF)
    return position + 8


def _tag_at(data, position: int, stop: int, encoding: Encoding) -> int:
    if position + 8 > stop:
        raise Malformed(CUT_OFF)
    group, number, _ = TAGGED[encoding.order].unpack_from(data, position)
    return group << 16 | number


def vr_of(element: Element) -> str:
    """What the value is, also where the file does not say or calls it unknown."""
    if element.vr not in ("", "UN"):
        return element.vr
    try:
        vr = dictionary_VR(element.tag)
    except KeyError:
        vr = "UN"
    return "SQ" if element.undefined and element.tag != PIXEL_DATA else vr


def as_written(element: Element, encoding: Encoding) -> Encoding:
    return Encoding(implicit=not element.vr, little=encoding.little)


def is_sound(data, element: Element, encoding: Encoding) -> bool:
    """Whether sequences and items, at all depths, fill exactly the room that they claim."""
    if vr_of(element) != "SQ":
        return True
    inside = inner(data, element.value, element.vr, as_written(element, encoding))
    position = element.value
    for item in items(data, position, element.end, inside):
        position = item.after
        if not all(is_sound(data, deeper, inside) for deeper in walk(data, item.start, item.end, inside)):
            return False
    return position == element.end - 8 * element.undefined


def file_head(sop_class: bytes, sop_instance: bytes, syntax: bytes) -> bytes:
    """Preamble and file meta information (PS3.10 7.1): ours, whatever the original came with."""
    before, after = _file_meta_around(sop_class, syntax)
    instance = _in_file_meta(0x00020003, "UI", sop_instance)
    length = struct.pack("<I", len(before) + len(instance) + len(after))
    return bytes(128) + b"DICM" + FILE_META.header(0x00020000, "UL", 4) + length + before + instance + after


@lru_cache(maxsize=64)
def _file_meta_around(sop_class: bytes, syntax: bytes) -> tuple[bytes, bytes]:
    before = [(0x00020001, "OB", b"\0\1"), (0x00020002, "UI", sop_class)]
    after = [
        (TRANSFER_SYNTAX_UID, "UI", syntax),
        (0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
        (0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode()),
    ]
    return tuple(b"".join(_in_file_meta(*each) for each in part) for part in (before, after))


def _in_file_meta(tag: int, vr: str, value: bytes) -> bytes:
    value += (b" " if vr == "SH" else b"\0") * (len(value) % 2)
    return FILE_META.header(tag, vr, len(value)) + value


# --- single elements, as pydicom reads and writes them ---------------------------------------------------------------


class Notation(NamedTuple):
    """How an object writes its elements. The few that a change touches are read and written by pydicom."""

    encoding: Encoding
    codecs: tuple[str, ...]

    def write(self, ds: Dataset) -> dict[int, bytes]:
        out = DicomBytesIO()
        out.is_implicit_VR, out.is_little_endian = self.encoding
        write_dataset(out, ds, list(self.codecs))
        raw = out.getvalue()
        return {each.tag: raw[each.start : each.end] for each in walk(raw, 0, len(raw), self.encoding)}

    def items(self, raw: bytes) -> list[Dataset]:
        """The items of a sequence, all of them decoded to the last element."""
        try:
            ds = read_dataset(io.BytesIO(raw), *self.encoding, parent_encoding=list(self.codecs))
            found = [item for element in ds for item in element.value or []]
            for item in found:
                deque(item.iterall(), maxlen=0)
            return found
        except UNREADABLE as error:
            raise Malformed(CUT_OFF) from error

    def item_bytes(self, raw: bytes) -> list[bytes]:
        """The items of a sequence, headers included; pydicom rewrites one that came as UN, whose items are implicit."""
        element = element_at(raw, 0, len(raw), self.encoding)
        if element.vr == "UN":
            ds = Dataset()
            ds.add_new(element.tag, "SQ", self.items(raw))
            return self.item_bytes(self.write(ds)[element.tag])
        spans = items(raw, element.value, element.end, self.encoding)
        return [self.item(raw[span.start : span.end]) for span in spans]

    def sequence(self, tag: int, items: Sequence[bytes]) -> bytes:
        content = b"".join(items)
        return self.encoding.header(tag, "SQ", len(content)) + content

    def wrapped(self, tag: int, raw: bytes) -> bytes:
        """A sequence whose one item holds these elements."""
        return self.sequence(tag, [self.item(raw)])

    def item(self, content: bytes) -> bytes:
        return self.encoding.header(ITEM, "", len(content)) + content

    def same(self, tag: int, one: bytes, other: bytes) -> bool:
        """Whether two elements hold the same value; an absent one is as good as an empty one."""
        values = self.encoding.value(one), self.encoding.value(other)
        if values[0] == values[1] or not all(values) or dictionary_VR(tag) != "SQ":
            return values[0] == values[1]
        return self.items(one) == self.items(other)
