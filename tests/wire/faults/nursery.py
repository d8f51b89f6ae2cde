"""The portal's own commands, forked off from one process that has everything loaded: a restart takes no time.

Run as `python -m tests.wire.faults.nursery`: reads one JSON list a line, [log, stopped, command, argument...], forks a
child that runs this command of manage.py with its output in `log`, and answers with the child's process number. A
`stopped` one waits for SIGCONT before it begins.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import django
from django.core.management import call_command, get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 30  # seconds
WELL = "\nended well"


class Nursery:
    """The parent's side. `env` is the portal's, as in production."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "tests.wire.faults.nursery"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        env = env | {"DJANGO_SETTINGS_MODULE": "imgshare_site.settings"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, **pipes, text=True, bufsize=1)
        self.children: set[int] = set()

    def start(self, *command: str, stopped: bool = False) -> int:
        log = self.folder / f"{command[0]}.log"
        self.process.stdin.write(json.dumps([str(log), stopped, *command]) + "\n")
        pid = int(self.process.stdout.readline())
        self.children.add(pid)
        return pid

    def run(self, *command: str) -> tuple[bool, str]:
        """Run a command to its end: whether it ended well, and what it said."""
        log = self.folder / f"{command[0]}.log"
        log.unlink(missing_ok=True)
        pid = self.start(*command)
        self.wait(pid)
        said = log.read_text()
        return said.endswith(WELL + "\n"), said.removesuffix(WELL + "\n")

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        self.wait(pid)

    def wait(self, pid: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while is_alive(pid):
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {pid} does not end")
            time.sleep(0.005)
        self.children.discard(pid)

    def end(self) -> None:
        for pid in list(self.children):
            self.kill(pid)
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def main() -> None:
    django.setup()
    for name in ("storescp", "intake", "verify_store"):  # with all that they import
        load_command_class(get_commands()[name], name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to wait for them
    for line in sys.stdin:
        log, stopped, *command = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)  # noqa: T201
        else:
            be(Path(log), command, stopped=stopped)


def be(log: Path, command: list[str], *, stopped: bool) -> None:
    """The child: this command, and then nothing."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        call_command(*command)
        print(WELL, flush=True)  # noqa: T201
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
