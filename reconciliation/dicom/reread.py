"""What was made, read again: the written object against its original and the plan, by other means than it was made.

pydicom reads both files. Nothing here knows how the splice works, so that a mistake in it cannot hide.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.datadict import dictionary_description, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian

from policies.rules.coercion import Action, Change, Item, Value
from reconciliation.dicom import elements, outline
from reconciliation.dicom.elements import SPECIFIC_CHARACTER_SET, TEXTS, name_of

DEFERRED = 1 << 20  # bytes; larger values are compared in the files, not in memory
PATIENT_ID, ISSUER, QUALIFIERS = 0x00100020, 0x00100021, 0x00100024
CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS = 0x0018A001, 0x00080015, 0x04000600
ORIGINAL_ATTRIBUTES, LENGTH_TO_END = 0x04000561, 0x00080001
UNLISTED = {ORIGINAL_ATTRIBUTES, CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS}


def differences(original: Path, made: Path, changes: Sequence[Change]) -> list[str]:
    """What is not as planned in a made file, as sentences without values; none where all is.

    pydicom reads both files and nothing of the splice is used. Pixel data and what follows are compared block by block,
    so memory stays flat (but for deflated objects). Raises OSError where a file cannot be opened.
    """
    try:
        with open(original, "rb") as one, open(made, "rb") as other:
            before, after = _read(one), _read(other)
            tails = [] if _same_bytes(one, other) else ["The pixel data, or what follows, is not the original's."]
            if outline.is_sound_file(original) and not outline.is_sound_file(made):
                return ["The object that was made is damaged: its sequences do not have the lengths that they claim."]
            return [*_meta_differs(before, after), *_data_set_differs(before, after, changes), *tails]
    except (InvalidDicomError, zlib.error, *elements.UNREADABLE) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        return [f"The object that was made cannot be compared with its original ({type(error).__name__})."]


def _read(file) -> Dataset:
    ds = dcmread(file, stop_before_pixels=True, force=True, defer_size=DEFERRED)
    if ds.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return ds
    file.seek(0)
    return dcmread(file, force=True)


def _same_bytes(one, other, length: int = sys.maxsize) -> bool:
    while length > 0:
        blocks = [file.read(min(length, 1 << 20)) for file in (one, other)]
        if blocks[0] != blocks[1]:
            return False
        length = length - len(blocks[0]) if blocks[0] else 0
    return True


def _meta_differs(before: Dataset, after: Dataset) -> Iterator[str]:
    syntax = before.file_meta.get("TransferSyntaxUID")
    if before.original_encoding != after.original_encoding or syntax not in (None, after.file_meta.TransferSyntaxUID):
        yield "The transfer syntax is not what it was in the original."
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        in_meta = after.file_meta.get(f"MediaStorage{keyword}")
        if not in_meta or in_meta != after.get(keyword, in_meta):
            yield f"The file meta information does not have the {dictionary_description(keyword)} of the data set."


def _data_set_differs(before: Dataset, after: Dataset, changes: Sequence[Change]) -> Iterator[str]:
    planned = {tag_for_keyword(change.path): change for change in changes}
    widened = _text(before, SPECIFIC_CHARACTER_SET) != _text(after, SPECIFIC_CHARACTER_SET)
    if widened and _text(after, SPECIFIC_CHARACTER_SET) != "ISO_IR 192":
        yield "The character set changed, and not to ISO_IR 192."
    for tag in sorted({*before.keys(), *after.keys()} - planned.keys() - {SPECIFIC_CHARACTER_SET}):
        if not _is_length(tag) and not _unchanged(before, after, tag, decoded=widened):
            yield f"{name_of(tag)} is not what it was in the original, and nothing was planned for it."
    originals = planned.pop(ORIGINAL_ATTRIBUTES, None)
    for tag, change in planned.items():
        if not _is_planned(change, before, after, tag, decoded=widened):
            yield f"{name_of(tag)} is not as planned."
    lost = {tag for tag in planned if tag != CONTRIBUTING_EQUIPMENT and _text(before, tag) != _text(after, tag)}
    lost -= {tag for tag in (COERCION_TIME, ORIGIN_STATUS) if not _text(before, tag)}
    lost |= {SPECIFIC_CHARACTER_SET} if widened else set()
    yield from _originals_differ(before, after, lost, originals, decoded=widened)


def _is_planned(change: Change, before: Dataset, after: Dataset, tag: int, *, decoded: bool) -> bool:
    if change.action is Action.REMOVE:
        return tag not in after
    if change.action is not Action.APPEND:
        return tag in after and _text(after, tag) == _plain(change.new)
    there = _text(before, tag) or []
    new = [item for item in _plain(change.new) if _key(item) not in map(_key, there)]
    return (_text(after, tag) or []) == [*there, *new] and _items_unchanged(before, after, tag, decoded=decoded)


def _originals_differ(before: Dataset, after: Dataset, lost: set[int], change: Change | None, *, decoded: bool):
    """PS3.3 C.12.1.1.9, seen from outside: earlier items stay, and one more holds every value that was lost."""
    there, now = ([*(ds.get("OriginalAttributesSequence") or [])] for ds in (before, after))
    added = now[len(there) :]
    if not _items_unchanged(before, after, ORIGINAL_ATTRIBUTES, decoded=decoded) or len(added) > 1:
        yield "Original Attributes does not hold its earlier items, and at most one more."
    elif lost and not added:
        yield f"Original Attributes does not keep the old values of {', '.join(map(name_of, sorted(lost)))}."
    for item in added:
        told = {keyword: text for keyword, text in _shown(item).items() if keyword != "ModifiedAttributesSequence"}
        if change is None or [told] != _plain(change.new):
            yield "Original Attributes does not tell who changed what, when and why as planned."
        modified = item.get("ModifiedAttributesSequence") or []
        if len(modified) != 1:
            yield "Original Attributes does not have exactly one item of old values."
        for kept in modified[:1]:
            yield from _old_values_differ(before, kept, lost)


def _old_values_differ(before: Dataset, kept: Dataset, lost: set[int]) -> Iterator[str]:
    wanted = lost | ({ISSUER} if PATIENT_ID in lost else set())
    wanted |= {QUALIFIERS} & before.keys() if PATIENT_ID in lost else set()
    for tag in sorted(wanted | {*kept.keys()}):
        if tag not in kept:
            yield f"Original Attributes does not keep the old {name_of(tag)}."
        elif _text(kept, tag) != _text(before, tag) or (tag in before and not _unchanged(before, kept, tag)):
            yield f"Original Attributes keeps another {name_of(tag)} than the original had."


def _unchanged(before: Dataset, after: Dataset, tag: int, *, decoded: bool = False) -> bool:
    """Whether an element is the same in both: its bytes, or (decoded) its text where the character set changed."""
    one, other = (ds.get_item(tag) if tag in ds else None for ds in (before, after))
    if one is None or other is None:
        return one is other
    raw = [each.value or b"" for each in (one, other) if isinstance(each, RawDataElement)]
    if any(each.value is None and each.length for each in (one, other) if isinstance(each, RawDataElement)):
        return one.length == other.length and _same_deferred(before, one, after, other)
    if len(raw) == 2 and (not decoded or (raw[0].isascii() and b"\x1b" not in raw[0])):
        return raw[0] == raw[1] and one.VR == other.VR
    if before[tag].VR == "SQ":
        return len(before[tag].value) == len(after[tag].value) and _items_unchanged(before, after, tag, decoded=decoded)
    if len(raw) == 2 and before[tag].VR not in TEXTS:
        return raw[0] == raw[1]
    return before[tag].value == after[tag].value


def _same_deferred(before: Dataset, one: RawDataElement, after: Dataset, other: RawDataElement) -> bool:
    """A large value that pydicom was told to leave in the file."""
    with open(before.filename, "rb") as first, open(after.filename, "rb") as second:
        first.seek(one.value_tell)
        second.seek(other.value_tell)
        return _same_bytes(first, second, one.length)


def _items_unchanged(before: Dataset, after: Dataset, tag: int, *, decoded: bool) -> bool:
    """Whether the items that there were are the first ones that there are."""
    there, now = ([*(ds[tag].value or [])] if tag in ds else [] for ds in (before, after))
    return len(there) <= len(now) and all(
        _unchanged(one, other, tag, decoded=decoded)
        for one, other in zip(there, now, strict=False)
        for tag in {*one.keys(), *other.keys()}
        if not _is_length(tag)
    )


def _text(ds: Dataset, tag: int) -> Value:
    """A value as the mapping says it; "" where there is none."""
    if tag not in ds or ds[tag].is_empty:
        return ""
    value = ds[tag].value
    if ds[tag].VR == "SQ":
        return [_shown(item) for item in value]
    texts = [str(each).rstrip(" \0") for each in (value if isinstance(value, list | MultiValue) else [value])]
    return texts if len(texts) > 1 else texts[0]


def _shown(item: Dataset) -> Item:
    return {keyword_for_tag(tag) or str(tag): _text(item, tag) for tag in [*item.keys()]}


def _plain(value: Value) -> Value:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [{keyword: _plain(inner) for keyword, inner in item.items()} for item in value]
    texts = [text.rstrip() for text in (value if isinstance(value, list) else [value or ""])] or [""]
    return texts if len(texts) > 1 else texts[0]


def _key(item: Item) -> tuple[Value, Value] | Item:
    return (item["PatientID"], item.get("IssuerOfPatientID") or "") if "PatientID" in item else item


def _is_length(tag: int) -> bool:
    return not tag & 0xFFFF or tag == LENGTH_TO_END
