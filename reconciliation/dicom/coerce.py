"""What a mapping writes anew: the new bytes of the elements that it touches, from the old ones.

The objects of a study share most of what a mapping touches, so that what follows from the same old bytes is worked out
once. The old values go into Original Attributes as the bytes that they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from policies.rules.coercion import Action, Change, Value
from policies.rules.coercion import Item as ItemOfPlan
from policies.rules.values import refuse_unwritable
from reconciliation.dicom import elements
from reconciliation.dicom.characters import ESCAPE, Characters
from reconciliation.dicom.depths import DIGITAL_SIGNATURES, MAC_PARAMETERS, Renewal, renewed
from reconciliation.dicom.elements import PIXEL_DATA, SPECIFIC_CHARACTER_SET, Encoding, Malformed, Notation, name_of
from reconciliation.dicom.outline import NEVER_READ, Source

LENGTH_TO_END = 0x00080001
PATIENT_ID, ISSUER, QUALIFIERS = 0x00100020, 0x00100021, 0x00100024
CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS = 0x0018A001, 0x00080015, 0x04000600
MODIFIED_ATTRIBUTES, ORIGINAL_ATTRIBUTES = 0x04000550, 0x04000561
# What tells of the change itself loses nothing by it: not listed, but for an earlier value of the last two.
UNLISTED = {ORIGINAL_ATTRIBUTES, CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS}
ALWAYS_READ = {SPECIFIC_CHARACTER_SET, PATIENT_ID, ISSUER, QUALIFIERS, MAC_PARAMETERS, DIGITAL_SIGNATURES}
WRITABLE = elements.TEXTS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "SQ", "TM", "UI", "UR"}
RENEWABLE = {vr.encode() for vr in (*elements.TEXTS, "UI", "SQ", "UN")}
REMEMBERED_MAXIMUM = 16 << 10  # bytes of one object that are worth keeping for the next


class CannotWrite(Exception):
    """The object cannot be made as planned; str() is a sentence for staff, without values of the patient."""


class Changes(tuple):
    """The changes of a mapping, as what is worked out of them is found by."""

    def __hash__(self) -> int:
        return hash(tuple(change.path for change in self))


@dataclass(frozen=True, eq=False)
class Plan:
    """The changes by tag, and the tags whose old bytes decide about the new ones."""

    changes: Changes
    wanted: dict[int, Change]

    @cached_property
    def read(self) -> tuple[int, ...]:
        return tuple(sorted(self.wanted.keys() | ALWAYS_READ))

    @cached_property
    def unsigned(self) -> bool:
        change = self.wanted.get(DIGITAL_SIGNATURES)
        return change is not None and change.action is Action.REMOVE


class Renewed(NamedTuple):
    """An element that is written anew though nothing is planned for it; `listed` where its old value must be kept."""

    tag: int
    old: bytes
    new: bytes
    listed: bool


def rewritten(source: Source, changes: Sequence[Change], uids: Mapping[str, str]) -> Mapping[int, bytes]:
    """Tag to the new bytes of its element; no bytes take it out. Raises CannotWrite and Malformed."""
    plan = _plan(Changes(changes))
    before = source.raws(plan.read)
    renewal = _renewal(plan, source.encoding, dict(before).get(SPECIFIC_CHARACTER_SET, b""))
    if uids:
        renewal = replace(renewal, uids=uids)
    others = tuple(_others(source, plan, renewal)) if renewal else ()
    large = sum(len(raw) for _, raw in before) + sum(len(each.new) for each in others) > REMEMBERED_MAXIMUM
    work_out = _coerced.__wrapped__ if uids or large else _coerced
    found = work_out(plan, source.encoding, before, renewal, others)
    if not source.ordered:
        _refuse_late_elements(source, found)
    return found


@lru_cache(maxsize=64)
def _plan(changes: Changes) -> Plan:
    for change in changes:
        try:
            refuse_unwritable(change.path, change.new if change.action is not Action.REMOVE else None)
        except (ValueError, KeyError) as error:
            raise CannotWrite(str(error)) from error
    return Plan(changes, {_tag(change): change for change in changes})


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


@lru_cache(maxsize=64)
def _renewal(plan: Plan, encoding: Encoding, declared: bytes) -> Renewal:
    """Text stays where all of the plan can be written in the character set that the object declares."""
    characters = Characters.named(encoding.value(declared))
    fits = all(characters.fit(text) for change in plan.changes for text in _texts(change.new))
    return Renewal(None if fits else characters, unsigned=plan.unsigned)


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _texts(inner))
    elif value:
        yield from (text for each in value for text in _texts(each))


# --- what is planned -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _coerced(
    plan: Plan, encoding: Encoding, before: tuple[tuple[int, bytes], ...], renewal: Renewal, others: tuple[Renewed, ...]
) -> dict[int, bytes]:
    old = {each.tag: each.old for each in others} | dict(before)
    declared = Characters.named(encoding.value(old.get(SPECIFIC_CHARACTER_SET, b"")))
    notation = Notation(encoding, ("UTF8",) if renewal.characters else declared.writing)
    fresh = _fresh(plan, notation)
    new_ones = {each.tag: each.new for each in others}
    changed, lost = set(), {each.tag for each in others if each.listed}
    if renewal.characters:
        new_ones |= Notation(encoding, ("ascii",)).write(_dataset({"SpecificCharacterSet": "ISO_IR 192"}))
        changed.add(SPECIFIC_CHARACTER_SET)
    for tag, change in plan.wanted.items():
        if tag == ORIGINAL_ATTRIBUTES:
            continue
        was, new = old.get(tag, b""), fresh.get(tag, b"")
        here = _again(was, encoding, renewal if change.action is Action.APPEND else renewal.of_text)
        if change.action is Action.APPEND and here:
            new = _appended(tag, here, new, notation)
        differs = not notation.same(tag, here, new)
        moved = here != was  # to ISO_IR 192, or to other UIDs
        changed |= {tag} if differs else set()
        lost |= {tag} if moved and _is_listed(was, encoding, renewal) else set()
        if differs or moved or bool(here) != bool(new):
            new_ones[tag] = new if differs or bool(here) != bool(new) else here
    if listed := lost | _listed(changed | lost, old, encoding):
        new_ones[ORIGINAL_ATTRIBUTES] = _with_original_attributes(listed, old, fresh, notation, renewal)
    if not plan.unsigned:
        _refuse_broken_signature(old, new_ones, notation)
    return new_ones | _stale_lengths(new_ones)


def _stale_lengths(new_ones: Mapping[int, bytes]) -> dict[int, bytes]:
    """Lengths of groups that change would lie: they are retired, and left out (PS3.5 7.2)."""
    return dict.fromkeys({LENGTH_TO_END, *(tag & 0xFFFF0000 for tag in new_ones)}, b"") if new_ones else {}


@lru_cache(maxsize=256)
def _fresh(plan: Plan, notation: Notation) -> dict[int, bytes]:
    """The new values as elements, by tag: the same for every object of a study, so they are encoded once."""
    return notation.write(
        _dataset({change.path: change.new for change in plan.changes if change.action is not Action.REMOVE})
    )


def _dataset(values: ItemOfPlan) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        sequence = dictionary_VR(keyword) == "SQ"
        setattr(ds, keyword, [_dataset(item) for item in value or []] if sequence else value or None)
    return ds


def _again(raw: bytes, encoding: Encoding, renewal: Renewal) -> bytes:
    if not raw or not renewal:
        return raw
    return renewed(raw, elements.element_at(raw, 0, len(raw), encoding), encoding, renewal) or raw


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


def _with_original_attributes(
    listed: set[int], before: dict[int, bytes], fresh: dict[int, bytes], notation: Notation, renewal: Renewal
) -> bytes:
    """The sequence with one more item, for this very object. Its old values keep their bytes: where the character set
    of the object changes, the old one is listed, and within the item it is the one in force (PS3.3 C.12.1.1.2)."""
    if ORIGINAL_ATTRIBUTES not in fresh:
        raise CannotWrite("The mapping changes values and does not keep the old ones in Original Attributes.")
    told = fresh[ORIGINAL_ATTRIBUTES]
    absent = {tag: notation.encoding.header(tag, dictionary_VR(tag), 0) for tag in listed - before.keys()}
    values = b"".join((before | absent)[tag] for tag in sorted(listed))
    element = elements.element_at(told, 0, len(told), notation.encoding)
    item = next(elements.items(told, element.value, element.end, notation.encoding))
    content = notation.wrapped(MODIFIED_ATTRIBUTES, values) + told[item.start : item.end]
    old = _again(before.get(ORIGINAL_ATTRIBUTES, b""), notation.encoding, renewal.of_text)
    there = notation.item_bytes(old) if old else []
    return notation.sequence(ORIGINAL_ATTRIBUTES, [*there, notation.item(content)])


# --- what changes with it --------------------------------------------------------------------------------------------


def _others(source: Source, plan: Plan, renewal: Renewal) -> Iterator[Renewed]:
    """Every element without a plan that reads differently in ISO_IR 192, or that names a UID that changes."""
    skipped = plan.wanted.keys() | {SPECIFIC_CHARACTER_SET} | NEVER_READ
    try:
        for tag, start, end in zip(source.tags, source.starts, source.starts[1:], strict=False):
            if tag in skipped or not tag & 0xFFFF or not _may_change(source, start, end, renewal):
                continue
            raw = source.data[start:end]
            here = renewal.of_text if tag == ORIGINAL_ATTRIBUTES else renewal
            if (new := _again(raw, source.encoding, here)) != raw:
                listed = tag != ORIGINAL_ATTRIBUTES and _is_listed(raw, source.encoding, renewal)
                yield Renewed(tag, raw, new, listed)
                if listed and tag >> 16 & 1 and (creator := source.raw(tag & 0xFFFF0000 | tag >> 8 & 0xFF)):
                    yield Renewed(tag & 0xFFFF0000 | tag >> 8 & 0xFF, creator, creator, True)
    except RecursionError as error:
        raise Malformed(elements.CUT_OFF) from error


def _may_change(source: Source, start: int, end: int, renewal: Renewal) -> bool:
    """A quick look that spares most elements a slow one."""
    data = source.data
    if not source.encoding.implicit and b"AA" <= data[start + 4 : start + 6] <= b"ZZ":
        if data[start + 4 : start + 6] not in RENEWABLE:
            return False
        start += 8  # what is left of the header may make a short look a long one, never the other way
    else:
        start += 8
    value = data[start:end]
    return bool(renewal.uids) or not value.isascii() or ESCAPE in value


def _is_listed(raw: bytes, encoding: Encoding, renewal: Renewal) -> bool:
    """Text in another character set is the same text; other UIDs are not, nor is text that was guessed at."""
    guessed = renewal.characters is not None and renewal.characters.undeclared
    signed = renewal.unsigned and any(tag in raw for tag in (b"\xfa\xff\xfa\xff", b"\xff\xfa\xff\xfa"))
    return guessed or signed or _again(raw, encoding, replace(renewal, characters=None)) != raw


def _refuse_late_elements(source: Source, new_ones: Mapping[int, bytes]) -> None:
    late = source.tags[source.tags.index(PIXEL_DATA) + 1 :] if PIXEL_DATA in source.tags else []
    if found := {tag for tag in new_ones.keys() & set(late) if tag < PIXEL_DATA}:
        names = ", ".join(map(name_of, sorted(found)))
        raise CannotWrite(f"The object has {names} behind its pixel data, where no change can be made safely.")


def _refuse_broken_signature(before: dict[int, bytes], new_ones: Mapping[int, bytes], notation: Notation) -> None:
    """A signature over an attribute that changes would no longer hold, and to drop it unasked would hide that."""
    if not notation.encoding.value(before.get(DIGITAL_SIGNATURES, b"")):
        return
    macs = notation.items(before.get(MAC_PARAMETERS, b""))
    signed = {int(tag) for mac in macs for tag in _values(mac.get("DataElementsSigned"))}
    if not signed or signed & new_ones.keys():
        names = ", ".join(map(name_of, sorted(signed & new_ones.keys()))) or "attributes that it hides"
        raise CannotWrite(
            f"The object carries a digital signature over {names}, which the mapping changes: the signature would "
            "break. Ask the sender for an unsigned copy, or have the mapping remove the signatures."
        )


def _values(value) -> list:
    return [] if value is None else list(value) if isinstance(value, Sequence) else [value]
