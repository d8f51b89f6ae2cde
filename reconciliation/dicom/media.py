"""What lies on a disc, in a folder or in a ZIP archive, file by file. Names are shown to people and never opened.

A DICOMDIR is not asked: it is wrong or missing too often. Every file is looked at.
"""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from reconciliation.dicom.arrival import PREAMBLE, looks_like_dicom

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
DEEPEST_FOLDER = 64
LONGEST_NAME = 1024
SMALL = 8 << 20  # bytes; below this a high ratio is a black image, above it a bomb

ENCRYPTED = "is locked with a password: ask for the password, unpack it, and import the files."
CUT = "cannot be unpacked; the archive is damaged. Copy it again, or ask for it to be sent again."


class Refused(OSError):
    """Reading has to stop; str() says why, to the person at the desk."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: entries, bytes of one file, bytes of all of them, and how tightly it may be packed."""

    entries: int = 50_000
    file_bytes: int = 8 << 30
    total_bytes: int = 64 << 30
    ratio: int = 100
    directory_bytes: int = 32 << 20  # of the archive's own list of contents


@dataclass(frozen=True)
class Found:
    """One file. With a `problem` it is not to be opened. Reading may still raise Refused, or OSError for a bad disc."""

    name: str
    open: Callable[[], BinaryIO]
    size: int
    problem: str = ""


def walk(path: Path | str, *, limits: Limits = Limits()) -> Iterator[Found]:
    """Every file of a folder (sorted, links never followed), of a ZIP archive, or the one file that `path` is."""
    path = Path(path)
    if path.is_dir():
        yield from _folder(path, "", DEEPEST_FOLDER)
    elif _is_zip(path):
        yield from _archive(path, limits)
    else:
        yield Found(_readable(path.name), partial(open, path, "rb"), path.stat().st_size)


def _closed() -> BinaryIO:
    raise Refused("This file was refused and is not to be opened.")


def _refused(name: str, why: str, size: int = 0) -> Found:
    return Found(name, _closed, size, f"{_shown(name)} {why}")


def _readable(name: str) -> str:
    """A name as text: old discs have names in some code page, which are no UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _shown(name: str) -> str:
    """A name that may stand in a sentence: printable, and not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


# --- folders ---------------------------------------------------------------------------------------------------------


def _folder(folder: Path, prefix: str, depth: int) -> Iterator[Found]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield _refused(prefix or folder.name, f"cannot be read: {error.strerror}.")
        return
    for entry in entries:
        name = prefix + _readable(entry.name)
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _folder(Path(entry.path), f"{name}/", depth - 1)
            else:
                yield _refused(name, "lies too deep in folders within folders and was not opened.")
        else:
            yield _file(Path(entry.path), name)


def _file(path: Path, name: str) -> Found:
    try:
        status = path.lstat()
    except OSError as error:
        return _refused(name, f"cannot be read: {error.strerror}.")
    if stat.S_ISLNK(status.st_mode):
        return _refused(name, "is a link to another place and was not followed.")
    if not stat.S_ISREG(status.st_mode):
        return _refused(name, "is not an ordinary file and was not opened.")
    return Found(name, partial(_open_itself, path), status.st_size)


def _open_itself(path: Path) -> BinaryIO:
    """Open a file, not what has meanwhile become a link to another."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


# --- archives --------------------------------------------------------------------------------------------------------


def _is_zip(path: Path) -> bool:
    """By its first bytes: a DICOM file whose preamble is that of an archive is a DICOM file."""
    with open(path, "rb") as file:
        head = file.read(PREAMBLE + 4)
    return head.startswith(ZIP) and not looks_like_dicom(head)


def _archive(path: Path, limits: Limits) -> Iterator[Found]:
    with open(path, "rb") as file:
        if why := _too_many(file, limits):
            yield _refused(path.name, why)
            return
    try:
        archive = zipfile.ZipFile(path)  # closes itself with the last Found that refers to it
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        yield _refused(path.name, CUT)
        return
    budget = _Budget(limits.total_bytes)
    for entry in archive.infolist():
        if not entry.is_dir():
            yield _entry(archive, entry, limits, budget)


def _too_many(file: BinaryIO, limits: Limits) -> str:
    """Look at the end record (APPNOTE 4.3.16) before `zipfile` makes an object of every entry it claims."""
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - (1 << 16) - 22 - 20)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        return CUT
    count, length = struct.unpack_from("<HI", tail, at + 10)
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        (position,) = struct.unpack_from("<Q", tail, at - 12)
        file.seek(min(position, size))
        record = file.read(56)
        if len(record) < 56:
            return CUT
        count, length = struct.unpack_from("<QQ", record, 32)
    if count > limits.entries or length > limits.directory_bytes:
        return f"holds too many files (the limit is {limits.entries}). Unpack it and import the folders one by one."
    return ""


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits, budget: "_Budget") -> Found:
    if why := _barred(entry, limits):
        return _refused(entry.filename, why, entry.file_size)
    try:
        with _open_entry(archive, entry, limits, _Budget(SMALL)) as stream:
            head = stream.read(PREAMBLE + 4)
    except Refused as refused:
        return Found(entry.filename, _closed, entry.file_size, str(refused))
    if head.startswith(ZIP) and not looks_like_dicom(head):
        return _refused(entry.filename, "is an archive within an archive: unpack it and import its files.")
    return Found(entry.filename, partial(_open_entry, archive, entry, limits, budget), entry.file_size)


def _barred(entry: zipfile.ZipInfo, limits: Limits) -> str:
    """Say why an entry is not opened, or ""."""
    if entry.flag_bits & 0x1:
        return ENCRYPTED
    if _escapes(entry.orig_filename):
        return "has a name that points outside the archive; it was not opened."
    if len(entry.orig_filename) > LONGEST_NAME:
        return "has a name that is too long; it was not opened."
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link to another place and was not followed."
    if entry.file_size > limits.file_bytes:
        return "is too large to be imported from an archive: unpack it and import the file."
    if entry.file_size > SMALL and entry.file_size > limits.ratio * max(1, entry.compress_size):
        return "is packed so tightly that it could fill the disk; it was not opened."
    return ""


def _escapes(name: str) -> bool:
    steps = name.replace("\\", "/").split("/")
    return "\0" in name or ".." in steps or not steps[0] or steps[0].endswith(":")


class _Budget:
    """Bytes that may still be read from an archive: what is counted is what comes out, not what a header says."""

    def __init__(self, total: int) -> None:
        self.left = total

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Refused("The archive holds more than can be imported at once. Unpack it and import it in parts.")


def _open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits, budget: _Budget) -> BinaryIO:
    try:
        return io.BufferedReader(_Entry(archive.open(entry), entry, limits, budget), 1 << 16)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise Refused(f"{_shown(entry.filename)} {CUT}") from error


class _Entry(io.RawIOBase):
    """An entry being unpacked, within the limits."""

    def __init__(self, stream: BinaryIO, entry: zipfile.ZipInfo, limits: Limits, budget: _Budget) -> None:
        self._stream, self._name, self._budget = stream, _shown(entry.filename), budget
        self._left = min(limits.file_bytes, max(SMALL, limits.ratio * max(1, entry.compress_size)))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        try:
            count = self._stream.readinto(buffer)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise Refused(f"{self._name} {CUT}") from error
        self._left -= count
        if self._left < 0:
            raise Refused(f"{self._name} is larger than it says; it was not read to its end.")
        self._budget.take(count)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
