"""Door and intake of a portal of their own, to be killed, starved and watched; and what must hold after that."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import make
from tests.conftest import program
from tests.wire.conftest import Portal, answers, wait_until
from tests.wire.faults.nursery import Nursery, is_alive

SETUP = """
from policies.models import Source
Source.objects.create(name="General Hospital", ae_title="SENDER", issuer="GENERAL")
"""
HELD = """
import json
from reconciliation.models import Instance
print(json.dumps(list(Instance.objects.values_list("sop_instance_uid", flat=True))))
"""
STRACE = program("strace")
SENDING = "I: Sending file: "
SUCCESS = "Received Store Response (Success)"


class Sending:
    """`storescu` with some objects, one after the other."""

    def __init__(self, belt: "Belt", files: dict[str, Path]) -> None:
        self.files, self.log = files, belt.folder / "sender.log"
        titles = ["-aet", "SENDER", "-aec", belt.portal.ae_title]
        command = [program("storescu"), "-v", "-R", "-nh", *titles, "127.0.0.1", str(belt.portal.dicom_port)]
        with self.log.open("w") as out:
            self.process = subprocess.Popen([*command, *map(str, files.values())], stdout=out, stderr=out)

    def acknowledged(self) -> set[str]:
        """The SOP Instance UIDs that were answered with success, once it has come to its end."""
        self.process.wait(60)
        uids, promised = {str(path): uid for uid, path in self.files.items()}, set()
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith(SENDING):
                uid = uids[line.removeprefix(SENDING)]
            elif SUCCESS in line:
                promised.add(uid)
        return promised


class Traced:
    """A process under strace, from its first system call of the kinds that were asked for."""

    def __init__(self, pid: int, output: Path) -> None:
        self.pid, self.output = pid, output

    def wait_for_death(self) -> None:
        wait_until(lambda: not is_alive(self.pid), seconds=20, failing="the injected signal never came")

    def lines(self) -> list[str]:
        """Calls in the order in which they ended, each on one line."""
        return self.output.read_text(errors="replace").splitlines()


class Belt:
    def __init__(self, portal: Portal, folder: Path) -> None:
        self.portal, self.folder = portal, folder
        self.spool, self.vault = portal.data_dir / "spool", portal.data_dir / "vault"
        self.nursery = Nursery(self.folder, portal.env)
        self.pids: dict[str, int] = {}
        self.series = make.dataset()
        self.made = 0
        assert self.nursery.run("shell", "--verbosity", "0", "-c", SETUP)[0]

    def start(self, name: str) -> None:
        self.pids[name] = self.nursery.start(name)
        if name == "storescp":
            port = self.portal.dicom_port
            wait_until(lambda: answers(port), seconds=20, failing=f"nothing listens on {port}")

    def kill(self, name: str) -> None:
        if pid := self.pids.pop(name, 0):
            self.nursery.kill(pid)

    def send(self, count: int, *, like: Sending | None = None) -> Sending:
        """Send new objects of one study, or those of another sending once more."""
        return Sending(self, like.files if like else dict(self._new_object() for _ in range(count)))

    def _new_object(self) -> tuple[str, Path]:
        same = {"StudyInstanceUID": self.series.StudyInstanceUID, "SeriesInstanceUID": self.series.SeriesInstanceUID}
        ds = make.dataset(**same)
        self.made += 1
        path = self.folder / f"{self.made:05}.dcm"
        ds.save_as(path, enforce_file_format=True)
        return ds.SOPInstanceUID, path

    @contextmanager
    def traced(self, name: str, *expressions: str) -> Iterator[Traced]:
        """Start a command under strace, which sees it from its first step on; `expressions` are for the option -e."""
        pid = self.pids[name] = self.nursery.start(name, stopped=True)
        output = self.folder / f"{name}.strace"
        flags = [flag for expression in expressions for flag in ("-e", expression)]
        tracer = subprocess.Popen([STRACE, "-f", "-q", "-y", "-s", "64", "-o", str(output), *flags, "-p", str(pid)])
        try:
            wait_until(lambda: _tracer_of(pid) == tracer.pid, seconds=10, failing="strace cannot attach")
            os.kill(pid, signal.SIGCONT)
            if name == "storescp":
                wait_until(lambda: answers(self.portal.dicom_port), seconds=20, failing="nothing listens")
            yield Traced(pid, output)
        finally:
            tracer.terminate()
            tracer.wait(10)
            self.kill(name)

    def waiting(self) -> list[Path]:
        """Submissions that intake has not finished."""
        return [folder for folder in self.spool.iterdir() if not folder.name.startswith(".")]

    def wait_for_intake(self) -> None:
        wait_until(lambda: not self.waiting(), seconds=40, failing="intake does not come to its end")

    def settle(self) -> None:
        """All that is left for intake, by an intake that lives; what died at birth is made old enough to be swept."""
        for hidden in self.spool.glob(".*"):
            os.utime(hidden, (0, 0))
        for _ in range(2):  # the first look may still find a lock that the kernel is about to free
            done, said = self.nursery.run("intake", "--once")
            assert done, said
            time.sleep(0.05)

    def must_hold(self, promised: set[str]) -> None:
        """I1 to I6: what was promised is here, once; disk, digests, rows and ledger say the same."""
        clean, said = self.nursery.run("verify_store", "--digests")
        assert clean, said
        done, said = self.nursery.run("shell", "--verbosity", "0", "-c", HELD)
        assert done, said
        held = json.loads(said)
        assert len(held) == len(set(held))
        assert promised <= set(held)

    def end(self) -> None:
        self.nursery.end()


def _tracer_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        pytest.fail("the process ended before it could be traced")
    return int(re.search(r"TracerPid:\s+(\d+)", status)[1])
