"""The order of system calls: what survives a power cut is what the disk was asked to keep before the answer."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.conftest import program
from tests.wire.door import CT, PROJECT, call, door_script

pytestmark = pytest.mark.wire

CALLS = "openat,write,writev,fsync,fdatasync,rename,renameat,renameat2,sendto"
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) = (\d+)")


def traced(root: Path, *files: str, plain: bool) -> list[tuple[str, str]]:
    """Names and arguments of the calls by which a door takes these objects."""
    out = root.with_suffix(".strace")
    strace = [program("strace"), "-f", "-y", "-s", "16", "-e", f"trace={CALLS}", "-o", str(out)]
    words = [*strace, sys.executable, "-c", door_script(root, plain=plain)]
    with subprocess.Popen(words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert call(int(process.stdout.readline()), "storescu", *files).returncode == 0
            process.stdin.close()
            process.wait(30)
        finally:
            process.send_signal(signal.SIGTERM)
    return [found.groups()[:2] for line in whole_lines(out.read_text()) if (found := CALL.match(line))]


def whole_lines(text: str) -> list[str]:
    """Calls that another thread interrupted, put together where they ended."""
    begun, lines = {}, []
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>").rstrip()
        elif "resumed>" in rest:
            lines.append(f"{pid} {begun.pop(pid, '')}{rest.split('resumed>', 1)[1]}")
        else:
            lines.append(line)
    return lines


def positions(calls: list[tuple[str, str]], names: str, text: str) -> list[int]:
    return [
        at for at, (name, arguments) in enumerate(calls) if re.fullmatch(names, name) and re.search(text, arguments)
    ]


@pytest.mark.parametrize("plain", [False, True], ids=["direct", "plain"])
def test_an_answer_comes_after_everything_that_it_promises(tmp_path, plain):
    root = tmp_path / "spool"
    calls = traced(root, CT, get_testdata_file("MR_small.dcm"), plain=plain)

    [key] = [folder.name for folder in root.iterdir()]
    answers = positions(calls, "sendto", r'"\\4\\0\\0\\0')
    assert len(answers) == 2
    syncs = "fsync|fdatasync"
    for number, answer in enumerate(answers, 1):
        written = positions(calls, "writev?", rf"/{number}\.part>")
        [synced] = positions(calls, syncs, rf"/{number}\.part>")
        [named] = positions(calls, "rename.*", rf'/{number}\.part".*/{number}"')
        folder_synced = [at for at in positions(calls, syncs, rf"/{key}>$") if at > named]

        assert max(written) < synced < named < folder_synced[0] < answer

    origin_synced = positions(calls, syncs, r"/origin\.json>")[0]
    born = positions(calls, "rename.*", rf'/\.{key}".*/{key}"')[0]
    assert origin_synced < born < positions(calls, syncs, r"/spool>$")[0] < answers[0]
