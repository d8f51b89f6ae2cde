"""Fuzzing: real objects with wounds, given to the guarded reader, which must give a header or a sentence, and live.

What is found is named by a number, by which the same bytes are made again.
"""

import random
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciliation.dicom.reader import BROKEN, Reader

LONGEST = 10.0  # seconds that one object may take
TOGETHER = 50  # objects of one request
LARGEST = 1 << 20  # bytes of a seed; the wounds matter in its header
WORDS = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"SQ\0\0",
    b"UN\0\0",
    b"DICM",
]
WORDS += [b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x1b$B", b"\\" * 9, b"\x08\0\x05\0CS", b"OB\0\0\xff\xff\xff\xff"]


@dataclass
class Findings:
    """`tried` objects; `unread` of them got a sentence. The rest is what must not be, as numbers for `wounded`."""

    tried: int = 0
    unread: int = 0
    slow: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)  # stopped the program that reads it
    lost: int = 0  # children that were not there any more
    memory: int = 0  # bytes, the most that a child had

    @property
    def clean(self) -> bool:
        return not (self.slow or self.broken or self.lost)


def wounded(data: bytes, seed: int) -> bytes:
    """The same object with one to twelve wounds, most of them near its beginning; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    body = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        at = int(len(body) * chance.random() ** chance.choice((1, 3, 6)))
        _wound(body, at, chance)
    return bytes(body)


def _wound(body: bytearray, at: int, chance: random.Random) -> None:
    kind = chance.randrange(7)
    if kind == 0:
        body[at : at + 1] = bytes([chance.randrange(256)])
    elif kind == 1:
        word = chance.choice(WORDS)
        body[at : at + len(word)] = word
    elif kind == 2:
        body[at:at] = chance.choice(WORDS) * chance.choice((1, 1, 2, 1000))
    elif kind == 3:
        del body[at : at + chance.choice((1, 2, 4, 8, 500))]
    elif kind == 4:
        body[at : at + 4] = struct.pack("<I", chance.choice((0, 1, 7, 0xFFFF, 1 << 31, 0xFFFFFFFE, len(body))))
    elif kind == 5:
        piece = body[at : at + chance.choice((8, 64, 4096))]
        body[at:at] = piece * chance.choice((1, 2, 50))
    else:
        del body[at:]


def fuzz(seeds: Sequence[Path], folder: Path, *, seconds: float, reader: Reader, first: int = 0) -> Findings:
    """Wound and read for so long; files are written into `folder`. `first`: where the counting of seeds begins."""
    found, until = Findings(), time.monotonic() + seconds
    originals = [data for data in (path.read_bytes() for path in seeds) if len(data) <= LARGEST]
    for numbers in _numbers(first, until):
        paths = [folder / f"{place}.dcm" for place in range(TOGETHER)]
        for path, number in zip(paths, numbers, strict=True):
            path.write_bytes(wounded(originals[number % len(originals)], number))
        reader.start()
        child = reader.pid
        for path, number in zip(paths, numbers, strict=True):
            start = time.monotonic()
            (reading,) = reader.read([path])
            found.tried += 1
            found.unread += reading.header is None
            if time.monotonic() - start > LONGEST:
                found.slow.append(number)
            if reading.reason == BROKEN:
                found.broken.append(number)
        found.lost += reader.pid != child
        found.memory = max(found.memory, reader.memory())
    return found


def _numbers(first: int, until: float) -> Iterator[range]:
    while time.monotonic() < until:
        yield range(first, first + TOGETHER)
        first += TOGETHER
