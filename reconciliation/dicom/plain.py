"""An object written anew without compression, for an archive that takes it in no other way.

The pixels of outside objects are hostile until shown otherwise: a child with little memory and time decodes them. It
serves object after object, because to start it takes longer than most objects do.
"""

from __future__ import annotations

import io
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.pixels import decompress
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from reconciliation.dicom.edit import Made
from reconciliation.dicom.elements import name_of
from reconciliation.dicom.reread import Stitched

PLAIN = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))  # in the order in which we like them
UNCOMPRESSED = {*PLAIN, str(ExplicitVRBigEndian), str(DeflatedExplicitVRLittleEndian)}
# JPEG 2000 may lose nothing under the same UIDs: of that only the object itself can tell.
LOSSY = {str(JPEGBaseline8Bit), str(JPEGExtended12Bit), str(JPEGLSNearLossless)}
MEMORY, SECONDS = 2048 << 20, 60  # bytes of address space, and seconds for one object
ROOT = Path(__file__).resolve().parents[2]
WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}  # bytes whose order turns with the transfer syntax
PIXEL_DATA = 0x7FE00010
DAMAGED = "its pixels are damaged, or need too much memory or time"


class NotPlain(Exception):
    """The object cannot be written without compression; str() says why, as the end of a sentence."""


def told(syntax: str, before: str, why: str) -> str:
    """How an object went that was written anew, in a sentence for staff; `why` is one without its full stop."""
    lost = " It was compressed with loss before; what was lost stays lost." if before in LOSSY else ""
    return f"Sent as {UID(syntax).name}: {why}.{lost}"


class Asked(NamedTuple):
    """One piece of work for the child: an object by its parts, of which the bytes of head and foot follow."""

    original: str
    head: int
    tail: tuple[int, int]
    foot: int
    syntax: str  # to write in: one of PLAIN


class Plainer:
    """Keeps the child, and the nameless file that it writes into. To be closed; `folder` is where that file lies."""

    def __init__(self, folder: Path | None = None, *, idle: Callable[[], None] = lambda: None) -> None:
        self.folder, self.idle = folder, idle
        self.child: subprocess.Popen | None = None
        self.file: BinaryIO | None = None

    def __enter__(self) -> Plainer:
        return self

    def __exit__(self, *ended) -> None:
        self._end()
        if self.file:
            self.file.close()

    def write(self, made: Made, original: Path, syntax: str) -> tuple[int, int]:
        """The data set in this syntax; gives the number of a file that holds it until the next one, and its length.

        Raises NotPlain.
        """
        self._start()
        tail = made.tail_offset, made.tail_end
        asked = Asked(str(Path(original).resolve()), len(made.head), tail, len(made.foot), syntax)
        deadline = time.monotonic() + SECONDS
        try:
            self.child.stdin.write(json.dumps(asked).encode() + b"\n" + made.head + made.foot)
            self.child.stdin.flush()
            told = self._answer(deadline)
        except OSError:
            told = ""
        if not told.endswith("\n"):
            self._end()
            raise NotPlain(DAMAGED)
        if problem := json.loads(told):
            raise NotPlain(problem)
        return self.file.fileno(), os.fstat(self.file.fileno()).st_size

    def _answer(self, deadline: float) -> str:
        """One line of the child; without its end where the child has gone, or takes too long."""
        told = b""
        while not told.endswith(b"\n") and time.monotonic() < deadline:
            if select.select([self.child.stdout], [], [], 1.0)[0]:
                piece = os.read(self.child.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                told += piece
            else:
                self.idle()
        return told.decode(errors="replace")

    def _start(self) -> None:
        if self.file is None:
            self.file = tempfile.TemporaryFile(dir=self.folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        if self.child is None:
            number = self.file.fileno()
            self.child = subprocess.Popen(
                [sys.executable, "-m", "reconciliation.dicom.plain", str(number)],
                cwd=ROOT,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[number],
            )

    def _end(self) -> None:
        if self.child:
            self.child.kill()
            self.child.communicate()
            self.child = None


# --- in the child ----------------------------------------------------------------------------------------------------


def rewritten(source: BinaryIO, out: BinaryIO, syntax: str) -> None:
    """Write the data set of a file into another in an uncompressed syntax. Raises NotPlain, or what a decoder raises.

    What has an odd length is padded. Decoding adds no loss: colours stay as the codec holds them, and what was lossy
    is still said to have been.
    """
    ds = dcmread(source, force=True)
    before = UID(ds.file_meta.TransferSyntaxUID)
    if before not in UNCOMPRESSED:
        _decompress(ds, before)
    for element in _elements(ds):
        if before == ExplicitVRBigEndian:
            _turn(element)
        if isinstance(element.value, bytes) and len(element.value) % 2:
            element.value += b"\0"
    implicit = syntax == ImplicitVRLittleEndian
    file = DicomFileLike(out)
    file.is_implicit_VR, file.is_little_endian = implicit, True
    write_dataset(file, ds)
    out.seek(0)
    if differing := _differing(ds, read_dataset(out, implicit, True, stop_when=lambda tag, *_: tag >= PIXEL_DATA)):
        raise NotPlain(f"{differing} would not be what it was")


def _decompress(ds: Dataset, before: UID) -> None:
    if "PixelData" not in ds:
        return
    decompress(ds, as_rgb=False, generate_instance_uid=False)
    if ds.PhotometricInterpretation in ("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"):
        ds.PhotometricInterpretation = "YBR_FULL"  # decoders give every sample (PS3.5 8.2.1)
    if before in LOSSY:
        ds.LossyImageCompression = "01"  # and stays so (PS3.3 C.7.6.1.1.5)


def _elements(ds: Dataset) -> Iterator[DataElement]:
    for element in ds:
        yield element
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _elements(item)


def _turn(element: DataElement) -> None:
    """Big endian words as little endian ones: pydicom leaves their bytes as they are."""
    size = WORDS.get(element.VR)
    if size and isinstance(element.value, bytes) and len(element.value) % size == 0:
        element.value = np.frombuffer(element.value, f">u{size}").astype(f"<u{size}").tobytes()


def _differing(before: Dataset, after: Dataset) -> str:
    """The name of the first element that did not survive, or "". Lengths of groups are retired, pixels are large."""
    for tag in sorted({*before.keys(), *after.keys()}):
        if tag.element and tag < PIXEL_DATA and not (tag in before and tag in after and _same(before[tag], after[tag])):
            return name_of(tag)
    return ""


def _same(one: DataElement, other: DataElement) -> bool:
    if one.VR == "SQ" and other.VR == "SQ":
        return len(one.value) == len(other.value) and not any(map(_differing, one.value, other.value))
    if isinstance(one.value, bytes) and isinstance(other.value, bytes):
        return one.value.rstrip(b"\0") == other.value.rstrip(b"\0")
    return one.value == other.value or (one.is_empty and other.is_empty) or one.VR == "UN" or other.VR == "UN"


def _limited() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _served(asked: Asked, content: bytes, out: BinaryIO) -> str:
    """Say why not, or ""."""
    head, foot = content[: asked.head], content[asked.head :]
    size = len(content) + asked.tail[1] - asked.tail[0]
    made = Made(head, asked.tail[0], size, 0, "", "", asked.tail[1], foot)
    try:
        out.seek(0)
        out.truncate()
        with open(asked.original, "rb") as original:
            rewritten(io.BufferedReader(Stitched(original.fileno(), made)), out, asked.syntax)
    except NotPlain as problem:
        return str(problem)
    except MemoryError:
        return "that takes too much memory"
    except Exception as problem:  # a decoder may raise anything, and this is the door of the child
        return f"no decoder here can read it ({type(problem).__name__})"
    out.flush()
    return ""


def main() -> int:
    """The child: limits first, then one object after the other until nobody asks any more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    with open(int(sys.argv[1]), "r+b", closefd=False) as out:
        while line := sys.stdin.buffer.readline():
            _limited()
            asked = Asked(*json.loads(line))
            content = sys.stdin.buffer.read(asked.head + asked.foot)
            sys.stdout.write(json.dumps(_served(asked, content, out)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
