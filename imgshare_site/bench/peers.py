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

from imgshare_site.bench.material import empty
from imgshare_site.bench.measure import Missing
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool

PROGRAMS = "/usr/bin:/usr/local/bin"  # never the virtual environment: pynetdicom installs programs of the same names


def program(name: str) -> str:
    found = shutil.which(name, path=PROGRAMS)
    if not found:
        raise Missing(f"{name} is not installed (Debian package dcmtk)")
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


@contextmanager
def door(folder: Path) -> Iterator[int]:
    """Our DICOM door in a process of its own, as in production; its port."""
    port = free_port()
    code = "import sys; from imgshare_site.bench import peers; peers.keep_door(sys.argv[1], int(sys.argv[2]))"
    with child([sys.executable, "-c", code, str(folder / "spool"), str(port)], port):
        yield port


def keep_door(spool: str, port: int) -> None:
    """Run a door that lets everybody in, until this process is ended."""
    listener = scp.Listener("IMGSHARE", "127.0.0.1", port)
    scp.serve(listener, spool=Spool(Path(spool), minimum_free=0), admit=lambda caller: Origin("dimse"), refused=print)
    threading.Event().wait()


@contextmanager
def dcmtk_storescp(folder: Path) -> Iterator[int]:
    port, received = free_port(), empty(folder / "received")
    command = [program("storescp"), "--max-pdu", "131072", "-od", str(received), "+xa", str(port)]
    with child(command, port):
        yield port


@contextmanager
def child(command: list[str], port: int, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env=os.environ | {"TCP_NODELAY": "1"} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
