"""Whom we are measured against, and our own processes beside them: started here, ended here, on loopback."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from imgshare_site.bench.material import empty
from imgshare_site.bench.measure import Missing
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool
from reconciliation.dicom.wire import SWITCH_INTERVAL

# Never the virtual environment: pynetdicom installs programs of the same names.
PROGRAMS = "/usr/bin:/usr/sbin:/usr/local/bin"


def program(name: str) -> str:
    found = shutil.which(name, path=PROGRAMS)
    if not found:
        raise Missing(f"{name} is not installed (Debian packages dcmtk and orthanc)")
    return found


def call(command: list[str], **environment: str) -> None:
    subprocess.run(
        command,
        check=True,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=600,
    )


class Receiver(NamedTuple):
    """A peer that listens: where, with which process, and the folder that what it receives goes to."""

    port: int
    pid: int
    folder: Path


DOOR = """
import sys, django
django.setup()
from imgshare_site.bench import peers
peers.keep_door(*sys.argv[1:])
"""


@contextmanager
def door(folder: Path, *, pdu: int = 131072) -> Iterator[Receiver]:
    """Our DICOM door in a process of its own, as in production."""
    port, spool = free_port(), empty(folder / "spool")
    with child([sys.executable, "-c", DOOR, str(spool), str(port), str(pdu)], port) as pid:
        yield Receiver(port, pid, spool)


def keep_door(spool: str, port: str, pdu: str) -> None:
    """Run a door that lets everybody in, until this process is ended."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    listener = scp.Listener("IMGSHARE", "127.0.0.1", int(port), maximum_pdu=int(pdu))
    scp.serve(listener, spool=Spool(Path(spool), minimum_free=0), admit=lambda caller: Origin("dimse"), refused=print)
    threading.Event().wait()


@contextmanager
def dcmtk_storescp(
    folder: Path, *, pdu: int = 131072, options: tuple[str, ...] = (), nagle: bool = False
) -> Iterator[Receiver]:
    """DCMTK's receiver; with `nagle` as Debian ships it."""
    port, received = free_port(), empty(folder / "received")
    command = [program("storescp"), "--max-pdu", str(pdu), "-od", str(received), "+xa", *options, str(port)]
    with child(command, port, **({"TCP_NODELAY": "0"} if nagle else {})) as pid:
        yield Receiver(port, pid, received)


@contextmanager
def child(command: list[str], port: int, **environment: str) -> Iterator[int]:
    """A peer in a process of its own, until it listens; its id."""
    settings = os.environ | {"TCP_NODELAY": "1"} | environment
    process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int) -> None:
    """Until something listens there; TimeoutError when nothing does for half a minute."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
