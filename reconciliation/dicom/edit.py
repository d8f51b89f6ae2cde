"""An object as the archive gets it: the bytes of the original, and only what the mapping changes written anew.

The old values go into Original Attributes as the bytes that they are. What was made is read again by `differences`,
which knows nothing of how it was made.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydicom.datadict import (
    dictionary_description,
    dictionary_has_tag,
    dictionary_VR,
    keyword_for_tag,
    tag_for_keyword,
)
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from policies.rules.coercion import Action, Change, Item, Value
from policies.rules.values import refuse_unwritable
from reconciliation.dicom import elements
from reconciliation.dicom.elements import SPECIFIC_CHARACTER_SET, Characters, Encoding, Malformed, Notation, Source

HEAD_MAXIMUM = 512 << 20  # bytes that `make` holds in memory; `write` has no such limit
DEFERRED = 1 << 20  # bytes; larger values are compared in the files, not in memory
SMALL = 64 << 10  # bytes; below, a copy through memory is cheaper than a call into the kernel

SOP_CLASS_UID, SOP_INSTANCE_UID, LENGTH_TO_END = 0x00080016, 0x00080018, 0x00080001
PATIENT_ID, ISSUER, QUALIFIERS = 0x00100020, 0x00100021, 0x00100024
CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS = 0x0018A001, 0x00080015, 0x04000600
MODIFIED_ATTRIBUTES, ORIGINAL_ATTRIBUTES = 0x04000550, 0x04000561
# What tells of the change itself loses nothing by it: not listed, but for an earlier value of the last two.
UNLISTED = {ORIGINAL_ATTRIBUTES, CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS}
MAC_PARAMETERS, DIGITAL_SIGNATURES = 0x4FFE0001, 0xFFFAFFFA
WRITABLE = elements.TEXTS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "SQ", "TM", "UI", "UR"}


class CannotWrite(Exception):
    """The object cannot be made as planned; str() is a sentence for staff, without values of the patient."""


@dataclass(frozen=True)
class Made:
    head: bytes  # preamble, file meta and the data set as far as it changes
    tail_offset: int  # from here on the original is copied as it is
    size: int  # bytes of the whole object


class Span(NamedTuple):
    """Bytes of the original, by offsets."""

    start: int
    end: int


def make(original: Path, changes: Sequence[Change]) -> Made:
    """The object with the changes applied: its new bytes, and where the original goes on. Raises CannotWrite."""
    with _splice(original, changes) as (source, pieces):
        *before, tail = pieces
        length = sum(len(piece) if isinstance(piece, bytes) else piece.end - piece.start for piece in before)
        if length > HEAD_MAXIMUM:
            raise CannotWrite(f"The header of this object is larger than {HEAD_MAXIMUM >> 20} MiB.")
        head = b"".join(piece if isinstance(piece, bytes) else source.data[slice(*piece)] for piece in before)
        return Made(head, tail.start, len(head) + tail.end - tail.start)


def write(original: Path, target: Path, changes: Sequence[Change]) -> None:
    """The same as a file, in flat memory. Raises CannotWrite, or OSError; then there is no target."""
    with _splice(original, changes) as (source, pieces):
        try:
            with open(target, "wb") as made:
                for piece in pieces:
                    if isinstance(piece, bytes):
                        made.write(piece)
                    elif piece.end - piece.start <= SMALL:
                        made.write(source.data[slice(*piece)])
                    else:
                        made.flush()
                        _copy(source.fileno, made.fileno(), piece)
        except BaseException:
            Path(target).unlink(missing_ok=True)
            raise


def _copy(source: int, target: int, span: Span) -> None:
    """Kernel to kernel; by reading and writing where the file system cannot (another one, or an old kernel)."""
    offset = span.start
    try:
        while offset < span.end and (copied := os.copy_file_range(source, target, span.end - offset, offset)):
            offset += copied
    except OSError:
        pass  # a disk that is full fails below too, with the same error
    while offset < span.end:
        block = os.pread(source, min(1 << 20, span.end - offset), offset)
        if not block:
            raise OSError("The original became shorter while it was copied.")
        offset += os.write(target, block)


# --- the splice ------------------------------------------------------------------------------------------------------


@contextmanager
def _splice(original: Path, changes: Sequence[Change]) -> Iterator[tuple[Source, list[bytes | Span]]]:
    """The pieces of the new file in order; the last one is a span to the end of the original."""
    try:
        with elements.opened(original) as source:
            yield source, _pieces(source, _rewritten(source, changes))
    except Malformed as error:
        raise CannotWrite(str(error)) from error


def _pieces(source: Source, rewritten: dict[int, bytes]) -> list[bytes | Span]:
    head, body = _file_head(source, rewritten), list(_spliced(source, rewritten))
    if not source.deflated:
        return [head, *body]
    raw = b"".join(piece if isinstance(piece, bytes) else source.data[slice(*piece)] for piece in body)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(raw) + deflater.flush()
    return [head + deflated + b"\0" * (len(deflated) % 2), Span(source.size, source.size)]


def _spliced(source: Source, rewritten: dict[int, bytes]) -> Iterator[bytes | Span]:
    """Lengths of groups that change would lie: they are retired, and left out (PS3.5 7.2)."""
    stale = {tag & 0xFFFF0000 for tag in rewritten}
    stale |= {LENGTH_TO_END} if stale else set()
    waiting = sorted((tag, raw) for tag, raw in rewritten.items() if raw)
    position = source.start
    for element in source.elements:
        replaced = element.tag in rewritten or element.tag in stale
        if replaced or (waiting and waiting[0][0] < element.tag):
            yield Span(position, element.start)
            position = element.end if replaced else element.start
        while waiting and waiting[0][0] <= element.tag:
            yield waiting.pop(0)[1]
    if waiting:
        end = source.elements[-1].end if source.elements else source.start
        yield Span(position, max(position, end))
        yield from (raw for _, raw in waiting)
        position = max(position, end)
    yield Span(position, len(source.data))


def _file_head(source: Source, rewritten: dict[int, bytes]) -> bytes:
    uids = []
    for tag, in_meta in ((SOP_CLASS_UID, 0x00020002), (SOP_INSTANCE_UID, 0x00020003)):
        here = [source.raw(element) for element in source.elements if element.tag == tag]
        uid = source.encoding.value(rewritten.get(tag) or (here or [b""])[-1]) or source.meta.get(in_meta, b"")
        uids.append(uid.strip(b"\0 "))
        if not uids[-1]:
            raise CannotWrite(f"The object has no {_name(tag)}.")
    return elements.file_head(*uids, source.syntax.encode())


# --- what is written anew --------------------------------------------------------------------------------------------


def _rewritten(source: Source, changes: Sequence[Change]) -> dict[int, bytes]:
    """Tag to the new bytes of its element; no bytes take it out."""
    wanted = {_tag(change): change for change in changes}
    kept = {*wanted, SPECIFIC_CHARACTER_SET, PATIENT_ID, ISSUER, QUALIFIERS}
    before = {element.tag: source.raw(element) for element in source.elements if element.tag in kept}
    characters = Characters.named(source.encoding.value(before.get(SPECIFIC_CHARACTER_SET, b"")))
    widened = not all(characters.fit(text) for change in changes for text in _texts(change.new))
    notation = Notation(source.encoding, ("UTF8",) if widened else characters.writing)
    rewritten = _in_utf8(source, characters) if widened else {}
    here = before | rewritten
    fresh = _fresh(_plan(changes), notation)
    changed = {SPECIFIC_CHARACTER_SET} if widened else set()
    for tag, change in wanted.items():
        old, new = here.get(tag, b""), fresh.get(tag, b"")
        if tag == ORIGINAL_ATTRIBUTES:
            continue
        if change.action is Action.APPEND and old:
            new = _appended(tag, old, new, notation)
        differs = not notation.same(tag, old, new)
        changed |= {tag} if differs else set()
        if differs or bool(old) != bool(new):
            rewritten[tag] = new
    if listed := _listed(changed, before, source.encoding):
        if ORIGINAL_ATTRIBUTES not in fresh:
            raise CannotWrite("The mapping changes values and does not keep the old ones in Original Attributes.")
        old = here.get(ORIGINAL_ATTRIBUTES, b"")
        item = _original_attributes(listed, before, fresh[ORIGINAL_ATTRIBUTES], notation)
        there = notation.item_bytes(old) if old else []
        rewritten[ORIGINAL_ATTRIBUTES] = notation.sequence(ORIGINAL_ATTRIBUTES, [*there, item])
    _refuse_late_elements(source, rewritten)
    _refuse_broken_signature(source, rewritten, notation)
    return rewritten


def _tag(change: Change) -> int:
    tag, name = tag_for_keyword(change.path), change.path
    if tag is None or tag == SPECIFIC_CHARACTER_SET:
        raise CannotWrite(f"The mapping names {name}, which is not an attribute that it can change.")
    vr = dictionary_VR(tag)
    if change.action is not Action.REMOVE and vr not in WRITABLE:
        raise CannotWrite(f"The mapping cannot write {dictionary_description(tag)}: it holds no text.")
    if change.action is Action.APPEND and vr != "SQ":
        raise CannotWrite(f"Nothing can be appended to {dictionary_description(tag)}: it is not a sequence.")
    return tag


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _texts(inner))
    elif value:
        yield from (text for each in value for text in _texts(each))


def _plan(changes: Sequence[Change]) -> tuple[tuple[str, str], ...]:
    return tuple((change.path, json.dumps(change.new)) for change in changes if change.action is not Action.REMOVE)


@lru_cache(maxsize=256)
def _fresh(plan: tuple[tuple[str, str], ...], notation: Notation) -> dict[int, bytes]:
    """The new values as elements, by tag: the same for every object of a study, so they are encoded once."""
    values = {keyword: json.loads(new) for keyword, new in plan}
    try:
        for keyword, value in values.items():
            refuse_unwritable(keyword, value)
    except (ValueError, KeyError) as error:
        raise CannotWrite(str(error)) from error
    return notation.write(_dataset(values))


def _dataset(values: Item) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        sequence = dictionary_VR(keyword) == "SQ"
        setattr(ds, keyword, [_dataset(item) for item in value or []] if sequence else value or None)
    return ds


def _in_utf8(source: Source, characters: Characters) -> dict[int, bytes]:
    """Every element that reads differently in ISO_IR 192, and that name itself. Pixel data is never among them."""
    rewritten = Notation(source.encoding, ("ascii",)).write(_dataset({"SpecificCharacterSet": "ISO_IR 192"}))
    try:
        for element in source.elements:
            raw = elements.in_utf8(source.data, element, source.encoding, characters)
            if raw is not None and element.tag not in rewritten:
                rewritten[element.tag] = raw
    except RecursionError as error:
        raise Malformed(elements.CUT_OFF) from error
    return rewritten


def _appended(tag: int, old: bytes, fresh: bytes, notation: Notation) -> bytes:
    """The items that are there as the bytes that they are, then those that are not there yet."""
    there = [_identity(item) for item in notation.items(old)]
    pairs = zip(notation.item_bytes(fresh), notation.items(fresh), strict=True)
    new = [raw for raw, item in pairs if _identity(item) not in there]
    return notation.sequence(tag, [*notation.item_bytes(old), *new]) if new else old


def _identity(item: Dataset) -> tuple[str, str] | Dataset:
    """An identifier of a patient is its value with its issuer (PS3.3 Table 10-18); any other item is all of itself."""
    if "PatientID" in item:
        return str(item.PatientID), str(item.get("IssuerOfPatientID") or "")
    return item


def _listed(changed: set[int], before: dict[int, bytes], encoding: Encoding) -> set[int]:
    """The attributes whose old values are kept (PS3.3 C.12.1.1.9): a Patient ID never without its issuer."""
    had_a_value = {tag for tag in (COERCION_TIME, ORIGIN_STATUS) if encoding.value(before.get(tag, b""))}
    listed = {tag for tag in changed if tag not in UNLISTED or tag in had_a_value}
    return listed | {ISSUER} | ({QUALIFIERS} & before.keys()) if PATIENT_ID in listed else listed


def _original_attributes(listed: set[int], before: dict[int, bytes], fresh: bytes, notation: Notation) -> bytes:
    """The item for this very object. Its old values keep their bytes: where the character set of the object changes,
    the old one is listed, and within the item it is the one in force (PS3.3 C.12.1.1.2)."""
    absent = {tag: notation.encoding.header(tag, dictionary_VR(tag), 0) for tag in listed - before.keys()}
    values = b"".join((before | absent)[tag] for tag in sorted(listed))
    element = elements.element_at(fresh, 0, len(fresh), notation.encoding)
    item = next(elements.items(fresh, element.value, element.end, notation.encoding))
    content = notation.wrapped(MODIFIED_ATTRIBUTES, values) + fresh[item.start : item.end]
    return notation.wrapped(ORIGINAL_ATTRIBUTES, content)[len(notation.sequence(ORIGINAL_ATTRIBUTES, [])) :]


def _refuse_late_elements(source: Source, rewritten: dict[int, bytes]) -> None:
    tags = [element.tag for element in source.elements]
    late = tags[tags.index(elements.PIXEL_DATA) + 1 :] if elements.PIXEL_DATA in tags else []
    if found := rewritten.keys() & set(late):
        names = ", ".join(map(_name, sorted(found)))
        raise CannotWrite(f"The object has {names} behind its pixel data, where no change can be made safely.")


def _refuse_broken_signature(source: Source, rewritten: dict[int, bytes], notation: Notation) -> None:
    """A signature over an attribute that changes would no longer hold, and to drop it unasked would hide that."""
    raw = {each.tag: source.raw(each) for each in source.elements if each.tag in (MAC_PARAMETERS, DIGITAL_SIGNATURES)}
    if not source.encoding.value(raw.get(DIGITAL_SIGNATURES, b"")):
        return
    macs = notation.items(raw.get(MAC_PARAMETERS, b""))
    signed = {int(tag) for mac in macs for tag in _values(mac.get("DataElementsSigned"))}
    if not signed or signed & rewritten.keys():
        names = ", ".join(map(_name, sorted(signed & rewritten.keys()))) or "attributes that it hides"
        raise CannotWrite(
            f"The object carries a digital signature over {names}, which the mapping changes: the signature would "
            "break. Ask the sender for an unsigned copy."
        )


def _values(value) -> list:
    return [] if value is None else list(value) if isinstance(value, Sequence) else [value]


# --- what was made, read again ---------------------------------------------------------------------------------------


def differences(original: Path, made: Path, changes: Sequence[Change]) -> list[str]:
    """What is not as planned in a made file, as sentences without values; none where all is.

    pydicom reads both files and nothing of the splice is used. Pixel data and what follows are compared block by block,
    so memory stays flat (but for deflated objects). Raises OSError where a file cannot be opened.
    """
    try:
        with open(original, "rb") as one, open(made, "rb") as other:
            before, after = _read(one), _read(other)
            tails = [] if _same_bytes(one, other) else ["The pixel data, or what follows, is not the original's."]
            if elements.is_sound(original) and not elements.is_sound(made):
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
            yield f"{_name(tag)} is not what it was in the original, and nothing was planned for it."
    originals = planned.pop(ORIGINAL_ATTRIBUTES, None)
    for tag, change in planned.items():
        if not _is_planned(change, before, after, tag, decoded=widened):
            yield f"{_name(tag)} is not as planned."
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
        yield f"Original Attributes does not keep the old values of {', '.join(map(_name, sorted(lost)))}."
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
            yield f"Original Attributes does not keep the old {_name(tag)}."
        elif _text(kept, tag) != _text(before, tag) or (tag in before and not _unchanged(before, kept, tag)):
            yield f"Original Attributes keeps another {_name(tag)} than the original had."


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
    if len(raw) == 2 and before[tag].VR not in elements.TEXTS:
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


def _name(tag: int) -> str:
    return dictionary_description(tag) if dictionary_has_tag(tag) else f"The private element {BaseTag(tag)}"
