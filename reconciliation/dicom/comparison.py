"""Two data sets, as pydicom reads them, and whether they differ by what the mapping says and by nothing else.

Nothing here knows how the splice works, so that a mistake in it cannot hide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from policies.rules.coercion import Action, Change, Item, Value
from reconciliation.dicom.elements import SPECIFIC_CHARACTER_SET, TEXTS, name_of

PATIENT_ID, ISSUER, QUALIFIERS = 0x00100020, 0x00100021, 0x00100024
CONTRIBUTING_EQUIPMENT, COERCION_TIME, ORIGIN_STATUS = 0x0018A001, 0x00080015, 0x04000600
ORIGINAL_ATTRIBUTES, LENGTH_TO_END = 0x04000561, 0x00080001
SIGNATURES = {0x4FFE0001, 0xFFFAFFFA}
NO_CHARACTER_SET = ("", "ISO_IR 6")
NOT_TAKEN_OUT = "\x1b$)A"  # pydicom leaves the escape sequence of ISO 2022 IR 58 in the text
GUESSES = ("utf_8", "latin_1", "iso2022_jp_2")


@dataclass(frozen=True)
class View:
    """How an element may look different and still be the same. `decoded`: its text, in another character set;
    `undeclared`: that the original does not name; `uids`: other UIDs for these; `unsigned`: signatures may be gone."""

    decoded: bool = False
    undeclared: bool = False
    uids: Mapping[str, str] = field(default_factory=dict)
    unsigned: bool = False
    same_deferred: Callable[[RawDataElement, RawDataElement], bool] = lambda one, other: False

    @property
    def by_bytes(self) -> bool:
        return not self.decoded and not self.uids and not self.unsigned


BARE = View()  # byte for byte


def meta_differs(before: Dataset, after: Dataset) -> Iterator[str]:
    syntax = before.file_meta.get("TransferSyntaxUID")
    if before.original_encoding != after.original_encoding or syntax not in (None, after.file_meta.TransferSyntaxUID):
        yield "The transfer syntax is not what it was in the original."
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        in_meta = after.file_meta.get(f"MediaStorage{keyword}")
        if not in_meta or in_meta != after.get(keyword, in_meta):
            yield f"The file meta information does not have the {dictionary_description(keyword)} of the data set."


def is_widened(before: Dataset, after: Dataset) -> bool:
    return text_of(before, SPECIFIC_CHARACTER_SET) != text_of(after, SPECIFIC_CHARACTER_SET)


def data_set_differs(
    before: Dataset,
    after: Dataset,
    changes: Sequence[Change],
    uids: Mapping[str, str],
    same_deferred: Callable[[RawDataElement, RawDataElement], bool],
) -> Iterator[str]:
    planned = {tag_for_keyword(change.path): change for change in changes}
    unsigned = any(planned[tag].action is Action.REMOVE for tag in SIGNATURES & planned.keys())
    widened = is_widened(before, after)
    undeclared = widened and text_of(before, SPECIFIC_CHARACTER_SET) in NO_CHARACTER_SET
    view = View(widened, undeclared, uids, unsigned, same_deferred)
    if widened and text_of(after, SPECIFIC_CHARACTER_SET) != "ISO_IR 192":
        yield "The character set changed, and not to ISO_IR 192."
    others = sorted({*before.keys(), *after.keys()} - planned.keys() - {SPECIFIC_CHARACTER_SET, ORIGINAL_ATTRIBUTES})
    kept = {tag for tag, change in planned.items() if change.action is Action.APPEND and tag != ORIGINAL_ATTRIBUTES}
    lost = {tag for tag in {*others, *kept} & before.keys() if _loses(before, tag, view)}
    for tag in others:
        if not is_length(tag) and not _unchanged(before, after, tag, view):
            yield f"{name_of(tag)} is not what it was in the original, and nothing was planned for it."
    originals = planned.pop(ORIGINAL_ATTRIBUTES, None)
    for tag, change in planned.items():
        if not _is_planned(change, before, after, tag, view):
            yield f"{name_of(tag)} is not as planned."
    lost |= {tag for tag in planned if tag != CONTRIBUTING_EQUIPMENT and text_of(before, tag) != text_of(after, tag)}
    lost -= {tag for tag in (COERCION_TIME, ORIGIN_STATUS) if not text_of(before, tag)}
    lost |= {SPECIFIC_CHARACTER_SET} if widened else set()
    yield from _originals_differ(before, after, lost, originals, view)


def _is_planned(change: Change, before: Dataset, after: Dataset, tag: int, view: View) -> bool:
    if change.action is Action.REMOVE:
        return tag not in after
    if change.action is not Action.APPEND:
        return tag in after and text_of(after, tag) == plain(change.new)
    count = len(before[tag].value or []) if tag in before else 0
    now = text_of(after, tag) or []
    there = now[:count]
    new = [item for item in plain(change.new) if _key(item) not in map(_key, there)]
    return now[count:] == new and _items_unchanged(before, after, tag, view)


def _originals_differ(before: Dataset, after: Dataset, lost: set[int], change: Change | None, view: View):
    """PS3.3 C.12.1.1.9, seen from outside: earlier items stay, and one more holds every value that was lost."""
    there, now = ([*(ds.get("OriginalAttributesSequence") or [])] for ds in (before, after))
    added = now[len(there) :]
    of_text = View(view.decoded, view.undeclared)
    if not _items_unchanged(before, after, ORIGINAL_ATTRIBUTES, of_text) or len(added) > 1:
        yield "Original Attributes does not hold its earlier items, and at most one more."
    elif lost and not added:
        yield f"Original Attributes does not keep the old values of {', '.join(map(name_of, sorted(lost)))}."
    for item in added:
        told = {keyword: text for keyword, text in _shown(item).items() if keyword != "ModifiedAttributesSequence"}
        if change is None or [told] != plain(change.new):
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
        elif text_of(kept, tag) != text_of(before, tag) or (
            tag in before and not _unchanged(before, kept, tag, View())
        ):
            yield f"Original Attributes keeps another {name_of(tag)} than the original had."


def _unchanged(before: Dataset, after: Dataset, tag: int, view: View) -> bool:
    """Whether an element is the same in both: its bytes, or what the view allows."""
    one, other = (ds.get_item(tag) if tag in ds else None for ds in (before, after))
    if one is None or other is None:
        return one is other
    raw = [each.value or b"" for each in (one, other) if isinstance(each, RawDataElement)]
    if any(each.value is None and each.length for each in (one, other) if isinstance(each, RawDataElement)):
        return one.length == other.length and view.same_deferred(one, other)
    both_raw = len(raw) == 2
    if both_raw and (view.by_bytes or not (view.uids or view.unsigned or _has_letters(raw[0]))):
        return raw[0] == raw[1] and one.VR == other.VR
    vr = before[tag].VR
    if vr == "SQ":
        return len(before[tag].value) == len(after[tag].value) and _items_unchanged(before, after, tag, view)
    if vr == "UI" and view.uids:
        return [view.uids.get(uid, uid) for uid in _several(before[tag].value)] == _several(after[tag].value)
    if both_raw and (vr not in TEXTS or not view.decoded):
        return raw[0] == raw[1]
    if both_raw and view.undeclared and _has_letters(raw[0]):
        return raw[1].decode("utf_8").rstrip("\0 ") in _guesses(raw[0])
    if vr in TEXTS:
        return text_of(before, tag) == text_of(after, tag)
    return before[tag].value == after[tag].value


def _has_letters(raw: bytes) -> bool:
    return not raw.isascii() or b"\x1b" in raw


def _guesses(raw: bytes) -> set[str]:
    return {raw.decode(codec, "ignore").rstrip("\0 ") for codec in GUESSES}


def _items_unchanged(before: Dataset, after: Dataset, tag: int, view: View) -> bool:
    """Whether the items that there were are the first ones that there are."""
    there, now = ([*(ds[tag].value or [])] if tag in ds else [] for ds in (before, after))
    return len(there) <= len(now) and all(map(_item_unchanged, there, now, [view] * len(there)))


def _item_unchanged(one: Dataset, other: Dataset, view: View) -> bool:
    """An item that names a character set keeps its text."""
    if view.decoded and SPECIFIC_CHARACTER_SET in one:
        view = View(uids=view.uids, unsigned=view.unsigned)
    gone = SIGNATURES - other.keys() if view.unsigned else set()
    tags = {tag for tag in {*one.keys(), *other.keys()} - gone if not is_length(tag)}
    return all(_unchanged(one, other, tag, view) for tag in tags)


def _loses(ds: Dataset, tag: int, view: View) -> bool:
    """Whether an element does not keep its value though nothing is planned for it: a UID in it is another now, or it
    holds text that could only be guessed at."""
    if not view.uids and not view.undeclared:
        return False
    element = ds.get_item(tag)
    vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
    if vr in TEXTS:
        return view.undeclared and isinstance(element, RawDataElement) and _is_lost(element.value or b"")
    if ds[tag].VR == "SQ":
        return any(_loses(item, each, view) for item in ds[tag].value or [] for each in [*item.keys()])
    return ds[tag].VR == "UI" and any(uid in view.uids for uid in _several(ds[tag].value))


def _is_lost(raw: bytes) -> bool:
    """Whether a guess changes the bytes: all but UTF-8, which stays what it is."""
    try:
        return b"\x1b" in raw or raw.decode("utf_8") is None
    except UnicodeDecodeError:
        return True


def _several(value) -> list[str]:
    return [] if value is None else [*map(str, value if isinstance(value, list | MultiValue) else [value])]


def text_of(ds: Dataset, tag: int) -> Value:
    """A value as the mapping says it; "" where there is none."""
    if tag not in ds or ds[tag].is_empty:
        return ""
    value = ds[tag].value
    if ds[tag].VR == "SQ":
        return [_shown(item) for item in value]
    texts = [text.replace(NOT_TAKEN_OUT, "").rstrip(" \0") for text in _several(value)]
    return texts if len(texts) > 1 else texts[0]


def _shown(item: Dataset) -> Item:
    return {keyword_for_tag(tag) or str(tag): text_of(item, tag) for tag in [*item.keys()]}


def plain(value: Value) -> Value:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [{keyword: plain(inner) for keyword, inner in item.items()} for item in value]
    texts = [text.rstrip() for text in (value if isinstance(value, list) else [value or ""])] or [""]
    return texts if len(texts) > 1 else texts[0]


def _key(item: Item) -> tuple[Value, Value] | Item:
    return (item["PatientID"], item.get("IssuerOfPatientID") or "") if "PatientID" in item else item


def is_length(tag: int) -> bool:
    return not tag & 0xFFFF or tag == LENGTH_TO_END
