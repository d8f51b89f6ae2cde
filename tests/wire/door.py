"""A door on loopback for the tests, and a sender that can be made to stop in the middle."""

import functools
import os
import shutil
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.sop_class import CTImageStorage, Verification

from policies.rules.senders import Sender, Shown, identify
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool

PROJECT = Path(__file__).parents[2]
# Never the PATH: pynetdicom puts programs of the same names into the virtual environment.
DCMTK = {name: shutil.which(name, path="/usr/bin:/usr/local/bin") for name in ("echoscu", "storescu")}
CT = get_testdata_file("CT_small.dcm")


def admit(caller: scp.Caller) -> Origin:
    if caller.calling_title == "BROKEN":
        raise RuntimeError("the list of sources cannot be read")
    if caller.calling_title != "MODALITY":
        raise scp.Unknown(f"{caller.calling_title} is no source of ours.")
    return Origin(door="dimse", calling_title=caller.calling_title, address=caller.address)


def identified(senders: list[Sender], caller: scp.Caller) -> Origin:
    shown = Shown(caller.calling_title, caller.address, caller.names, caller.fingerprint)
    source, why = identify(senders, shown)
    if why:
        raise scp.Unknown(why)
    return Origin(door="dimse", source=source, calling_title=caller.calling_title, address=caller.address)


class Portal:
    """An open door, its spool, and who was turned away."""

    def __init__(self, root: Path, **options) -> None:
        self.spool = Spool(root, minimum_free=options.pop("minimum_free", 0))
        self.refused: list[tuple[scp.Caller, str]] = []
        senders = options.pop("senders", None)  # by the rules of the portal, or else only MODALITY
        listener = scp.Listener("IMGSHARE", "127.0.0.1", options.pop("port", 0), **options)
        self.server = scp.serve(
            listener,
            spool=self.spool,
            admit=functools.partial(identified, senders) if senders else admit,
            refused=lambda *told: self.refused.append(told),
        )
        self.port = self.server.server_address[1]

    def call(self, program: str, *arguments, **titles) -> subprocess.CompletedProcess:
        return call(self.port, program, *arguments, **titles)

    def keys(self) -> list[str]:
        return self.spool.keys()

    def arrivals(self) -> list[Path]:
        eventually(lambda: not any(self.spool.is_open(key) for key in self.keys()))
        return [arrival.path for key in self.keys() for arrival in self.spool.whole(key)]

    def files(self) -> list[str]:
        """By os.walk: a folder may be dropped while it is looked at."""
        return sorted(name for _, _, names in os.walk(self.spool.root) for name in names)


def call(port: int, program: str, *arguments, calling="MODALITY", called="IMGSHARE") -> subprocess.CompletedProcess:
    """Run a program of DCMTK; options go before the address, files after it."""
    options = [word for given in arguments if str(given).startswith(("-", "+")) for word in given.split()]
    files = [str(word) for word in arguments if not str(word).startswith(("-", "+"))]
    words = [DCMTK[program], "-v", "-aet", calling, "-aec", called, *options, "127.0.0.1", str(port), *files]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def eventually(true, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def door_script(root: Path, *, plain: bool = False) -> str:
    """Print the port of an open door, and shut it when the standard input ends."""
    return f"""
import sys
from reconciliation.dicom import scp
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool
server = scp.serve(scp.Listener("IMGSHARE", "127.0.0.1", 0, plain={plain}), spool=Spool({str(root)!r}, minimum_free=0),
                   admit=lambda caller: Origin(door="dimse"), refused=lambda caller, sentence: None)
print(server.server_address[1], flush=True)
sys.stdin.read()
server.shutdown()
"""


@contextmanager
def door_process(root: Path):
    """A door in a process of its own that may be killed; it ends with its standard input."""
    words = [sys.executable, "-c", door_script(root)]
    with subprocess.Popen(words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, int(process.stdout.readline())
        process.stdin.close()


def associate(port: int, sop_class=CTImageStorage, syntaxes=ExplicitVRLittleEndian):
    ae = AE("MODALITY")
    ae.acse_timeout = ae.dimse_timeout = 10
    ae.add_requested_context(sop_class, syntaxes)
    ae.add_requested_context(Verification)
    return ae.associate("127.0.0.1", port, ae_title="IMGSHARE")


@contextmanager
def association(portal: Portal, sop_class=CTImageStorage, syntaxes=ExplicitVRLittleEndian):
    assoc = associate(portal.port, sop_class, syntaxes)
    assert assoc.is_established
    assoc._reactor_checkpoint.clear()  # the answers are for the test, not for pynetdicom's own reader
    eventually(lambda: assoc._is_paused)
    yield assoc
    assoc._reactor_checkpoint.set()
    if assoc.is_established:
        assoc.release()


def command(elements: dict[int, bytes] | None = None) -> bytes:
    """A C-STORE request (PS3.7 9.3.1.1), with some elements made wrong."""
    values = {0x0002: CTImageStorage.encode(), 0x0100: b"\x01\0", 0x0110: b"\x07\0", 0x0700: b"\0\0", 0x0800: b"\0\0"}
    values |= {0x1000: b"1.2.3.4\0"} | (elements or {})
    body = b""
    for element, value in sorted(values.items()):
        padded = value + bytes(len(value) % 2)
        body += struct.pack("<HHI", 0, element, len(padded)) + padded
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def send(assoc, whole_command: bytes, data: bytes, *, last: bool = True) -> None:
    for control, piece in ((3, whole_command), (2 if last else 0, data)):
        if piece:
            primitive = P_DATA()
            primitive.presentation_data_value_list = [[1, bytes([control]) + piece]]
            assoc.dul.send_pdu(primitive)


def begin(assoc) -> None:
    """Send a request and the first piece of its data set, and no more."""
    send(assoc, command(), bytes(5000), last=False)
