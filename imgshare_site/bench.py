"""The performance table: our work against a named peer's, alternating in one run, as ratios of medians of wall time."""

import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from policies.rules import coercion
from policies.rules.coercion import Importer, LocalFacts, plan
from reconciliation.dicom import edit, header, scp, scu
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool

ROUNDS = 3
PROGRAMS = "/usr/bin:/usr/local/bin"  # never the virtual environment: pynetdicom installs programs of the same names


class Missing(Exception):
    """A peer that this row is measured against is not installed."""


@dataclass(frozen=True)
class Row:
    """`ratio`: median of ours / median of the peer's; `at_most`: the target."""

    work: str
    peer: str
    ours: float  # seconds
    theirs: float  # seconds
    ratio: float
    at_most: float
    ok: bool


def machine() -> dict[str, str | int]:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count() or 0}


def run(names: list[str], *, told: Callable[[Row | str], None]) -> list[Row]:
    """Measure these works (all when none is named); `told` hears of each as it is done, or why it was left out."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="imgshare-bench-") as folder:
        for name in names or WORKS:
            try:
                row = WORKS[name](Path(folder))
                rows.append(row)
                told(row)
            except Missing as missing:
                told(f"{name}: left out, {missing}")
    return rows


def compare(work: str, peer: str, ours: Callable[[], None], theirs: Callable[[], None], *, at_most: float) -> Row:
    """Ours, theirs, ours, theirs ...: what else the machine does falls on both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for step, taken in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    mine, other = (statistics.median(taken) for taken in times)
    return Row(work, peer, round(mine, 3), round(other, 3), round(mine / other, 2), at_most, mine / other <= at_most)


# --- the works -------------------------------------------------------------------------------------------------------


def receive_ct(folder: Path) -> Row:
    """C-STORE of CTs by `storescu`: every object fsynced by us, none by DCMTK."""
    files, sender = ct_series(folder, 200), program("storescu")
    with door(folder) as our_port, dcmtk_storescp(folder) as their_port:

        def send(title: str, port: int) -> Callable[[], None]:
            flags = ["-R", "+sd", "--max-send-pdu", "131072", "-aec", title]
            return lambda: call([sender, *flags, "127.0.0.1", str(port), str(files)], TCP_NODELAY="1")

        return compare(
            "receive 200 CT x 0.5 MB, each fsynced",
            "storescp (no fsync)",
            send("IMGSHARE", our_port),
            send("ANY", their_port),
            at_most=1.0,
        )


def rewrite_ct(folder: Path) -> Row:
    """Header rewrite on disk: the RAD-61 list, against copying and seven modified attributes."""
    files, tool = sorted(ct_series(folder, 200).iterdir()), program("dcmodify")
    changes = plan([header.attributes(files[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)

    def ours() -> None:
        made = empty(folder / "made")
        for file in files:
            edit.write(file, made / file.name, changes)

    def theirs() -> None:
        made = empty(folder / "copied")
        call(["cp", *map(str, files), str(made)])
        sets = [f"-i={tag}={value}" for tag, value in DCMODIFY.items()]
        flags = [part for one in sets for part in one.split("=", 1)]
        call([tool, "-nb", *flags, *map(str, made.iterdir())])

    return compare("rewrite headers of 200 CT on disk", "cp + dcmodify", ours, theirs, at_most=0.5)


def send_ct(folder: Path) -> Row:
    """Map, write, re-read and send, against sending ready files."""
    files, sender = sorted(ct_series(folder, 200).iterdir()), program("dcmsend")
    changes = plan([header.attributes(files[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)
    made = folder / "outgoing.dcm"

    def outgoing(file: Path) -> scu.Outgoing:
        facts = header.read(file)

        def path() -> Path:
            edit.write(file, made, changes)
            return made

        return scu.Outgoing(file.name, facts.SOPClassUID, facts.SOPInstanceUID, facts.TransferSyntaxUID, path)

    with dcmtk_storescp(folder) as port:
        peer = scu.Peer("127.0.0.1", port, "ANY", "IMGSHARE")
        return compare(
            "map and send 200 CT",
            "dcmsend of ready files",
            lambda: scu.send(peer, [outgoing(file) for file in files], told=lambda outcome: None),
            lambda: call([sender, "-aec", "ANY", "127.0.0.1", str(port), "+sd", str(files[0].parent)], TCP_NODELAY="1"),
            at_most=1.1,
        )


WORKS = {"receive-ct": receive_ct, "rewrite-ct": rewrite_ct, "send-ct": send_ct}
LOCAL = LocalFacts(
    PatientName="Muster^Maria",
    PatientID="MRN0042",
    IssuerOfPatientID="LOCAL",
    PatientBirthDate="19600229",
    PatientSex="F",
    AccessionNumber="A2026001",
    RequestedProcedureID="A2026001",
    ScheduledProcedureStepID="A2026001",
    RequestedProcedureDescription="Outside CT",
)
IMPORTER = Importer(
    "imgshare",
    "Local Hospital",
    "IMGSHARE",
    "IMGSHARE",
    "Elsewhere",
    "ELSEWHERE",
    "dimse",
    "20261124120000.000000+0000",
)
DCMODIFY = {
    "(0010,0010)": "Muster^Maria",
    "(0010,0020)": "MRN0042",
    "(0010,0021)": "LOCAL",
    "(0010,0030)": "19600229",
    "(0010,0040)": "F",
    "(0008,0050)": "A2026001",
    "(0020,0010)": "77",
}


# --- what they work with ---------------------------------------------------------------------------------------------


def ct_series(folder: Path, count: int) -> Path:
    """`count` CT objects of 512 x 512 x 16 bit in one folder, made once."""
    series = folder / f"ct{count}"
    if series.exists():
        return series
    series.mkdir()
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.Rows = ds.Columns = 512
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    noise = np.random.default_rng(1).integers(0, 2000, (512, 512), dtype=np.int16)
    for number in range(count):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.InstanceNumber = number + 1
        ds.PixelData = np.roll(noise, number).tobytes()
        ds.save_as(series / f"{number:05}.dcm", enforce_file_format=True)
    return series


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


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@contextmanager
def door(folder: Path) -> Iterator[int]:
    """Our DICOM door in a process of its own, as in production; its port."""
    port = free_port()
    code = "import sys; from imgshare_site import bench; bench.keep_door(sys.argv[1], int(sys.argv[2]))"
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
def child(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=os.environ | {"TCP_NODELAY": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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


def as_json(rows: list[Row]) -> dict:
    return {"machine": machine(), "rows": [asdict(row) for row in rows]}
