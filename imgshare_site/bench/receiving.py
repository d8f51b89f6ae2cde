"""Receiving by C-STORE: every object is fsynced by us before the answer, none by DCMTK."""

import os
import socket
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydicom.uid import ExplicitVRLittleEndian

from imgshare_site.bench.material import ct_series, large_multiframe, mg_series, set_aside, sr_series
from imgshare_site.bench.measure import Row, compare
from imgshare_site.bench.measure import row as row_of
from imgshare_site.bench.orthanc import orthanc
from imgshare_site.bench.peers import call, dcmtk_storescp, door, program
from reconciliation.dicom import command, header


def send(files: Path, title: str, port: int, *, nagle: bool = False) -> Callable[[], None]:
    """One association of DCMTK's `storescu` for all files; with `nagle` as Debian ships it."""
    flags = ["-R", "+sd", "--max-send-pdu", "131072", "-aec", title]
    words = [program("storescu"), *flags, "127.0.0.1", str(port), str(files)]
    return lambda: call(words, TCP_NODELAY="0" if nagle else "1")


def against_storescp(
    folder: Path, files: Path, work: str, *, at_most: float, pdu: int = 131072, nagle: bool = False
) -> Row:
    with door(folder, pdu=pdu) as ours, dcmtk_storescp(folder, pdu=pdu, nagle=nagle) as theirs:

        def clear() -> None:
            set_aside(ours.folder)
            set_aside(theirs.folder)
            os.sync()

        return compare(
            work,
            "storescp (no fsync)",
            send(files, "IMGSHARE", ours.port, nagle=nagle),
            send(files, "ANY", theirs.port, nagle=nagle),
            at_most=at_most,
            before=clear,
        )


def receive_ct(folder: Path) -> Row:
    return against_storescp(folder, ct_series(folder, 500), "receive 500 CT x 0.5 MB, each fsynced", at_most=1.0)


def receive_ct_in_small_pdus(folder: Path) -> Row:
    work = "receive 500 CT in PDUs of 16 KiB"
    return against_storescp(folder, ct_series(folder, 500), work, pdu=16384, at_most=1.2)


def receive_mg(folder: Path) -> Row:
    return against_storescp(folder, mg_series(folder, 4), "receive 4 MG x 30 MB", at_most=0.6)


def receive_large(folder: Path) -> Row:
    return against_storescp(folder, large_multiframe(folder, 500), "receive one object of 500 MB", at_most=0.6)


def receive_from_nagle(folder: Path) -> Row:
    """Sender and the other receiver are DCMTK as it is installed: each small piece waits for an acknowledgement.

    A tenth of the 2,000 SR: the other receiver needs 0.1 s for each.
    """
    work = "receive 200 SR from a sender with Nagle"
    return against_storescp(folder, sr_series(folder, 200), work, nagle=True, at_most=0.1)


def receive_sr(folder: Path) -> Row:
    files = sr_series(folder, 2000)
    with door(folder) as ours, orthanc(folder, MaximumPduLength=131072) as theirs:

        def clear() -> None:
            set_aside(ours.folder)
            theirs.clear()
            os.sync()

        return compare(
            "receive 2,000 SR x 5 KB, each fsynced",
            "Orthanc (SyncStorageArea)",
            send(files, "IMGSHARE", ours.port),
            send(files, theirs.ae_title, theirs.dicom_port),
            at_most=0.7,
            before=clear,
        )


def receive_associations(folder: Path) -> Row:
    """The sender is a bare socket that has its bytes ready: what counts is the receiver's time alone."""
    objects = [loaded(path) for path in islice(sorted(sr_series(folder, 2000).iterdir()), 100)]
    with door(folder) as ours, dcmtk_storescp(folder, options=("--fork",)) as theirs:
        return compare(
            "100 associations of one object each",
            "storescp --fork",
            lambda: one_by_one(objects, "IMGSHARE", ours.port),
            lambda: one_by_one(objects, "ANY", theirs.port),
            at_most=3,
            before=lambda: set_aside(ours.folder),
        )


def memory(folder: Path, megabytes: int, *, at_most: float) -> Row:
    """The peak of the door's resident memory; the ratio is to the megabytes that it may take."""
    files = large_multiframe(folder, megabytes)
    with door(folder) as ours:
        send(files, "IMGSHARE", ours.port)()
        status = Path(f"/proc/{ours.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return row_of(f"peak memory of the door, {megabytes} MB", "what is allowed", peak, at_most, at_most=1, unit="MiB")


def receive_memory(folder: Path) -> Row:
    return memory(folder, 500, at_most=120)


def receive_memory_2g(folder: Path) -> Row:
    return memory(folder, 2000, at_most=150)


WORKS = {
    "receive-ct": receive_ct,
    "receive-ct-16k": receive_ct_in_small_pdus,
    "receive-mg": receive_mg,
    "receive-large": receive_large,
    "receive-sr": receive_sr,
    "receive-associations": receive_associations,
    "receive-nagle": receive_from_nagle,
    "receive-memory": receive_memory,
    "receive-memory-2g": receive_memory_2g,
}
ON_REQUEST = {"receive-memory-2g"}  # takes 4 GB of the disk


# --- a sender of few instructions ------------------------------------------------------------------------------------


class Loaded(NamedTuple):
    sop_class: str
    request: bytes
    data: bytes


def loaded(path: Path) -> Loaded:
    """An object with its C-STORE request, as one PDU each."""
    facts = header.read(path)
    values = {
        command.AFFECTED_SOP_CLASS_UID: facts.SOPClassUID.encode(),
        command.COMMAND_FIELD: command.C_STORE_RQ,
        command.MESSAGE_ID: 1,
        0x0700: 0,  # Priority
        command.DATA_SET_TYPE: 0,
        command.AFFECTED_SOP_INSTANCE_UID: facts.SOPInstanceUID.encode(),
    }
    elements = b"".join(command.element(tag, value) for tag, value in values.items())
    group_length = command.element(command.GROUP_LENGTH, struct.pack("<I", len(elements)))
    data = path.read_bytes()[facts.dataset_offset :]
    pdu = command.PDU.pack(command.P_DATA_TF, len(data) + 6) + command.FRAGMENT.pack(len(data) + 2, 1, command.LAST)
    return Loaded(facts.SOPClassUID, command.p_data_tf(1, group_length + elements), pdu + data)


def one_by_one(objects: list[Loaded], title: str, port: int) -> None:
    """An association for each object, released when it is answered."""
    for one in objects:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as peer, peer.makefile("rb") as answers:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.sendall(association_request(one.sop_class, title))
            expect(answers, 0x02)
            peer.sendall(one.request + one.data)
            expect(answers, command.P_DATA_TF)
            peer.sendall(command.PDU.pack(0x05, 4) + bytes(4))
            expect(answers, 0x06)


def association_request(sop_class: str, title: str) -> bytes:
    """PS3.8 9.3.2, with one presentation context in Explicit VR Little Endian."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(content)) + content

    context = item(0x30, sop_class.encode()) + item(0x40, ExplicitVRLittleEndian.encode())
    user = item(0x51, struct.pack(">I", 131072)) + item(0x52, b"2.25.1")
    items = item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, bytes([1, 0, 0, 0]) + context) + item(0x50, user)
    titles = f"{title:16}{'BENCH':16}".encode()
    content = struct.pack(">HH", 1, 0) + titles + bytes(32) + items
    return command.PDU.pack(0x01, len(content)) + content


def expect(answers: BinaryIO, kind: int) -> None:
    """Take one PDU, which must be of this kind (PS3.8 9.3.1)."""
    got, length = command.PDU.unpack(answers.read(6))
    answers.read(length)
    if got != kind:
        raise RuntimeError(f"the peer sent a PDU of type {got} instead of {kind}")
