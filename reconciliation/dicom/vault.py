"""The vault: original bytes, append-only, named by what they are and never by what a sender wrote."""

import hashlib
import os
import re
from pathlib import Path

from reconciliation.dicom.spool import fsync_folder

DIGEST = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20


class Mismatch(OSError):
    """The vault holds a file of this digest that has another size: one of the two is damaged. Nothing was removed."""


class Vault:
    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the bytes of this SHA-256 (64 small hexadecimal digits) lie or would lie."""
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no SHA-256")
        return self.root / digest[:2] / digest[2:4] / digest

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def link(self, src: Path, digest: str) -> Path:
        """Give a spooled file its second name, in the vault. It stays in the spool until its row is committed, so a
        crash between the two loses nothing. Same file system; may be run again."""
        target = self.path(digest)
        self._make_folders(target.parent)
        os.chmod(src, 0o440)
        try:
            os.link(src, target)
        except FileExistsError:
            if src.stat().st_size != target.stat().st_size:
                raise Mismatch(f"{target.name} is in the vault with another size") from None
        fsync_folder(target.parent)
        return target

    def _make_folders(self, folder: Path) -> None:
        for made in (folder.parent, folder):
            if not made.exists():
                made.mkdir(exist_ok=True)
                fsync_folder(made.parent)


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
