"""What was made, read again: the object against its original and the plan, by other means than it was made.

pydicom reads both. A head that is to be sent is cut into its elements first, by code that the splice does not share:
where all that differs is what pydicom has judged before, byte for byte, its word still holds.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread, read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from policies.rules.coercion import Change
from reconciliation.dicom import comparison, elements, outline
from reconciliation.dicom.elements import SPECIFIC_CHARACTER_SET
from reconciliation.dicom.second_look import Pair, pair

DEFERRED = 1 << 20  # bytes; larger values are compared in the files, not in memory
PIXEL_DATA = 0x7FE00010
NO_UIDS: Mapping[str, str] = {}
ALWAYS_COMPARED = (SPECIFIC_CHARACTER_SET, comparison.PATIENT_ID, comparison.ISSUER, comparison.QUALIFIERS)
ALWAYS_COMPARED += (comparison.ORIGINAL_ATTRIBUTES, *comparison.SIGNATURES)
JUDGED_MAXIMUM, REMEMBERED_MAXIMUM = 256, 32 << 10  # differences kept in mind, and bytes of each
DAMAGED = "The object that was made is damaged: its sequences do not have the lengths that they claim."

_judged: set[tuple] = set()


def differences(
    original: Path, made: Path, changes: Sequence[Change], *, uids: Mapping[str, str] = NO_UIDS
) -> list[str]:
    """What is not as planned in a made file, as sentences without values; none where all is.

    pydicom reads both files and nothing of the splice is used. Pixel data and what follows are compared block by block,
    so memory stays flat (but for deflated objects). Raises OSError where a file cannot be opened.
    """
    with open(original, "rb") as one, open(made, "rb") as other:
        found = _differences(one, other, changes, uids)
    if not found and outline.is_sound_file(original) and not outline.is_sound_file(made):
        return [DAMAGED]
    return found


def differences_in_head(
    original: Path, made, changes: Sequence[Change], *, uids: Mapping[str, str] = NO_UIDS
) -> list[str]:
    """The same promise for an object that is not on disk: `made` is `edit.Made`, its head and foot around the bytes of
    the original. Every element of every object is compared with its original; pydicom judges what differs once."""
    with open(original, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not _has_its_size(made, size):
            return ["The object that was made does not have the size that it claims."]
        found = None if uids else pair(file.fileno(), size, made)
        key = found and _key(found, changes)
        if key and key in _judged:
            return []
        if not _is_labelled(made):
            return ["The object that was made does not say what it is: its file meta information is another."]
        told = _differences(file, io.BufferedReader(Stitched(file.fileno(), made)), changes, uids)
    if not told and outline.is_sound_file(original) and not _is_sound_head(made):
        return [DAMAGED]
    if key and not told:
        _remember(key)
    return told


def _has_its_size(made, size: int) -> bool:
    tail = made.tail_end - made.tail_offset
    return 0 <= made.tail_offset <= made.tail_end <= size and made.size == len(made.head) + tail + len(made.foot)


def _is_labelled(made) -> bool:
    """Whether file meta information fills the head up to the data set, and names what `made` says that it is."""
    keywords = ("FileMetaInformationGroupLength", "TransferSyntaxUID", "MediaStorageSOPInstanceUID")
    try:
        ds = dcmread(io.BytesIO(made.head[: made.dataset_offset]), force=True)
        told = tuple(ds.file_meta.get(keyword) for keyword in keywords)
    except (InvalidDicomError, *elements.UNREADABLE):
        return False
    return not len(ds) and told == (made.dataset_offset - 144, made.TransferSyntaxUID, made.SOPInstanceUID)


def _is_sound_head(made) -> bool:
    if made.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return True  # read as a whole by pydicom
    encoding = elements.Encoding(
        implicit=made.TransferSyntaxUID == ImplicitVRLittleEndian, little=made.TransferSyntaxUID != ExplicitVRBigEndian
    )
    try:
        found = elements.walk(made.head, made.dataset_offset, len(made.head), encoding)
        return all(elements.is_sound(made.head, element, encoding) for element in found)
    except (elements.Malformed, RecursionError):
        return False


def _remember(key: tuple) -> None:
    if sum(len(part or b"") for each in key[2] for part in each[1:]) > REMEMBERED_MAXIMUM:
        return
    if len(_judged) >= JUDGED_MAXIMUM:
        _judged.clear()
    _judged.add(key)


def _key(found: Pair, changes: Sequence[Change]) -> tuple | None:
    """All that pydicom's word depends on: the plan, and both forms of every element that it names or that differs."""
    differing = found.differing()
    if any(comparison.is_length(tag) and found.both(tag)[1] for tag in differing):
        return None  # the length of a group, kept and yet another one
    planned = (tag_for_keyword(change.path) for change in changes)
    tags = {tag for tag in differing if not comparison.is_length(tag)}.union(ALWAYS_COMPARED, planned)
    return Planned(changes), found.syntax, tuple((tag, *found.both(tag)) for tag in sorted(tags))


class Planned(tuple):
    """The changes of a mapping, to be found again by."""

    def __hash__(self) -> int:
        return hash(tuple(change.path for change in self))


class Stitched(io.RawIOBase):
    """An object that is not on disk, read as if it were: the head, the bytes of the original, the foot."""

    name = "an object that is not on disk"  # pydicom asks for one

    def __init__(self, fileno: int, made) -> None:
        self.fd, self.made, self.position = fileno, made, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.made.size}[whence]
        return self.position

    def readinto(self, buffer) -> int:
        made, count = self.made, len(buffer)
        behind = self.position - len(made.head)
        tail = made.tail_end - made.tail_offset
        if behind < 0:
            block = made.head[self.position : self.position + count]
        elif behind < tail:
            block = os.pread(self.fd, min(count, tail - behind), made.tail_offset + behind)
        else:
            block = made.foot[behind - tail : behind - tail + count]
        buffer[: len(block)] = block
        self.position += len(block)
        return len(block)


# --- by pydicom ------------------------------------------------------------------------------------------------------


def _differences(one, other, changes: Sequence[Change], uids: Mapping[str, str]) -> list[str]:
    """Of two open files."""
    late = bool(uids) or any((tag_for_keyword(change.path) or 0) > PIXEL_DATA for change in changes)
    try:
        before, after = (_read(file, defer=None if uids else DEFERRED) for file in (one, other))
        if not uids and comparison.is_widened(before, after) and any(map(_has_deferred, (before, after))):
            before, after = (_read(file, defer=None) for file in (one, other))
        same = _same_pixels(one, before, other, after) if late else _same_bytes(one, other)
        tails = [] if same else ["The pixel data, or what follows, is not the original's."]

        def same_deferred(first, second) -> bool:
            one.seek(first.value_tell)
            other.seek(second.value_tell)
            return _same_bytes(one, other, first.length)

        told = comparison.data_set_differs(before, after, changes, uids, same_deferred)
        return [*comparison.meta_differs(before, after), *told, *tails]
    except (InvalidDicomError, zlib.error, *elements.UNREADABLE) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        return [f"The object that was made cannot be compared with its original ({type(error).__name__})."]


def _read(file, *, defer: int | None) -> Dataset:
    file.seek(0)
    ds = dcmread(file, stop_before_pixels=True, force=True, defer_size=defer)
    if ds.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return ds
    file.seek(0)
    return dcmread(file, force=True)


def _has_deferred(ds: Dataset) -> bool:
    raw = (ds.get_item(tag) for tag in [*ds.keys()])
    return any(each.value is None and getattr(each, "length", 0) for each in raw)


def _same_bytes(one, other, length: int = sys.maxsize) -> bool:
    while length > 0:
        blocks = [file.read(min(length, 1 << 20)) for file in (one, other)]
        if blocks[0] != blocks[1]:
            return False
        length = length - len(blocks[0]) if blocks[0] else 0
    return True


def _same_pixels(one, before: Dataset, other, after: Dataset) -> bool:
    """Where something behind Pixel Data is planned: that only the pixels are the same, what follows is read too."""
    spans = []
    for file, ds in ((one, before), (other, after)):
        start = file.tell()
        end = _behind_pixels(file, start, ds)
        file.seek(end)
        ds.update(read_dataset(file, *ds.original_encoding, parent_encoding=ds.original_character_set))
        file.seek(start)
        spans.append(end - start)
    return spans[0] == spans[1] and _same_bytes(one, other, spans[0])


def _behind_pixels(file, position: int, ds: Dataset) -> int:
    """Where the element that starts here, native or encapsulated, ends."""
    implicit, little = ds.original_encoding
    order, head = "little" if little else "big", file.read(12)
    if len(head) < 12:
        return position
    position += 8 if implicit else 12
    length = int.from_bytes(head[4:8] if implicit else head[8:12], order)
    if length != 0xFFFFFFFF:
        return position + length
    while True:
        file.seek(position)
        item = file.read(8)
        if len(item) < 8:
            raise EOFError
        position += 8
        if item[:4] == struct.pack("<HH" if little else ">HH", 0xFFFE, 0xE0DD):
            return position
        position += int.from_bytes(item[4:], order)
