"""Headers read for the queue: lenient about what is written, strict about whether the file is whole.

The walk goes from element to element by their lengths and never loads pixels, so that a cut is found where a parser
that only reads what it is asked for would stay silent.
"""

import mmap
import os
import re
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from pydicom import uid
from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_keyword, dictionary_VR
from pydicom.datadict import tag_for_keyword as tag_for

from policies.rules.coercion import Item, Value
from reconciliation.dicom.arrival import FIRST_GROUPS, LONG_VRS, PREAMBLE, PREFIX, VRS, Encoding, first_element, kind_of
from reconciliation.dicom.decoding import Text

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)  # integer, float, double
CHARACTER_SET, NUMBER_OF_FRAMES, PHOTOMETRIC_INTERPRETATION = 0x00080005, 0x00280008, 0x00280004
META_LENGTH, META_CLASS, META_INSTANCE, META_SYNTAX = 0x00020000, 0x00020002, 0x00020003, 0x00020010

MOST_STEPS = 2_000_000  # elements and items looked at, about three seconds
DEEPEST = 64  # sequences within sequences
LONGEST = 1 << 20  # bytes of one value
MOST_INFLATED = 128 << 20  # bytes of a deflated data set

LITTLE, IMPLICIT, BIG = Encoding(False, "<"), Encoding(True, "<"), Encoding(False, ">")
ENCODINGS = {
    uid.ImplicitVRLittleEndian: IMPLICIT,
    "1.2.840.113619.5.2": IMPLICIT,  # GE's private one: only its pixels are big endian
    uid.ExplicitVRBigEndian: BIG,
}
DEFLATED = {uid.DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
SHORT_VRS = VRS - LONG_VRS
PLAIN = {endian: struct.Struct(endian + "HH2sH") for endian in "<>"}  # tag, VR, length in explicit VR
NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
SINGLE_TEXTS = {"LT", "ST", "UT", "UR"}  # a backslash is a letter in these
TEXTS = SINGLE_TEXTS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"}
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)

AGAIN = "Copy it again, or ask for it to be sent again."
EXPORT = "Ask the sender to export it again."


class Unreadable(Exception):
    """A file that cannot become part of a study; its text says why, to the person at the desk."""


class NotDicom(Unreadable):
    """Not a DICOM file at all."""


class Directory(Unreadable):
    """The DICOMDIR of a disc: it lists objects and is none."""


@dataclass(frozen=True)
class Header:
    """What the queue knows of an object. Texts are decoded, PN as written (`family^given=ideographic`), "" when absent.

    `dataset_offset`: byte at which the data set begins (after file meta). `size`: bytes of the file.
    `problems`: sentences about what is wrong and did not stop the reading.
    """

    TransferSyntaxUID: str = ""
    SOPClassUID: str = ""
    SOPInstanceUID: str = ""
    StudyInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    PatientName: str = ""
    PatientID: str = ""
    IssuerOfPatientID: str = ""
    PatientBirthDate: str = ""
    PatientSex: str = ""
    AccessionNumber: str = ""
    StudyDate: str = ""
    StudyTime: str = ""
    StudyDescription: str = ""
    StudyID: str = ""
    ReferringPhysicianName: str = ""
    Modality: str = ""
    SeriesNumber: str = ""
    SeriesDescription: str = ""
    BodyPartExamined: str = ""
    InstanceNumber: str = ""
    NumberOfFrames: int = 0  # 0 when there are no pixels
    Rows: int = 0
    Columns: int = 0
    InstitutionName: str = ""
    Manufacturer: str = ""
    BurnedInAnnotation: str = ""
    PatientIdentityRemoved: str = ""
    LongitudinalTemporalInformationModified: str = ""
    signed: bool = field(default=False, kw_only=True)  # whether it carries digital signatures
    dataset_offset: int = field(default=0, kw_only=True)
    size: int = field(default=0, kw_only=True)
    problems: tuple[str, ...] = field(default=(), kw_only=True)


TEXT_FIELDS = {tag_for(f.name): f.name for f in fields(Header) if f.type is str and f.name != "TransferSyntaxUID"}
NUMBER_FIELDS = {tag_for(k): k for k in ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated")}
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
SIGNATURES = (0x4FFE0001, 0xFFFAFFFA)  # MAC Parameters Sequence, Digital Signatures Sequence
WANTED = {*TEXT_FIELDS, *NUMBER_FIELDS, *PIXEL_TAGS, *SIGNATURES, CHARACTER_SET, PHOTOMETRIC_INTERPRETATION}


def read(path: Path | str) -> Header:
    """Read the header of one file; raises Unreadable for any bytes that are not one whole object, OSError for the disk.

    Says "cut off" when a declared length, an unfinished sequence or too few native pixels show it.
    """
    with _opened(path) as file:
        found = file.find(WANTED)
        text = Text(file.bytes_of(found.get(CHARACTER_SET)), file.problem)
        numbers = {name: _number(file, found.get(tag)) for tag, name in NUMBER_FIELDS.items()}
        texts = {name: text.decode(file.bytes_of(found.get(tag)), name) for tag, name in TEXT_FIELDS.items()}
        has_pixels = _check_pixels(file, found, numbers)
        _check_identity(texts, file)
        return Header(
            TransferSyntaxUID=file.syntax,
            **texts,
            NumberOfFrames=max(1, numbers["NumberOfFrames"]) if has_pixels else 0,
            Rows=numbers["Rows"],
            Columns=numbers["Columns"],
            signed=not found.keys().isdisjoint(SIGNATURES),
            dataset_offset=file.offset,
            size=file.size,
            problems=tuple(file.problems),
        )


def attributes(path: Path | str, keywords: tuple[str, ...]) -> dict[str, Value]:
    """The named top-level attributes: text, a list of texts, or a list of items; absent ones are left out.

    A present but empty one is "" or, for a sequence, []. Binary values are left out. Raises as `read` does.
    """
    tags = [tag for keyword in keywords if (tag := tag_for(keyword)) is not None]
    with _opened(path) as file:
        found = file.find({*tags, CHARACTER_SET})
        text = Text(file.bytes_of(found.get(CHARACTER_SET)), file.problem)
        return _named(file, [found[tag] for tag in tags if tag in found], text)


# --- whether it is whole ---------------------------------------------------------------------------------------------


def _cut(where: str) -> Unreadable:
    return Unreadable(f"This file is cut off or damaged: it ends in the middle of {where}. {AGAIN}")


def _called(tag: int) -> str:
    if dictionary_has_tag(tag):
        return f"the {dictionary_description(tag)}"
    return f"element ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _check_pixels(file: "_File", found: dict[int, "_Element"], numbers: dict[str, int]) -> bool:
    """Native pixels must be as many as the header says (PS3.5 8.1.1); encapsulated ones were walked to their end."""
    pixels = next((found[tag] for tag in PIXEL_TAGS if tag in found), None)
    if pixels is None:
        if numbers["Rows"] and numbers["Columns"]:
            file.problem("The object describes an image and holds no pixels; it may be cut off.")
        return False
    if not pixels.undefined:
        bits = numbers["Rows"] * numbers["Columns"] * max(1, numbers["SamplesPerPixel"]) * numbers["BitsAllocated"]
        expected = (bits * max(1, numbers["NumberOfFrames"]) + 7) // 8
        if file.bytes_of(found.get(PHOTOMETRIC_INTERPRETATION)).startswith(b"YBR_FULL_422"):
            expected = expected * 2 // 3  # PS3.3 C.7.6.3.1.2: two of three samples are kept
        if pixels.length < expected:
            sizes = f"its pixels have {pixels.length} bytes and its header promises {expected}"
            raise Unreadable(f"This image is cut off: {sizes}. {AGAIN}")
    return True


def _check_identity(texts: dict[str, str], file: "_File") -> None:
    for keyword in REQUIRED:
        if not texts[keyword]:
            raise Unreadable(f"This object has no {dictionary_description(keyword)} and cannot be filed. {EXPORT}")
        if len(texts[keyword]) > 64 or not UID.fullmatch(texts[keyword]):
            file.problem(f"The {dictionary_description(keyword)} breaks the rules for UIDs; an archive may refuse it.")
    for tag, keyword in ((META_CLASS, "SOPClassUID"), (META_INSTANCE, "SOPInstanceUID")):
        if file.meta.get(tag, texts[keyword]) != texts[keyword]:
            file.problem(f"The file and the object in it name a different {dictionary_description(keyword)}.")


# --- from bytes to values --------------------------------------------------------------------------------------------


def _number(file: "_File", element: "_Element | None") -> int:
    """US, UL or IS as a number; 0 for what is absent or is none."""
    raw = file.bytes_of(element)
    if element and element.tag != NUMBER_OF_FRAMES and len(raw) in (2, 4):
        return struct.unpack(element.encoding.endian + "HI"[len(raw) // 4], raw)[0]
    digits = raw.strip(b" \0+")
    return int(digits) if digits.isdigit() and len(digits) <= 12 else 0


def _named(file: "_File", elements: list["_Element"], text: Text, depth: int = 0) -> Item:
    """Elements of one level by keyword; private, unknown and binary ones are left out."""
    named = {}
    for element in elements:
        keyword = dictionary_keyword(element.tag) if dictionary_has_tag(element.tag) else ""
        value = _value(file, element, text, depth) if keyword else None
        if value is not None:
            named[keyword] = value
    return named


def _value(file: "_File", element: "_Element", text: Text, depth: int) -> Value:
    vr = element.vr.decode("latin_1")
    if vr in ("", "UN"):
        vr = dictionary_VR(element.tag)[:2]  # "US or SS" and the like: the first
    raw = b"" if vr == "SQ" else file.bytes_of(element)
    if vr == "SQ":
        return [_item(file, content, text, depth) for content in file.items(element)] if depth < DEEPEST else []
    if vr in SINGLE_TEXTS:
        return text.decode(raw)
    if vr in TEXTS:
        values = [value.strip(" \0") for value in text.decode(raw).split("\\")]
        return values if len(values) > 1 else values[0]
    if vr in NUMBERS:
        size = struct.calcsize(NUMBERS[vr])
        count = len(raw) // size
        values = [str(n) for n in struct.unpack(f"{element.encoding.endian}{count}{NUMBERS[vr]}", raw[: count * size])]
        return values if count > 1 else "".join(values)
    return None


def _item(file: "_File", elements: list["_Element"], text: Text, depth: int) -> Item:
    for element in elements:
        if element.tag == CHARACTER_SET:  # PS3.5 6.1.2.4: an item may have a character set of its own
            text = Text(file.bytes_of(element), file.problem)
    return _named(file, elements, text, depth + 1)


# --- from element to element -----------------------------------------------------------------------------------------


class _Element(NamedTuple):
    tag: int
    vr: bytes  # b"" in implicit VR
    start: int  # of its value
    length: int  # declared, in bytes; UNDEFINED for one that ends by a delimiter
    end: int  # where the next one begins
    encoding: Encoding

    @property
    def undefined(self) -> bool:
        return self.length == UNDEFINED


class _File:
    """The bytes of one file, its meta information, and the walk over its data set."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data: bytes | bytearray | mmap.mmap = data
        self.size = self.end = len(data)
        self.steps = MOST_STEPS
        self.problems: dict[str, None] = {}  # a set that keeps its order
        self.encoding = LITTLE
        self.meta, self.offset = self._read_meta(self._meta_start())
        if self.meta.get(META_CLASS) == uid.MediaStorageDirectoryStorage:
            raise Directory("This is the table of contents of a disc (DICOMDIR), not an object of a study.")
        self.start = self.offset
        self.syntax = self._settle_encoding(self.meta.get(META_SYNTAX, ""))

    def problem(self, sentence: str) -> None:
        self.problems[sentence] = None

    def bytes_of(self, element: _Element | None) -> bytes:
        """The value, b"" for what is absent or ends by a delimiter."""
        if element is None or element.undefined:
            return b""
        if element.length > LONGEST:
            self.problem(f"A value ({_called(element.tag)}) is very long; only its beginning was read.")
        return bytes(self.data[element.start : element.start + min(element.length, LONGEST)])

    def _meta_start(self) -> int:
        head = bytes(self.data[: PREAMBLE + 4])
        kind = kind_of(head)
        if head[PREAMBLE:] == PREFIX:
            if kind and "TIFF" not in kind:  # a TIFF in the preamble is foreseen by PS3.10 7.1
                self.problem(f"The first bytes of the file look like {kind}; open the original with care.")
            return PREAMBLE + 4
        start = 4 if head[:4] == PREFIX else 0
        first = first_element(head[start:])
        if not first or first[0] not in FIRST_GROUPS:
            raise NotDicom(f"This is not a DICOM file{': it looks like ' + kind if kind else ''}.")
        self.problem("The file has no DICOM preamble; it was read all the same.")
        return start

    def _read_meta(self, pos: int) -> tuple[dict[int, str], int]:
        """Texts of group 0002 and where the data set begins."""
        meta, ends = {}, -1
        while pos + 8 <= self.end and self.data[pos : pos + 2] == b"\x02\x00":
            if pos == ends and meta.get(META_SYNTAX) in DEFLATED:  # compressed bytes may look like anything
                break
            implicit = self.data[pos + 4 : pos + 6] not in VRS
            element = self.element(pos, IMPLICIT if implicit else LITTLE, self.end)
            raw = self.bytes_of(element)
            meta[element.tag] = raw.decode("latin_1").strip(" \0")
            pos = element.end
            if element.tag == META_LENGTH and len(raw) == 4:
                ends = pos + int.from_bytes(raw, "little")
        return meta, pos

    def _settle_encoding(self, syntax: str) -> str:
        """Find how the data set is written; the bytes are believed before the label. Gives the transfer syntax."""
        if syntax in DEFLATED:
            self.data = _inflate(self.data, self.offset)
            self.start, self.end = 0, len(self.data)
        first = first_element(bytes(self.data[self.start : self.start + 8]))
        self.encoding = first[1] if first else ENCODINGS.get(syntax, LITTLE)
        seen = next((name for name, e in ENCODINGS.items() if e == self.encoding), uid.ExplicitVRLittleEndian)
        if not syntax:
            self.problem("The file does not name its transfer syntax; it was found by looking at the bytes.")
        elif self.encoding != ENCODINGS.get(syntax, LITTLE):
            self.problem("The object is not written in the transfer syntax that the file names.")
        return syntax or str(seen)

    def find(self, tags: set[int]) -> dict[int, _Element]:
        """Walk the whole top level, so that a cut anywhere is found, and keep the elements asked for."""
        if self.start >= self.end:
            raise _cut("its header")
        return {e.tag: e for e in self.level(self.start, self.end, self.encoding, tags) if e.tag in tags}

    def level(
        self, pos: int, end: int, encoding: Encoding, wanted: Collection[int] | None = None
    ) -> Iterator[_Element]:
        """Elements from `pos` on, until `end`, a delimiter, or padding by zeros; some that are not `wanted` are left
        out."""
        while pos < end:
            if wanted is not None and not encoding.implicit:
                pos = self._pass_unwanted(pos, end, encoding, wanted)
                if pos == end:
                    return
            if end - pos < 8 or self.data[pos : pos + 4] == b"\0\0\0\0":
                self._pass_padding(pos, end)
                return
            element = self.element(pos, encoding, end)
            pos = element.end
            if element.tag in (ITEM_END, SEQUENCE_END):
                if pos < end:
                    self.problem("The object has a stray delimiter; what follows it was not read.")
                return
            yield element

    def _pass_unwanted(self, pos: int, end: int, encoding: Encoding, wanted: Collection[int]) -> int:
        """Go over plain elements with a length of 16 bits: most of a header is that, and none of it becomes a tuple."""
        unpack, data, most = PLAIN[encoding.endian].unpack_from, self.data, self.steps
        for step in range(most):
            self.steps = most - step
            if pos + 8 > end:
                break
            group, number, vr, length = unpack(data, pos)
            after = pos + 8 + length
            if vr not in SHORT_VRS or group == 0xFFFE or after > end or (group << 16 | number) in wanted:
                break
            pos = after
        return pos

    def _pass_padding(self, pos: int, end: int) -> None:
        for at in range(pos, end, 1 << 20):
            if bytes(self.data[at : min(at + (1 << 20), end)]).strip(b"\0"):
                raise _cut("its last element")
        self.problem("The file has empty bytes after its last element.")

    def items(self, sequence: _Element) -> Iterator[list[_Element]]:
        """The items of a sequence, each as the list of its elements."""
        encoding = self._inside(sequence.vr, sequence.start, sequence.encoding)
        for item in self.level(sequence.start, sequence.end, encoding):
            if item.tag == ITEM:
                yield list(self.level(item.start, item.end, encoding))

    def element(self, pos: int, encoding: Encoding, limit: int) -> _Element:
        """The element or item at `pos`; finds the end of one of undefined length by walking it."""
        vr, start, length, tag = self._begin(pos, encoding, limit)
        end = start + length
        if length == UNDEFINED:
            end = self._close(tag, start, self._inside(vr, start, encoding))
        if end > limit:
            raise _cut(_called(tag))
        return _Element(tag, vr, start, length, end, encoding)

    def _begin(self, pos: int, encoding: Encoding, limit: int) -> tuple[bytes, int, int, int]:
        """VR, start of the value, declared length, tag."""
        self.steps -= 1
        if self.steps < 0:
            raise Unreadable(f"This object has too many parts to be read safely. {EXPORT}")
        if pos + 8 > limit:
            raise _cut("an element")
        group, number, length = struct.unpack_from(encoding.endian + "HHI", self.data, pos)
        tag = group << 16 | number
        vr = b"" if encoding.implicit or group == 0xFFFE else bytes(self.data[pos + 4 : pos + 6])
        if not (vr.isalpha() and vr.isupper()):  # implicit, or an implicit one that strayed in
            return b"", pos + 8, length, tag
        if vr in LONG_VRS or (vr not in VRS and self.data[pos + 6 : pos + 8] == b"\0\0"):
            if pos + 12 > limit:
                raise _cut(_called(tag))
            return vr, pos + 12, struct.unpack_from(encoding.endian + "I", self.data, pos + 8)[0], tag
        return vr, pos + 8, struct.unpack_from(encoding.endian + "H", self.data, pos + 6)[0], tag

    def _inside(self, vr: bytes, start: int, encoding: Encoding) -> Encoding:
        """How the items of a sequence are written: in UN implicitly (PS3.5 6.2.2), unless they visibly are not."""
        if vr != b"UN":
            return encoding
        endian = "<" if self.data[start : start + 2] == b"\xfe\xff" else ">"
        return Encoding(self.data[start + 12 : start + 14] not in VRS, endian)

    def _close(self, tag: int, pos: int, encoding: Encoding) -> int:
        """Where a sequence (or encapsulated pixels) of undefined length ends. No recursion: depth is the sender's."""
        open_ones = [(ITEM_END if tag == ITEM else SEQUENCE_END, encoding)]
        while open_ones:
            if len(open_ones) > 2 * DEEPEST:
                raise Unreadable(f"This object is nested too deeply to be read safely. {EXPORT}")
            delimiter, encoding = open_ones[-1]
            if pos + 8 > self.end:
                raise _cut(_called(tag))
            vr, start, length, inner = self._begin(pos, encoding, self.end)
            if inner == delimiter:
                open_ones.pop()
                pos = start
            elif delimiter == SEQUENCE_END and inner != ITEM:
                raise Unreadable(f"This object is damaged in {_called(tag)}. {AGAIN}")
            elif length == UNDEFINED:
                inside = encoding if inner == ITEM else self._inside(vr, start, encoding)
                open_ones.append((ITEM_END if inner == ITEM else SEQUENCE_END, inside))
                pos = start
            else:
                pos = start + length
        return pos


def _inflate(data: bytes | mmap.mmap, offset: int) -> bytearray:
    """A deflated data set (PS3.5 A.5) in memory, up to a cap."""
    inflater, whole = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    try:
        for pos in range(offset, len(data), 1 << 16):
            whole += inflater.decompress(data[pos : pos + (1 << 16)], MOST_INFLATED + 1 - len(whole))
            if len(whole) > MOST_INFLATED:
                raise Unreadable("This object is packed so tightly that it could fill the memory; it was not unpacked.")
            if inflater.eof:
                return whole
    except zlib.error as error:
        raise Unreadable("This object is damaged: it cannot be unpacked. Ask for it to be sent again.") from error
    raise _cut("its packed content")


@contextmanager
def _opened(path: Path | str) -> Iterator[_File]:
    fd = os.open(path, os.O_RDONLY)
    try:
        if not os.fstat(fd).st_size:
            raise Unreadable("This file is empty.")
        data = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    with data:
        yield _File(data)
