"""Whether two objects hold the same content, whatever transfer syntax each of them is written in (PS3.5 annex A).

Elements are compared by their bytes, in little endian and without padding; the pixels of a lossless codec frame by
frame, as they were before it. What was lost cannot be compared: a lossy image is only the same as its own code stream.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import dcmread, uid
from pydicom.pixels import iter_pixels

from reconciliation.dicom import elements, outline
from reconciliation.dicom.child import Child, Gone, guard, limited
from reconciliation.dicom.elements import PIXEL_DATA, TEXTS, Element, Encoding, Malformed, name_of, vr_of
from reconciliation.dicom.outline import Source

MEMORY = 1024 << 20  # bytes that the child may use, its program included; mapped files do not count
PROCESSOR = 30.0  # seconds of processor time for one pair
PATIENCE = 40.0  # seconds of wall time for one pair, and more for a large one:
SLOWEST = 16 << 20  # bytes a second that any disk reads
BLOCK = 1 << 20
MAPPED = 0  # bytes that are read at once: none, so that the file is mapped as a whole

JPEG_2000 = {str(uid.JPEG2000Lossless), str(uid.HTJ2KLossless), str(uid.HTJ2KLosslessRPCL)}
LOSSLESS = JPEG_2000 | {str(uid.JPEGLossless), str(uid.JPEGLosslessSV1), str(uid.JPEGLSLossless), str(uid.RLELossless)}
REVERSIBLE = {"YBR_RCT": "RGB"}  # of JPEG 2000: the decoder gives back the colours that went in (PS3.5 8.2.4)

PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, DERIVATION_DESCRIPTION = 0x00280004, 0x00280006, 0x00082111
OF_THE_CODEC = {PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, DERIVATION_DESCRIPTION}
LENGTH_TO_END, PADDING = 0x00080001, 0xFFFCFFFC
OFFSETS = {0x7FE00001, 0x7FE00002, 0x7FE00003}  # where frames lie in their code stream
NEVER_COMPARED = {LENGTH_TO_END, PADDING, PIXEL_DATA} | OFFSETS
LETTERS = TEXTS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
WORDS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4}
WORDS |= {"FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}  # bytes whose order turns with the transfer syntax

DIFFER = "They differ in {}."
NOT_COMPARED = "They could not be compared: {}."
LOSSY = "one of them was compressed with loss, which is never the same as what is decoded from it"
DAMAGED = "no decoder here can read the pixels of one of them"
TOO_SLOW = NOT_COMPARED.format("that would take too long")
BROKEN = NOT_COMPARED.format("one of them stops the program that decodes it")


class NotComparable(Exception):
    """str() says why, as the end of a sentence."""


class Comparer(Child):
    """Asks the child whether two files hold the same."""

    module, too_slow, broken = "reconciliation.dicom.content", TOO_SLOW, BROKEN

    def __init__(self, *, memory: int = MEMORY, processor: float = PROCESSOR, patience: float = PATIENCE) -> None:
        self.patience = patience
        super().__init__(str(memory), str(processor))

    def differs(self, one: Path, other: Path) -> str:
        """Say in what two objects differ, or why they cannot be compared; "" where their content is the same.

        Raises OSError when a file cannot be opened, or when no child can be started.
        """
        paths = [str(path.resolve()) for path in (one, other)]
        size = sum(path.stat().st_size for path in (one, other))
        with self._lock:
            try:
                self._ask(json.dumps(paths).encode() + b"\n")
                return json.loads(self._line(self.patience + size / SLOWEST))
            except Gone as gone:
                return str(gone)
            except BaseException:
                self.close()  # what it still answers must never be taken for the answer to another question
                raise


# --- in the child, or wherever no limits are needed ------------------------------------------------------------------


def difference(one: Path, other: Path) -> str:
    """The same in this process and without limits. Raises NotComparable, or what a decoder raises."""
    try:
        with outline.opened(one, reach=MAPPED) as before, outline.opened(other, reach=MAPPED) as after:
            return _difference(_Object(one, before), _Object(other, after))
    except Malformed as problem:
        raise NotComparable("one of them is damaged") from problem


class _Object(NamedTuple):
    path: Path
    source: Source

    @property
    def pixels(self) -> Element | None:
        return next((element for element in self.source.elements if element.tag == PIXEL_DATA), None)

    @property
    def is_encapsulated(self) -> bool:
        return bool(self.pixels and self.pixels.undefined)

    def text(self, tag: int) -> str:
        return self.source.encoding.value(self.source.raw(tag)).decode("latin-1")


def _difference(one: _Object, other: _Object) -> str:
    by_codec = one.is_encapsulated or other.is_encapsulated
    levels = [_Level(each.source.data, each.source.elements, each.source.encoding) for each in (one, other)]
    tags = _differing(*levels, passed_over=NEVER_COMPARED | (OF_THE_CODEC if by_codec else set()))
    if tag := next(tags, 0):
        return DIFFER.format(name_of(tag))
    if (one.pixels is None) != (other.pixels is None):
        return DIFFER.format(name_of(PIXEL_DATA))
    if by_codec and _colours(one) != _colours(other):
        return DIFFER.format(name_of(PHOTOMETRIC_INTERPRETATION))
    if by_codec and not _same_derivation(*(each.text(DERIVATION_DESCRIPTION) for each in (one, other))):
        return DIFFER.format(name_of(DERIVATION_DESCRIPTION))
    return "" if one.pixels is None or _same_pixels(one, other) else DIFFER.format(name_of(PIXEL_DATA))


# --- elements --------------------------------------------------------------------------------------------------------


class _Level:
    """The elements of a data set or of an item, each tag once."""

    def __init__(self, data, found, encoding: Encoding) -> None:
        self.data, self.encoding, self.elements = data, encoding, {}
        for element in found:
            if element.tag in self.elements:
                raise Malformed(elements.CUT_OFF)
            self.elements[element.tag] = element

    def items(self, element: Element, depth: int) -> list[_Level]:
        inside = elements.inner(self.data, element.value, element.vr, elements.as_written(element, self.encoding))
        found = elements.items(self.data, element.value, element.end, inside, depth=depth)
        walked = ((item, elements.walk(self.data, item.start, item.end, inside, depth=depth)) for item in found)
        return [_Level(self.data, list(level), inside) for _, level in walked]

    def value(self, element: Element) -> bytes:
        return self.data[element.value : element.end - 8 * element.undefined]

    def blocks(self, element: Element, word: int) -> Iterator[bytes]:
        end = element.end - 8 * element.undefined
        for start in range(element.value, end, BLOCK):
            block = self.data[start : min(start + BLOCK, end)]
            yield block if self.encoding.little else _turned(block, word)


def _differing(one: _Level, other: _Level, *, passed_over: set[int] = frozenset(), depth: int = 0) -> Iterator[int]:
    """Every tag whose element is not the same in both. Lengths of groups are retired, and no content."""
    for tag in sorted(one.elements.keys() | other.elements.keys()):
        if tag & 0xFFFF and tag not in passed_over:
            here, there = one.elements.get(tag), other.elements.get(tag)
            if here is None or there is None or not _same_element(one, here, other, there, depth):
                yield tag


def _same_element(one: _Level, here: Element, other: _Level, there: Element, depth: int) -> bool:
    kinds = {element.vr for element in (here, there)} - {"", "UN"} or {vr_of(here), vr_of(there)} - {"UN"}
    if "SQ" in kinds:
        pairs = zip_longest(one.items(here, depth + 1), other.items(there, depth + 1))
        return all(a and b and not any(_differing(a, b, depth=depth + 1)) for a, b in pairs)
    if kinds and kinds <= LETTERS:
        return one.value(here).rstrip(b" \0") == other.value(there).rstrip(b" \0")
    words = {WORDS.get(kind, 1) for kind in kinds} or {1}
    if len(words) > 1 and one.encoding.little != other.encoding.little:
        return False
    return _same_blocks(one.blocks(here, max(words)), other.blocks(there, max(words)))


def _turned(block: bytes, word: int) -> bytes:
    """Big endian words as little endian ones."""
    if word == 1 or len(block) % word:
        return block
    return np.frombuffer(block, f">u{word}").astype(f"<u{word}").tobytes()


def _same_blocks(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    """Whether two streams are the same, but for the zero that makes a length even."""
    ahead, behind = b"", b""
    for new, newer in zip_longest(one, other, fillvalue=b""):
        ahead, behind = ahead + new, behind + newer
        common = min(len(ahead), len(behind))
        if ahead[:common] != behind[:common] or max(len(ahead), len(behind)) - common > BLOCK:
            return False
        ahead, behind = ahead[common:], behind[common:]
    return (ahead or behind) in (b"", b"\0")


# --- pixels ----------------------------------------------------------------------------------------------------------


def _colours(each: _Object) -> str:
    said = each.text(PHOTOMETRIC_INTERPRETATION)
    return REVERSIBLE.get(said, said) if each.source.syntax in JPEG_2000 else said


def _same_derivation(one: str, other: str) -> bool:
    """DCMTK writes a note of a lossless compression before what is there."""
    shorter, longer = sorted((one, other), key=len)
    return one == other or (longer.startswith("Lossless ") and shorter in longer)


def _same_pixels(one: _Object, other: _Object) -> bool:
    if not one.is_encapsulated and not other.is_encapsulated:
        return _same_blocks(_native(one), _native(other))
    if one.source.syntax == other.source.syntax and _same_blocks(_code_stream(one), _code_stream(other)):
        return True
    for each in (one, other):
        if each.is_encapsulated and each.source.syntax not in LOSSLESS:
            raise NotComparable(LOSSY)
    return _same_frames(one, other)


def _native(each: _Object) -> Iterator[bytes]:
    level = _Level(each.source.data, [each.pixels], each.source.encoding)
    return level.blocks(each.pixels, 2 if each.pixels.vr == "OW" else 1)


def _code_stream(each: _Object) -> Iterator[bytes]:
    """All fragments; the first item only tells where the frames begin (PS3.5 A.4)."""
    source = each.source
    fragments = elements.items(source.data, each.pixels.value, each.pixels.end, source.encoding)
    next(fragments, None)
    for item in fragments:
        for start in range(item.start, item.end, BLOCK):
            yield source.data[start : min(start + BLOCK, item.end)]


def _same_frames(one: _Object, other: _Object) -> bool:
    stored = _stored(one)
    for frame, again in zip_longest(_frames(one), _frames(other)):
        if frame is None or again is None or frame.shape != again.shape:
            return False
        if not np.array_equal(frame, again):
            samples = [stored(each) for each in (frame, again)]
            if any(each is None for each in samples) or not np.array_equal(*samples):
                return False
    return True


def _frames(each: _Object) -> Iterator[np.ndarray]:
    """One frame after the other, as the codec took them in."""
    deflated = each.source.deflated
    try:
        yield from iter_pixels(dcmread(each.path, force=True) if deflated else each.path, raw=True)
    except MemoryError:
        raise
    except Exception as problem:  # a decoder may raise anything
        raise NotComparable(DAMAGED) from problem


def _stored(each: _Object) -> Callable[[np.ndarray], np.ndarray | None]:
    """Samples by their stored bits. Writers fill what is above them with zeros or with the sign; where it holds
    something else (an old overlay), there is no telling."""
    ds = dcmread(each.path, force=True, stop_before_pixels=True, specific_tags=["BitsStored", "HighBit"])
    bits, high = int(ds.get("BitsStored") or 0), int(ds.get("HighBit") or 0)

    def samples(frame: np.ndarray) -> np.ndarray | None:
        unused = frame.dtype.itemsize * 8 - bits
        if frame.dtype.kind not in "iu" or not bits or unused <= 0 or high != bits - 1:
            return None
        values = (frame << unused) >> unused
        zero_filled = values & ((1 << bits) - 1)
        return values if np.all((frame == values) | (frame == zero_filled)) else None

    return samples


# --- the child -------------------------------------------------------------------------------------------------------


def main() -> None:
    memory, processor = int(sys.argv[1]), float(sys.argv[2])
    warnings.simplefilter("ignore")
    guard(memory)
    for line in sys.stdin.buffer:
        with limited(processor):
            answer = _answer(*map(Path, json.loads(line)))
        os.write(1, json.dumps(answer).encode() + b"\n")


def _answer(one: Path, other: Path) -> str:
    try:
        return difference(one, other)
    except NotComparable as problem:
        return NOT_COMPARED.format(problem)
    except MemoryError:
        return NOT_COMPARED.format("that would take too much memory")
    except Exception as problem:  # a door: whatever an object does to who compares it, it stays a conflict
        return NOT_COMPARED.format(f"one of them is not written as it should be ({type(problem).__name__})")


if __name__ == "__main__":
    main()
