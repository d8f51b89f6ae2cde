"""Headers and digests, read by a child with little memory and time: an object that kills its reader kills no intake.

The child lives long and serves many files over a pipe. When it dies or overruns, the file it was at is read once more
by a fresh child, and then given up with a sentence. No header is read outside of it.
"""

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reconciliation.dicom import header
from reconciliation.dicom.header import Header
from reconciliation.dicom.spool import write_all
from reconciliation.dicom.vault import digests

MEMORY = 512 << 20  # bytes that the child may use, its program included; a mapped file does not count
PROCESSOR = 8.0  # seconds of processor time for one header; enough for all steps that header.read takes
PATIENCE = 10.0  # seconds of wall time for one file, and more for a large one:
SLOWEST = 16 << 20  # bytes a second that any disk reads
START = 60.0  # seconds until a child is ready, on a machine that has much to do
ROOT = Path(__file__).resolve().parents[2]
READY = b"ready\n"

NO_MEMORY = "This object needs too much memory to be read safely. Ask the sender to export it again."
TOO_SLOW = "This object takes too long to be read safely. Ask the sender to export it again."
BROKEN = "This object stops the program that reads it, so it was not read. Ask the sender to export it again."


class Reading(NamedTuple):
    """What a file is: SHA-256 of all of it and of its data set; its header, or None and the sentence why not."""

    digest: str
    content_digest: str
    header: Header | None
    reason: str = ""


class _Gone(Exception):
    """The child has died or was ended; str() is the sentence for the object it was at."""

    def __init__(self, sentence: str, *, certain: bool) -> None:
        super().__init__(sentence)
        self.certain = certain  # that it was the object: a second try would end alike


class Reader:
    """One child, started when it is first needed. May be shared by threads; ends with this process, or by `close`."""

    def __init__(self, *, memory: int = MEMORY, processor: float = PROCESSOR, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._limits = [str(memory), str(processor)]
        self._child: subprocess.Popen | None = None
        self._owner = 0  # a process that was forked off has no child of its own yet
        self._came = b""
        self._lock = threading.Lock()

    def read(self, paths: Sequence[Path]) -> list[Reading]:
        """Read these files, in this order. Raises OSError when the disk fails, or when no child can be started."""
        done: list[Reading] = []
        suspect = -1
        with self._lock:
            self._ready()
            while len(done) < len(paths):
                try:
                    self._serve(paths[len(done) :], done)
                except _Gone as gone:
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

    @property
    def pid(self) -> int:
        """The process number of the child, 0 while there is none."""
        return self._child.pid if self._child and self._owner == os.getpid() else 0

    def memory(self) -> int:
        """The most bytes of memory that the child ever had at once."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        return 0

    def close(self) -> None:
        """End the child; the next `read` starts another."""
        child, self._child = self._child, None
        if child and self._owner == os.getpid():
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()

    def _serve(self, paths: Sequence[Path], done: list[Reading]) -> None:
        sizes = [path.stat().st_size for path in paths]
        self._ready()
        try:
            write_all(self._child.stdin.fileno(), json.dumps([str(path) for path in paths]).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended() from None
        for path, size in zip(paths, sizes, strict=True):
            done.append(_reading(json.loads(self._line(self.patience + size / SLOWEST)), path))

    def _ready(self) -> None:
        if self._child and self._owner == os.getpid() and self._child.poll() is None:
            return
        self.close()
        command = [sys.executable, "-m", "reconciliation.dicom.reader", *self._limits]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self._child = subprocess.Popen(command, cwd=ROOT, **pipes)
        self._owner, self._came = os.getpid(), b""
        try:
            ready = self._line(START) + b"\n" == READY
        except _Gone:
            ready = False
        if not ready:  # ours is broken, not the object
            self.close()
            raise OSError("the reader of headers cannot be started")

    def _line(self, seconds: float) -> bytes:
        """The next line that the child writes; ends the child when it takes longer."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._child.stdout, select.POLLIN)
        while b"\n" not in self._came:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                self._child.kill()
                raise self._ended(TOO_SLOW)
            piece = os.read(self._child.stdout.fileno(), 1 << 16)
            if not piece:
                raise self._ended()
            self._came += piece
        line, _, self._came = self._came.partition(b"\n")
        return line

    def _ended(self, sentence: str = BROKEN) -> _Gone:
        code = self._child.wait()
        self.close()
        if code == -signal.SIGPROF:  # its processor time was up: that is counted, no chance is in it
            return _Gone(TOO_SLOW, certain=True)
        return _Gone(sentence, certain=False)


def _reading(answer: dict[str, Any], path: Path) -> Reading:
    if "disk" in answer:
        raise OSError(*answer["disk"], str(path))
    facts = answer["header"]
    found = Header(**{**facts, "problems": tuple(facts["problems"])}) if facts else None
    return Reading(answer["digest"], answer["content_digest"], found, answer["reason"])


# --- the child -------------------------------------------------------------------------------------------------------


def main() -> None:
    memory, processor = int(sys.argv[1]), float(sys.argv[2])
    for name in (signal.SIGINT, signal.SIGTERM):  # they go to a whole group; this one ends with its pipe
        signal.signal(name, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file,
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # not even when it dies
    os.write(1, READY)
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
    """The header, or the sentence why there is none. The kernel ends this process when its processor time is up."""
    signal.setitimer(signal.ITIMER_PROF, processor)
    try:
        return header.read(path), ""
    except header.Unreadable as problem:
        return None, str(problem)
    except OSError:
        raise
    except MemoryError:
        return None, NO_MEMORY
    except Exception:  # a door: whatever an object does to its reader, it is the object that waits
        return None, BROKEN
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main()
