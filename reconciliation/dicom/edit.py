"""An object as the archive gets it: the bytes of the original, and only what the mapping changes written anew.

`coerce` says what that is; here it is put in its place. What was made is read again in `reread`, which knows nothing of
how it was made.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from policies.rules.coercion import Change
from reconciliation.dicom import elements, outline
from reconciliation.dicom.coerce import CannotWrite, rewritten
from reconciliation.dicom.elements import PIXEL_DATA, Malformed, name_of
from reconciliation.dicom.outline import Source

HEAD_MAXIMUM = 512 << 20  # bytes that `make` holds in memory; `write` has no such limit
BLOCK = 256 << 10  # bytes; at this size a copy through memory is faster than one by the kernel (cache of the processor)

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
NO_UIDS: Mapping[str, str] = {}

_memory = threading.local()


@dataclass(frozen=True)
class Made:
    """A whole object: `head`, then the original from `tail_offset` to `tail_end`, then `foot`.

    The foot is empty and the tail runs to the end of the original, but where something behind Pixel Data changes.
    """

    head: bytes  # preamble, file meta and the data set as far as it changes
    tail_offset: int
    size: int  # bytes of the whole object
    dataset_offset: int  # in `head`: where the data set begins
    TransferSyntaxUID: str
    SOPInstanceUID: str
    tail_end: int
    foot: bytes = b""


class Span(NamedTuple):
    """Bytes of the original, by offsets."""

    start: int
    end: int


Piece = bytes | Span


def make(original: Path, changes: Sequence[Change], *, uids: Mapping[str, str] = NO_UIDS) -> Made:
    """The object with the changes applied: its new bytes, and where the original goes on. Raises CannotWrite.

    `uids` gives the new UID of an old one: it takes its place in every element at every depth, so that references
    between objects hold; those that the standard gives (classes, transfer syntaxes, coding schemes) cannot change.
    """
    with _spliced(original, changes, uids, reach=outline.REACH) as (source, meta, pieces):
        where = _place_of_tail(source, pieces)
        before, tail, behind = pieces[:where], pieces[where], pieces[where + 1 :]
        if sum(map(_length, (*before, *behind))) > HEAD_MAXIMUM:
            raise CannotWrite(f"The header of this object is larger than {HEAD_MAXIMUM >> 20} MiB.")
        head, foot = (b"".join(_bytes(source, piece) for piece in each) for each in ([meta.head, *before], behind))
        size = len(head) + _length(tail) + len(foot)
        return Made(head, tail.start, size, len(meta.head), source.syntax, meta.SOPInstanceUID, tail.end, foot)


def write(original: Path, target: Path, changes: Sequence[Change], *, uids: Mapping[str, str] = NO_UIDS) -> None:
    """The same as a file, in flat memory. Raises CannotWrite, or OSError; then there is no target."""
    with _spliced(original, changes, uids, reach=outline.REACH) as (source, meta, pieces):
        made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            _write(made, source, _joined(source, [meta.head, *pieces]))
        except BaseException:
            Path(target).unlink(missing_ok=True)
            raise
        finally:
            os.close(made)


def _write(target: int, source: Source, pieces: Iterable[Piece]) -> None:
    """In whole blocks, head and tail in the first one: the page cache takes them in larger steps."""
    block, filled = _block(), 0
    for piece in pieces:
        position, end = (0, len(piece)) if isinstance(piece, bytes) else piece
        while position < end:
            room = block[filled : filled + end - position]
            if isinstance(piece, bytes):
                count = len(room)
                room[:] = piece[position : position + count]
            elif not (count := os.preadv(source.fileno, [room], position)):
                raise OSError("The original became shorter while it was copied.")
            position, filled = position + count, filled + count
            if filled == BLOCK:
                _write_all(target, block)
                filled = 0
    _write_all(target, block[:filled])


def _write_all(target: int, data: memoryview) -> None:
    while data:
        data = data[os.write(target, data) :]


def _block() -> memoryview:
    """Memory to copy through, one for each thread, kept because fresh memory costs more than the copy."""
    if not hasattr(_memory, "block"):
        _memory.block = memoryview(bytearray(BLOCK))
    return _memory.block


# --- the splice ------------------------------------------------------------------------------------------------------


class Meta(NamedTuple):
    head: bytes  # preamble and file meta information
    SOPInstanceUID: str


@contextmanager
def _spliced(
    original: Path, changes: Sequence[Change], uids: Mapping[str, str], *, reach: int
) -> Iterator[tuple[Source, Meta, list[Piece]]]:
    """The pieces of the new data set in order; where nothing behind Pixel Data changes, the last one is a span."""
    try:
        with outline.opened(original, reach=reach) as source:
            new_ones = rewritten(source, changes, uids)
            pieces = list(_pieces(source, new_ones))
            yield source, _meta(source, new_ones), _deflated(source, pieces) if source.deflated else pieces
    except Malformed as error:
        raise CannotWrite(str(error)) from error


def _pieces(source: Source, new_ones: Mapping[int, bytes]) -> Iterator[Piece]:
    edits = [(source.place(tag),) * 2 + (tag, raw) for tag, raw in new_ones.items() if raw]
    edits += [(start, end, tag, b"") for tag in new_ones for start, end in source.spans(tag)]
    position = source.start
    for start, end, _, raw in sorted(edits):
        if start > position:
            yield Span(position, start)
        if raw:
            yield raw
        position = max(position, end)
    yield Span(position, source.end)


def _joined(source: Source, pieces: Sequence[Piece]) -> Iterator[Piece]:
    """What is in memory already, as one piece."""
    waiting = []
    for piece in pieces:
        if isinstance(piece, bytes) or piece.end <= len(source.data) <= outline.REACH:
            waiting.append(_bytes(source, piece))
        else:
            yield b"".join(waiting)
            waiting.clear()
            yield piece
    yield b"".join(waiting)


def _deflated(source: Source, pieces: list[Piece]) -> list[Piece]:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = b"".join(deflater.compress(_bytes(source, piece)) for piece in pieces) + deflater.flush()
    return [deflated + b"\0" * (len(deflated) % 2), Span(source.size, source.size)]


def _place_of_tail(source: Source, pieces: Sequence[Piece]) -> int:
    """The piece with the pixels, which are never changed; the last one, where there are none."""
    pixels = [] if source.deflated else source.spans(PIXEL_DATA)[:1]
    for start, _ in pixels:
        for place in range(len(pieces) - 1, -1, -1):
            piece = pieces[place]
            if isinstance(piece, Span) and piece.start <= start < piece.end:
                return place
    return len(pieces) - 1


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.end - piece.start


def _bytes(source: Source, piece: Piece) -> bytes:
    return piece if isinstance(piece, bytes) else source.data[piece.start : piece.end]


def _meta(source: Source, new_ones: Mapping[int, bytes]) -> Meta:
    uids = []
    for tag, in_meta in ((SOP_CLASS_UID, 0x00020002), (SOP_INSTANCE_UID, 0x00020003)):
        uid = source.encoding.value(new_ones.get(tag) or source.raw(tag)) or source.meta.get(in_meta, b"")
        uids.append(uid.strip(b"\0 "))
        if not uids[-1]:
            raise CannotWrite(f"The object has no {name_of(tag)}.")
    return Meta(elements.file_head(*uids, source.syntax.encode()), uids[1].decode("latin-1"))
