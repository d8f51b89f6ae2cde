"""An element written anew at all its depths: text moved to ISO_IR 192, UIDs given others, signatures taken out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from policies.rules.values import is_uid
from reconciliation.dicom.characters import ESCAPE, Characters
from reconciliation.dicom.elements import (
    ITEM,
    SEQUENCE_END,
    SPECIFIC_CHARACTER_SET,
    TEXTS,
    UNDEFINED,
    Element,
    Encoding,
    Item,
    Malformed,
    as_written,
    inner,
    items,
    vr_of,
    walk,
)

MAC_PARAMETERS, DIGITAL_SIGNATURES = 0x4FFE0001, 0xFFFAFFFA
WELL_KNOWN = "1.2.840.10008."  # UIDs that the standard itself gives: classes, transfer syntaxes, coding schemes


@dataclass(frozen=True, eq=False)
class Renewal:
    """What happens to every element. `characters`: in these its text is, and goes to ISO_IR 192; None: text stays.
    `uids`: the new UID of an old one. `unsigned`: signatures in items that change go; otherwise they forbid it."""

    characters: Characters | None = None
    uids: Mapping[str, str] = field(default_factory=dict)
    unsigned: bool = False

    def __bool__(self) -> bool:
        return bool(self.characters or self.uids)

    @property
    def of_text(self) -> Renewal:
        return replace(self, uids={})


def renewed(data, element: Element, encoding: Encoding, renewal: Renewal) -> bytes | None:
    """The new bytes of the element, None where they are the old ones. Raises Malformed."""
    vr = vr_of(element)
    if vr == "SQ":
        return _sequence(data, element, encoding, renewal)
    if vr == "UI" and renewal.uids:
        value = _renamed(data[element.value : element.end], renewal.uids)
    elif vr in TEXTS and renewal.characters:
        value = _in_utf8(data[element.value : element.end], vr, renewal.characters)
    else:
        return None
    return value and as_written(element, encoding).header(element.tag, element.vr, len(value)) + value


def _in_utf8(value: bytes, vr: str, characters: Characters) -> bytes | None:
    if value.isascii() and ESCAPE not in value:
        return None
    text = characters.decode(value, vr).rstrip("\0 ").encode()
    return text + b" " * (len(text) % 2)


def _renamed(value: bytes, uids: Mapping[str, str]) -> bytes | None:
    old = [uid.strip("\0 ") for uid in value.decode("latin-1").split("\\")]
    new = [uids.get(uid, uid) for uid in old]
    if new == old:
        return None
    for one, other in zip(old, new, strict=True):
        if one != other and (one.startswith(WELL_KNOWN) or other.startswith(WELL_KNOWN) or not is_uid(other)):
            raise Malformed("A UID was to be changed that the standard itself gives, or into one that is not valid.")
    text = "\\".join(new).encode()
    return text + b"\0" * (len(text) % 2)


def _sequence(data, element: Element, encoding: Encoding, renewal: Renewal) -> bytes | None:
    written = as_written(element, encoding)
    inside = inner(data, element.value, element.vr, written)
    spans = list(items(data, element.value, element.end, inside))
    parts = [_item(data, span, inside, renewal) for span in spans]
    if all(part is None for part in parts):
        return None
    whole = [data[span.start : span.end] if part is None else part for span, part in zip(spans, parts, strict=True)]
    content = b"".join(inside.header(ITEM, "", len(part)) + part for part in whole)
    delimiter = inside.header(SEQUENCE_END, "", 0) if element.undefined else b""
    length = UNDEFINED if element.undefined else len(content)
    return written.header(element.tag, element.vr, length) + content + delimiter


def _item(data, item: Item, encoding: Encoding, renewal: Renewal) -> bytes | None:
    """An item that names a character set of its own keeps its text. Lengths of groups in an item that changes go."""
    inside = [element for element in walk(data, item.start, item.end, encoding) if element.tag & 0xFFFF]
    if any(element.tag == SPECIFIC_CHARACTER_SET for element in inside):
        renewal = replace(renewal, characters=None)
    parts = [renewed(data, element, encoding, renewal) for element in inside]
    if all(part is None for part in parts):
        return None
    for place, element in enumerate(inside):
        if element.tag == DIGITAL_SIGNATURES and not renewal.unsigned:
            raise Malformed(
                "A part of the object that must change carries a digital signature of its own, which would break. Ask "
                "the sender for an unsigned copy, or have the mapping remove the signatures."
            )
        if element.tag in (DIGITAL_SIGNATURES, MAC_PARAMETERS) and renewal.unsigned:
            parts[place] = b""
    kept = zip(inside, parts, strict=True)
    return b"".join(data[element.start : element.end] if part is None else part for element, part in kept)
