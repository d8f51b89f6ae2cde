"""The journal: what a submission brought and whence, written beside the bytes so that rows can be made from them again.

<xx>/<submission>.jsonl     one JSON object a line, only ever added to:
    {"origin": ..., "source": ...}                                  first
    {"at": ..., "kept": [[number, digest, name], ...]}              one for each batch, before its rows are committed
    {"closed": ...}                                                 last
    {"at": ..., "deleted": [digest, ...], "decision": ...}          after that: what was kept above is gone for good
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import fsync_folder

SUFFIX = ".jsonl"


class Entry(NamedTuple):
    """One arrival that the vault keeps. `name`: what its sender called it, "" when nothing was said."""

    number: int
    digest: str
    name: str


@dataclass
class Story:
    """What the journal says of one submission. `at` and `closed`: UTC, ISO 8601; `closed` is "" while it goes on.

    `source` is what the portal knew of the source at that time: enough to know it again without a database.
    """

    origin: Origin
    source: dict[str, str]
    batches: list[tuple[str, list[Entry]]] = field(default_factory=list)
    closed: str = ""
    gone: set[str] = field(default_factory=set)  # digests of what was deleted by a decision

    def digests(self) -> set[str]:
        return {entry.digest for _, entries in self.batches for entry in entries}

    def forget(self, gone: set[str]) -> None:
        """What was deleted is not there to be made again."""
        if gone:
            self.gone |= gone
            self.batches = [(at, [one for one in kept if one.digest not in gone]) for at, kept in self.batches]


class Journal:
    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, key: str) -> Path:
        """Where a submission is written about; raises ValueError for what is no key of ours."""
        name = str(uuid.UUID(key))
        return self.root / name[-2:] / f"{name}{SUFFIX}"

    def begin(self, key: str, origin: Origin, source: dict[str, str]) -> None:
        """Say who handed a submission over; once."""
        if not self._begun(key):
            self._add(key, {"origin": json.loads(origin.to_json()), "source": source})

    def add(self, key: str, at: str, entries: Iterable[Entry]) -> None:
        """Say what the vault now keeps of it. Durable when this comes back; the rows are committed after that."""
        if kept := list(entries):
            self._add(key, {"at": at, "kept": kept})

    def close(self, key: str, at: str) -> None:
        """Say that nothing more will come."""
        self._add(key, {"closed": at})

    def delete(self, key: str, at: str, digests: Iterable[str], *, decision: str) -> None:
        """Say that these are deleted, by which decision; before they are. May be said again."""
        if gone := sorted(digests):
            self._add(key, {"at": at, "deleted": gone, "decision": decision})

    def keys(self) -> Iterator[str]:
        """Submissions, oldest first: their keys begin with the time."""
        return iter(sorted(path.stem for path in self.root.glob(f"??/*{SUFFIX}")))

    def read(self, key: str) -> Story | None:
        """The story of a submission, None when nobody wrote one down. A line cut by a power failure counts for nothing:
        its rows were not committed."""
        try:
            lines = [line for line in map(_parsed, self.path(key).read_bytes().splitlines()) if line]
        except FileNotFoundError:
            return None
        head = next((line for line in lines if "origin" in line), None)
        if head is None:
            return None
        story = Story(Origin.from_json(head["origin"]), head["source"])
        for line in lines:
            if "kept" in line:
                story.batches.append((line["at"], [Entry(*entry) for entry in line["kept"]]))
            story.forget(set(line.get("deleted", ())))
            story.closed = line.get("closed", story.closed)
        return story

    def _begun(self, key: str) -> bool:
        try:
            with open(self.path(key), "rb") as file:
                return any("origin" in (_parsed(line) or {}) for line in file)
        except FileNotFoundError:
            return False

    def _add(self, key: str, line: dict[str, Any]) -> None:
        """Append one line, on a line of its own whatever a crash has left."""
        path = self.path(key)
        new = not path.exists()
        if new:
            path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(b"\n" * _is_cut(path) + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            for folder in (path.parent, self.root, self.root.parent):
                fsync_folder(folder)


def _is_cut(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        if not file.tell():
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
