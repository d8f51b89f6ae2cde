"""The vault: original bytes, never changed, named by what they are and never by what a sender wrote.

It only grows, but for what `remove` takes out on an approved decision.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from reconciliation.dicom.spool import fsync_folder

DIGEST = re.compile(r"[0-9a-f]{64}")
PREFIXES = [f"{first:02x}" for first in range(256)]
CHUNK = 1 << 20
LOCK = ".lock"  # beside the folders of digits


class Mismatch(OSError):
    """The vault holds a file of this digest that has another size: one of the two is damaged. Nothing was removed."""


class Kept(NamedTuple):
    """A file of the vault as it lies on disk. `links`: more than one while the spool holds it too."""

    digest: str
    size: int
    links: int


class Vault:
    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._durable: set[Path] = set()  # folders whose own entry is synced; none is ever removed

    def path(self, digest: str) -> Path:
        """Where the bytes of this SHA-256 (64 small hexadecimal digits) lie or would lie."""
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no SHA-256")
        return self.root / digest[:2] / digest[2:4] / digest

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def link(self, src: Path, digest: str) -> Path:
        """The same for one file; gives its place in the vault."""
        self.link_all([(src, digest)])
        return self.path(digest)

    def link_all(self, files: Iterable[tuple[Path, str]]) -> None:
        """Give spooled files their second name, in the vault, and come back when that is durable. They stay in the
        spool until their rows are committed, so a crash between the two loses nothing. Same file system; may be run
        again. Raises Mismatch."""
        touched = {self._link(src, self.path(digest)) for src, digest in files}
        above = {parent for folder in touched - self._durable for parent in (folder.parent, self.root)}
        for folder in [*touched, *above]:  # after all links: the first sync takes the file system's journal along
            fsync_folder(folder)
        self._durable |= touched

    def _link(self, src: Path, target: Path) -> Path:
        """Link one file and give the folder that now needs a sync."""
        os.chmod(src, 0o440)
        try:
            _hard_link(src, target)
        except FileExistsError:
            if src.stat().st_size != target.stat().st_size:
                raise Mismatch(f"{target.name} is in the vault with another size") from None
        return target.parent

    @contextmanager
    def adding(self) -> Iterator[None]:
        """From the link to the commit of the row: nothing is removed meanwhile."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """From the look at the rows to the last `remove`: nothing is added meanwhile."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        fd = os.open(self.root / LOCK, os.O_CREAT | os.O_RDWR, 0o640)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    def remove(self, digests: Iterable[str]) -> None:
        """Delete originals for good; come back when that is durable. May be run again. Only on an approved decision."""
        touched = set()
        for digest in digests:
            path = self.path(digest)
            path.unlink(missing_ok=True)
            touched.add(path.parent)
        for folder in touched:
            if folder.exists():
                fsync_folder(folder)

    def kept(self, prefix: str) -> Iterator[Kept]:
        """The files under these two first digits, in no order: a vault is looked through piece by piece.

        What is not ours is there too, by whatever name it has.
        """
        try:
            for entry in os.scandir(self.root / prefix):
                yield from map(_facts, os.scandir(entry.path) if entry.is_dir(follow_symlinks=False) else [entry])
        except FileNotFoundError:  # nothing yet
            return


def _facts(entry: os.DirEntry) -> Kept:
    facts = entry.stat(follow_symlinks=False)
    return Kept(entry.name, facts.st_size, facts.st_nlink)


def _hard_link(src: Path, target: Path) -> None:
    try:
        os.link(src, target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(src, target)


def digests(path: Path, dataset_offset: int) -> tuple[str, str]:
    """SHA-256 of the whole file and of its data set (from `dataset_offset` on: without file meta), in one pass."""
    whole, dataset = hashlib.sha256(), hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    with open(path, "rb", buffering=0) as file:
        head = file.read(dataset_offset)
        whole.update(head)
        while count := file.readinto(buffer):
            whole.update(buffer[:count])
            dataset.update(buffer[:count])
    return whole.hexdigest(), dataset.hexdigest()
