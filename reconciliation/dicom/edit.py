"""An object as the archive gets it: the bytes of the original, and only what the mapping changes written anew.

The old values go into Original Attributes as the bytes that they are. What was made is read again in `reread`, which
knows nothing of how it was made.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydicom.datadict import (
    dictionary_description,
    dictionary_VR,
    tag_for_keyword,
)
from pydicom.dataset import Dataset

from policies.rules.coercion import Action, Change, Item, Value
from policies.rules.values import refuse_unwritable
from reconciliation.dicom import elements
from reconciliation.dicom.characters import Characters, in_utf8
from reconciliation.dicom.elements import SPECIFIC_CHARACTER_SET, Encoding, Malformed, Notation, Source, name_of

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
            raise CannotWrite(f"The object has no {name_of(tag)}.")
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
            raw = in_utf8(source.data, element, source.encoding, characters)
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
        names = ", ".join(map(name_of, sorted(found)))
        raise CannotWrite(f"The object has {names} behind its pixel data, where no change can be made safely.")


def _refuse_broken_signature(source: Source, rewritten: dict[int, bytes], notation: Notation) -> None:
    """A signature over an attribute that changes would no longer hold, and to drop it unasked would hide that."""
    raw = {each.tag: source.raw(each) for each in source.elements if each.tag in (MAC_PARAMETERS, DIGITAL_SIGNATURES)}
    if not source.encoding.value(raw.get(DIGITAL_SIGNATURES, b"")):
        return
    macs = notation.items(raw.get(MAC_PARAMETERS, b""))
    signed = {int(tag) for mac in macs for tag in _values(mac.get("DataElementsSigned"))}
    if not signed or signed & rewritten.keys():
        names = ", ".join(map(name_of, sorted(signed & rewritten.keys()))) or "attributes that it hides"
        raise CannotWrite(
            f"The object carries a digital signature over {names}, which the mapping changes: the signature would "
            "break. Ask the sender for an unsigned copy."
        )


def _values(value) -> list:
    return [] if value is None else list(value) if isinstance(value, Sequence) else [value]
