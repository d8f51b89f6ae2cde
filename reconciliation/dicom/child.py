"""A guarded child: a process with little memory and time that looks at objects; one that kills it kills nobody else.

It lives long and answers each question over a pipe by a line. Whoever asks derives a class from `Child` and says what
a line means; the module that serves is run by `python -m`, and calls `guard` first.
"""

import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciliation.dicom.spool import write_all

START = 60.0  # seconds until a child is ready, on a machine that has much to do
ROOT = Path(__file__).resolve().parents[2]
READY = b"ready\n"
# Whoever breaks out of a decoder finds no secret: the child gets no variable of ours.
ENVIRONMENT = {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Gone(Exception):
    """The child has died or was ended; str() is the sentence for the object it was at."""

    def __init__(self, sentence: str, *, certain: bool) -> None:
        super().__init__(sentence)
        self.certain = certain  # that it was the object: a second try would end alike


class Child:
    """One child, started when it is first needed. May be shared by threads; ends with this process, or by `close`."""

    module, too_slow, broken = "", "", ""  # what the child runs; the sentences for an object that it dies of

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._child: subprocess.Popen | None = None
        self._owner = 0  # a process that was forked off has no child of its own yet
        self._came = b""
        self._lock = threading.Lock()

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
        """End the child; the next question starts another."""
        child, self._child = self._child, None
        if child and self._owner == os.getpid():
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()

    def _ask(self, question: bytes) -> None:
        self._ready()
        try:
            write_all(self._child.stdin.fileno(), question)
        except BrokenPipeError:
            raise self._ended(self.broken) from None

    def _ready(self) -> None:
        if self._child and self._owner == os.getpid() and self._child.poll() is None:
            return
        self.close()
        command = [sys.executable, "-m", self.module, *self._arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self._child = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **pipes)
        self._owner, self._came = os.getpid(), b""
        try:
            ready = self._line(START) + b"\n" == READY
        except Gone:
            ready = False
        if not ready:  # ours is broken, not the object
            self.close()
            raise OSError(f"{self.module} cannot be started")

    def _line(self, seconds: float) -> bytes:
        """The next line that the child writes; ends the child when it takes longer."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._child.stdout, select.POLLIN)
        while b"\n" not in self._came:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                self._child.kill()
                raise self._ended(self.too_slow)
            piece = os.read(self._child.stdout.fileno(), 1 << 16)
            if not piece:
                raise self._ended(self.broken)
            self._came += piece
        line, _, self._came = self._came.partition(b"\n")
        return line

    def _ended(self, sentence: str) -> Gone:
        code = self._child.wait()
        self.close()
        if code == -signal.SIGPROF:  # its processor time was up: that is counted, no chance is in it
            return Gone(self.too_slow, certain=True)
        return Gone(sentence, certain=False)


# --- in the child ----------------------------------------------------------------------------------------------------


def guard(memory: int) -> None:
    """Limits first, then the word that it is ready. `memory`: bytes, the program included, mapped files left out."""
    for name in (signal.SIGINT, signal.SIGTERM):  # they go to a whole group; this one ends with its pipe
        signal.signal(name, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file,
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # not even when it dies
    os.write(1, READY)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """The kernel ends this process when its processor time for one object is up."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
