"""Mapping and sending: the header is made and read again on the way, against a peer that sends ready files.

Both send to DCMTK's storescp, which throws away what it receives: so the senders are measured, and not its disk.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from imgshare_site.bench.material import IMPORTER, LOCAL, ct_series, large_multiframe, sr_series
from imgshare_site.bench.measure import Row, compare, row
from imgshare_site.bench.peers import call, child, free_port, program
from policies.rules import coercion
from policies.rules.coercion import Change, plan
from reconciliation.delivery import checked
from reconciliation.dicom import header, scu

IN_A_CHILD = """
import sys, django
django.setup()
from pathlib import Path
from imgshare_site.bench import sending
sending.send(Path(sys.argv[1]), int(sys.argv[2]))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def send_ct(folder: Path) -> Row:
    return against_dcmsend("map and send 500 CT", ct_series(folder, 500), at_most=1.1)


def send_sr(folder: Path) -> Row:
    return against_dcmsend("map and send 2,000 SR", sr_series(folder, 2000), at_most=1.1)


def send_large(folder: Path) -> Row:
    return against_dcmsend("map and send one object of 500 MB", large_multiframe(folder, 500), at_most=0.95, rounds=7)


def against_dcmsend(work: str, files: Path, *, at_most: float, rounds: int = 5) -> Row:
    tool = program("dcmsend")
    objects = outgoing(files)
    with sink() as port:
        command = [tool, "-aec", "ANY", "127.0.0.1", str(port), "+sd", str(files)]
        ours, theirs = partial(deliver, objects, port), partial(call, command, TCP_NODELAY="1")
        return compare(work, "dcmsend of ready files", ours, theirs, at_most=at_most, rounds=rounds)


def send_memory(folder: Path) -> Row:
    return memory(folder, 500, at_most=120)


def send_memory_2g(folder: Path) -> Row:
    return memory(folder, 2000, at_most=150)


def memory(folder: Path, megabytes: int, *, at_most: float) -> Row:
    """The peak of a sender's resident memory, Django and all; the ratio is to the megabytes that it may take."""
    files = large_multiframe(folder, megabytes)
    with sink() as port:
        command = [sys.executable, "-c", IN_A_CHILD, str(files), str(port)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600, env=os.environ)
    peak = int(done.stdout) / 1024
    return row(f"peak memory of the sender, {megabytes} MB", "what is allowed", peak, at_most, at_most=1, unit="MiB")


WORKS = {
    "send-ct": send_ct,
    "send-sr": send_sr,
    "send-large": send_large,
    "send-memory": send_memory,
    "send-memory-2g": send_memory_2g,
}


# --- ours ------------------------------------------------------------------------------------------------------------


def outgoing(files: Path) -> list[scu.Outgoing]:
    """A delivery knows its objects from the database: what is read of them here does not count."""
    paths = sorted(files.iterdir())
    changes = plan([header.attributes(paths[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)
    return [_outgoing(path, changes) for path in paths]


def _outgoing(path: Path, changes: list[Change]) -> scu.Outgoing:
    facts = header.read(path)
    uids = facts.SOPClassUID, facts.SOPInstanceUID, facts.TransferSyntaxUID
    return scu.Outgoing(path.name, *uids, original=path, made=partial(checked, path, changes))


def deliver(objects: list[scu.Outgoing], port: int) -> None:
    outcomes: list[scu.Outcome] = []
    scu.send(scu.Peer("127.0.0.1", port, "ANY", "IMGSHARE"), objects, told=outcomes.append)
    if refused := [outcome for outcome in outcomes if not outcome.accepted]:
        raise RuntimeError(refused[0].sentence)


def send(files: Path, port: int) -> None:
    deliver(outgoing(files), port)


@contextmanager
def sink() -> Iterator[int]:
    """DCMTK's storescp with a process for each association and no disk; its port."""
    port = free_port()
    with child([program("storescp"), "--fork", "--ignore", "--max-pdu", "131072", str(port)], port):
        yield port
