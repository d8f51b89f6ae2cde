"""The spool: what doors have received and intake has not yet read. Its promises survive kill -9 and a power cut.

<submission>/origin.json    who, how, when; locked while the door is at it
<submission>/<n>.part       coming in; worth nothing
<submission>/<n>            whole: complete and fsynced
<submission>/<n>.json       what the sender called it, when that was said
<submission>/claim          locked while an intake is at it
.<submission>/              not yet born, or being dropped; never holds an object
"""

import errno
import fcntl
import itertools
import json
import os
import secrets
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from reconciliation.dicom.arrival import Origin

ORIGIN = "origin.json"
CLAIM = "claim"
PART = ".part"
NAME = ".json"
HIDDEN = "."
BIRTH = 60  # seconds; a door needs some milliseconds
IOV_MAX = 1024  # pieces of one call
WRITE_BACK = 256 << 10  # bytes of an object that the disk gets at once, while the rest still comes


class OutOfRoom(OSError):
    """Less than the minimum is free on the disk of the spool."""


class Arrival(NamedTuple):
    number: int
    path: Path
    name: str  # what the sender called it, "" when nothing was said


def fsync_folder(folder: Path) -> None:
    """Make renames and new entries of a folder durable; fsync of the file alone does not."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of it, however many calls that takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _write_new(path: Path, text: str) -> int:
    """A new file, locked and fsynced; gives its open descriptor, which holds the lock."""
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        write_all(fd, text.encode())
        os.fsync(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _new_key() -> str:
    """A UUID of version 7 (RFC 9562, method 3): it begins with the time, so that two of one clock tick still sort."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)))


class Part:
    """One object while it comes in. Leaving the `with` block without `commit` throws it away."""

    def __init__(self, folder: Path, number: int, name: str) -> None:
        self._folder, self._number, self._name = folder, number, name
        self.path = folder / f"{number}{PART}"
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
        self._written = self._given = 0  # bytes in the file, and those of them that are on their way to the disk

    def fileno(self) -> int:
        return self._fd

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises OSError when the disk is full, and then only `abort` is left."""
        write_all(self._fd, data)
        self._give(len(data))

    def commit(self) -> Path:
        """Make it a whole arrival. Once this returns, a success may be answered; if it raises, it must not."""
        whole = self._folder / str(self._number)
        os.fsync(self._fd)
        if self._name:
            os.close(_write_new(whole.with_name(whole.name + NAME), json.dumps({"name": self._name})))
        self._close()
        self.path.rename(whole)
        fsync_folder(self._folder)
        return whole

    def write_pieces(self, pieces: Sequence[memoryview]) -> None:
        """Append all of them in few calls; raises as `write` does."""
        for first in range(0, len(pieces), IOV_MAX):
            batch = pieces[first : first + IOV_MAX]
            written = os.writev(self._fd, batch)
            self._give(written)
            for piece in batch:
                if written < len(piece):
                    self.write(piece[written:])
                written = max(0, written - len(piece))

    def _give(self, count: int) -> None:
        """Start the way to the disk early: else the sync at the end would wait for all of it."""
        self._written += count
        if self._written - self._given >= WRITE_BACK:
            os.posix_fadvise(self._fd, self._given, self._written - self._given, os.POSIX_FADV_DONTNEED)
            self._given = self._written

    def abort(self) -> None:
        """Throw away what has come; harmless after `commit` and when done twice."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.abort()


class Submission:
    """What one sender hands over at one time, held open by its door."""

    def __init__(self, spool: "Spool", key: str, lock: int) -> None:
        self.key = key
        self._spool, self._lock = spool, lock
        self._numbers = itertools.count(1)

    def part(self, name: str = "") -> Part:
        """Begin one object; raises OutOfRoom before the disk is full, so that staff can still finish their work."""
        free = self._spool.free_bytes()
        if free < self._spool.minimum_free:
            raise OutOfRoom(errno.ENOSPC, f"only {free} bytes are free")
        return Part(self._spool.folder(self.key), next(self._numbers), name)

    def close(self) -> None:
        """Say that nothing more will come."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Spool:
    """`minimum_free`: bytes that must stay free on its disk for a new object to be let in."""

    def __init__(self, root: Path | str, *, minimum_free: int = 256 << 20) -> None:
        self.root = Path(root)
        self.minimum_free = minimum_free
        self.root.mkdir(parents=True, exist_ok=True)

    def folder(self, key: str) -> Path:
        """Where a submission lies; raises ValueError for what is no key of ours."""
        return self.root / str(uuid.UUID(key))

    def free_bytes(self) -> int:
        disk = os.statvfs(self.root)
        return disk.f_bavail * disk.f_frsize

    def open(self, origin: Origin) -> Submission:
        """Begin a submission: its origin is durable and locked before anyone can see it."""
        key = _new_key()
        unborn = self.root / f"{HIDDEN}{key}"
        unborn.mkdir(0o750)
        lock = -1
        try:
            lock = _write_new(unborn / ORIGIN, origin.to_json())
            fsync_folder(unborn)
            unborn.rename(self.root / key)
            fsync_folder(self.root)
        except OSError:
            if lock >= 0:
                os.close(lock)
            _remove(unborn)
            raise
        return Submission(self, key, lock)

    def keys(self) -> list[str]:
        """Submissions, oldest first."""
        found = []
        for entry in os.scandir(self.root):
            try:
                opened = os.stat(self.folder(entry.name) / ORIGIN).st_mtime_ns
            except (ValueError, FileNotFoundError, NotADirectoryError):  # hidden, not ours, or dropped meanwhile
                continue
            found.append((opened, entry.name))
        return [key for _, key in sorted(found)]

    def strangers(self) -> list[str]:
        """What lies in the spool and is neither a submission nor hidden: somebody else has put it there."""
        names = {name for name in os.listdir(self.root) if not name.startswith(HIDDEN)}
        return sorted(name for name in names.difference(self.keys()) if (self.root / name).exists())

    def is_open(self, key: str) -> bool:
        """Say whether a door still holds it. The kernel frees the lock of a door that died."""
        return _is_held(self.folder(key) / ORIGIN)

    def hidden(self) -> list[Path]:
        """Folders that nobody holds and that are no submissions: their door or their intake has died, or soon ends."""
        found = [Path(entry.path) for entry in os.scandir(self.root) if entry.name.startswith(HIDDEN)]
        return sorted(folder for folder in found if not _is_held(folder / ORIGIN))

    def sweep_hidden(self, *, older_than: float = BIRTH) -> None:
        """Remove what a dead door did not bring to life and a dead intake did not drop to the end (age in seconds).

        No object was ever in it. A door that was merely slow fails to open its submission, and refuses.
        """
        for folder in self.hidden():
            try:
                if time.time() - folder.stat().st_mtime >= older_than:
                    _remove(folder)
            except OSError:  # gone meanwhile, or it holds what we never put there: that stays
                continue

    def origin(self, key: str) -> Origin:
        return Origin.from_json((self.folder(key) / ORIGIN).read_bytes())

    def whole(self, key: str) -> list[Arrival]:
        """Complete arrivals, in the order in which the door began them."""
        folder = self.folder(key)
        numbers = sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
        return [Arrival(number, folder / str(number), _name(folder, number)) for number in numbers]

    def parts(self, key: str) -> list[Path]:
        """Objects that are coming in, or never came to their end."""
        return sorted(self.folder(key).glob(f"*{PART}"))

    def sweep_parts(self, key: str) -> None:
        """Remove what a dead door left half done; leaves a submission alone while its door is open."""
        if self.is_open(key):
            return
        for part in self.parts(key):
            part.unlink(missing_ok=True)
            part.with_suffix(NAME).unlink(missing_ok=True)

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold a submission for one intake; gives False when another has it or it is gone."""
        path = self.folder(key) / CLAIM
        try:
            fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o640)
        except FileNotFoundError:
            yield False
            return
        try:
            yield _locked(fd) and _is_still(path, fd)
        finally:
            os.close(fd)

    def drop(self, key: str) -> None:
        """Remove an empty submission; raises OSError while a door or an arrival is in it."""
        folder = self.folder(key)
        if not folder.exists():
            return
        names = os.listdir(folder)
        if self.is_open(key) or any(name.isdecimal() or name.endswith(PART) for name in names):
            raise OSError(errno.ENOTEMPTY, f"submission {key} still holds arrivals or is still open")
        gone = folder.with_name(f"{HIDDEN}{folder.name}")
        folder.rename(gone)  # at once: a submission never loses its origin bit by bit
        _remove(gone)


def _remove(folder: Path) -> None:
    """Remove a folder with what we put beside objects; raises OSError while anything else is in it."""
    if not folder.exists():
        return
    for name in os.listdir(folder):
        if name == CLAIM or name.endswith(NAME):
            (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _is_held(path: Path) -> bool:
    """Say whether somebody has a lock on this file; a file that is not there is held by nobody."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _name(folder: Path, number: int) -> str:
    try:
        return json.loads((folder / f"{number}{NAME}").read_bytes())["name"]
    except FileNotFoundError:
        return ""


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    """A lock on a file that was dropped meanwhile is worth nothing."""
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
