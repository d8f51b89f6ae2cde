"""Headers and digests, read by a child with little memory and time: an object that kills its reader kills no intake.

The child lives long and serves many files over a pipe. When it dies or overruns, the file it was at is read once more
by a fresh child, and then given up with a sentence. No header is read outside of it.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reconciliation.dicom import header
from reconciliation.dicom.child import Child, Gone, guard, limited
from reconciliation.dicom.header import Header
from reconciliation.dicom.vault import digests

MEMORY = 512 << 20  # bytes that the child may use, its program included; a mapped file does not count
PROCESSOR = 8.0  # seconds of processor time for one header; enough for all steps that header.read takes
PATIENCE = 10.0  # seconds of wall time for one file, and more for a large one:
SLOWEST = 16 << 20  # bytes a second that any disk reads

NO_MEMORY = "This object needs too much memory to be read safely. Ask the sender to export it again."
TOO_SLOW = "This object takes too long to be read safely. Ask the sender to export it again."
BROKEN = "This object stops the program that reads it, so it was not read. Ask the sender to export it again."


class Reading(NamedTuple):
    """What a file is: SHA-256 of all of it and of its data set; its header, or None and the sentence why not."""

    digest: str
    content_digest: str
    header: Header | None
    reason: str = ""


class Reader(Child):
    """Asks the child for what a file is."""

    module, too_slow, broken = "reconciliation.dicom.reader", TOO_SLOW, BROKEN

    def __init__(self, *, memory: int = MEMORY, processor: float = PROCESSOR, patience: float = PATIENCE) -> None:
        self.patience = patience
        super().__init__(str(memory), str(processor))

    def read(self, paths: Sequence[Path]) -> list[Reading]:
        """Read these files, in this order. Raises OSError when the disk fails, or when no child can be started."""
        done: list[Reading] = []
        suspect = -1
        with self._lock:
            self._ready()
            while len(done) < len(paths):
                try:
                    self._serve(paths[len(done) :], done)
                except Gone as gone:
                    at = len(done)
                    if gone.certain or at == suspect:
                        digest, _ = digests(paths[at], 0)
                        done.append(Reading(digest, digest, None, str(gone)))
                    suspect = at
                except BaseException:
                    self.close()  # what it still answers must never be taken for the answer to another question
                    raise
        return done

    def start(self) -> None:
        """Have the child ready before the first object comes. Raises OSError when it cannot be started."""
        self.read([])

    def _serve(self, paths: Sequence[Path], done: list[Reading]) -> None:
        sizes = [path.stat().st_size for path in paths]
        self._ask(json.dumps([str(path) for path in paths]).encode() + b"\n")
        for path, size in zip(paths, sizes, strict=True):
            done.append(_reading(json.loads(self._line(self.patience + size / SLOWEST)), path))


def _reading(answer: dict[str, Any], path: Path) -> Reading:
    if "disk" in answer:
        raise OSError(*answer["disk"], str(path))
    facts = answer["header"]
    found = Header(**{**facts, "problems": tuple(facts["problems"])}) if facts else None
    return Reading(answer["digest"], answer["content_digest"], found, answer["reason"])


# --- the child -------------------------------------------------------------------------------------------------------


def main() -> None:
    memory, processor = int(sys.argv[1]), float(sys.argv[2])
    guard(memory)
    for line in sys.stdin.buffer:
        for path in json.loads(line):
            os.write(1, json.dumps(_answer(path, processor)).encode() + b"\n")


def _answer(path: str, processor: float) -> dict[str, Any]:
    try:
        found, reason = _header(path, processor)
        whole, content = digests(Path(path), found.dataset_offset if found else 0)
    except OSError as problem:
        return {"disk": [problem.errno or 0, problem.strerror or str(problem)]}
    facts = found and vars(found)
    return {"digest": whole, "content_digest": content if found else whole, "header": facts, "reason": reason}


def _header(path: str, processor: float) -> tuple[Header | None, str]:
    """The header, or the sentence why there is none."""
    try:
        with limited(processor):
            return header.read(path), ""
    except header.Unreadable as problem:
        return None, str(problem)
    except OSError:
        raise
    except MemoryError:
        return None, NO_MEMORY
    except Exception:  # a door: whatever an object does to its reader, it is the object that waits
        return None, BROKEN


if __name__ == "__main__":
    main()
