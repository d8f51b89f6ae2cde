"""The DICOM door against DCMTK, and against a sender of our own that misbehaves on purpose."""

import errno
import os
import signal
import struct
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLossless
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.sop_class import CTImageStorage

from policies.rules.senders import Sender
from reconciliation.dicom import header
from reconciliation.dicom.spool import Spool
from tests.wire.door import CT, Portal, associate, association, begin, call, command, door_process, eventually, send

pytestmark = pytest.mark.wire


@pytest.fixture(params=[False, True], ids=["direct", "plain"])
def plain(request) -> bool:
    """Each promise holds on both ways from the wire: our own, and pynetdicom's."""
    return request.param


@pytest.fixture
def portal(tmp_path, plain):
    opened = Portal(tmp_path / "spool", plain=plain)
    yield opened
    opened.server.shutdown()


# --- who may come in -------------------------------------------------------------------------------------------------


def test_an_echo_is_answered_and_leaves_nothing(portal):
    assert portal.call("echoscu").returncode == 0
    assert portal.files() == []


def test_an_unknown_caller_is_rejected_for_good(portal):
    done = portal.call("storescu", CT, calling="NOBODY")

    assert "Rejected Permanent, Source: Service User" in done.stderr
    assert "Calling AE Title Not Recognized" in done.stderr
    [(caller, sentence)] = portal.refused
    assert (caller.calling_title, caller.called_title, caller.address) == ("NOBODY", "IMGSHARE", "127.0.0.1")
    assert sentence == "NOBODY is no source of ours."
    assert portal.files() == []


def test_a_wrong_called_title_is_rejected_for_good(portal):
    done = portal.call("storescu", CT, called="ELSEWHERE")

    assert "Rejected Permanent, Source: Service User" in done.stderr
    assert "Called AE Title Not Recognized" in done.stderr
    assert "ELSEWHERE" in portal.refused[0][1]


def test_a_failure_of_ours_asks_the_caller_to_try_again(portal):
    done = portal.call("storescu", CT, calling="BROKEN")

    assert "Rejected Transient" in done.stderr
    assert portal.refused == []


# --- what comes in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("MR_small.dcm", "-xe"),
        ("MR_small_implicit.dcm", "-xi"),
        ("MR_small_bigendian.dcm", "-xb"),
        ("image_dfl.dcm", "-xd"),
        ("SC_rgb_jpeg_dcmtk.dcm", "-xy"),
        ("JPGExtended.dcm", "-xx"),
        ("SC_rgb_jpeg_gdcm.dcm", "-xs"),
        ("MR_small_jpeg_ls_lossless.dcm", "-xt"),
        ("MR_small_jp2klossless.dcm", "-xv"),
        ("JPEG2000.dcm", "-xw"),
        ("MR_small_RLE.dcm", "-xr"),
        ("test-SR.dcm", "-xe"),
    ],
)
def test_an_object_arrives_as_it_was_sent(portal, name, option):
    sent = dcmread(get_testdata_file(name, download=False))

    assert portal.call("storescu", "-R", option, sent.filename).returncode == 0

    [path] = portal.arrivals()
    got = dcmread(path)
    assert header.read(path).SOPInstanceUID == sent.SOPInstanceUID
    assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert got.get("PixelData") == sent.get("PixelData")
    assert got.StudyInstanceUID == sent.StudyInstanceUID


def test_one_association_is_one_submission_with_its_origin(portal):
    portal.call("storescu", CT, get_testdata_file("MR_small.dcm"), get_testdata_file("test-SR.dcm"))

    assert len(portal.arrivals()) == 3
    [key] = portal.spool.keys()
    assert portal.spool.origin(key).calling_title == "MODALITY"
    assert portal.spool.origin(key).address == "127.0.0.1"


def test_the_same_object_sent_twice_is_the_same_bytes(portal):
    for _ in range(2):
        portal.call("storescu", CT)

    first, second = portal.arrivals()
    assert first.read_bytes() == second.read_bytes()


def test_a_private_class_is_taken(portal):
    with association(portal, "1.2.826.0.1.3680043.8.498.1", [ExplicitVRLittleEndian]) as assoc:
        assert assoc.is_established


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([ImplicitVRLittleEndian, ExplicitVRLittleEndian], ExplicitVRLittleEndian),
        ([JPEGLossless, ExplicitVRLittleEndian], JPEGLossless),
        ([ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        (["1.2.840.113619.5.2"], "1.2.840.113619.5.2"),
    ],
)
def test_no_object_is_taken_in_a_poorer_syntax_than_was_offered(portal, offered, taken):
    with association(portal, CTImageStorage, offered) as assoc:
        assert assoc.accepted_contexts[0].transfer_syntax == [taken]


# --- what must not come in -------------------------------------------------------------------------------------------


def test_out_of_room_is_said_on_the_wire(tmp_path, plain):
    portal = Portal(tmp_path / "spool", minimum_free=1 << 60, plain=plain)
    done = portal.call("storescu", CT)
    portal.server.shutdown()

    assert "Received Store Response (Refused: OutOfResources)" in done.stderr
    assert portal.arrivals() == []


def test_a_disk_that_fails_is_never_answered_with_success(portal, monkeypatch):
    sync, calls = os.fsync, []

    def fails_from_the_object_on(fd):
        calls.append(fd)
        if len(calls) > 3:  # the origin, its folder and the spool were synced
            raise OSError(errno.EIO, "the disk is broken")
        sync(fd)

    monkeypatch.setattr(os, "fsync", fails_from_the_object_on)
    done = portal.call("storescu", CT)

    assert "Received Store Response (Refused: OutOfResources)" in done.stderr
    assert portal.arrivals() == []
    assert portal.files() == ["origin.json"]


def test_a_connection_cut_in_mid_object_leaves_no_arrival(portal):
    with association(portal) as assoc:
        begin(assoc)
        eventually(lambda: portal.files() == ["1.part", "origin.json"])
        assoc.dul.socket.socket.shutdown(2)

        assert portal.arrivals() == []
        assert portal.files() == ["origin.json"]


def test_a_sender_who_aborts_in_mid_object_leaves_no_arrival(portal):
    with association(portal) as assoc:
        begin(assoc)
        eventually(lambda: portal.files() == ["1.part", "origin.json"])
        assoc.abort()

    assert portal.arrivals() == []
    assert portal.files() == ["origin.json"]


def test_a_sender_who_falls_silent_is_let_go(tmp_path, plain):
    portal = Portal(tmp_path / "spool", network_timeout=0.5, plain=plain)
    with association(portal) as assoc:
        begin(assoc)
        eventually(lambda: portal.files() == ["1.part", "origin.json"])
        assoc.dul.socket.socket.sendall(struct.pack(">BBI", 4, 0, 60_000) + b"the rest never comes")

        eventually(lambda: portal.files() == ["origin.json"])
        assert portal.arrivals() == []
    portal.server.shutdown()


def test_a_pdu_longer_than_agreed_ends_the_association(portal):
    with association(portal) as assoc:
        assoc.dul.socket.socket.sendall(struct.pack(">BBI", 4, 0, 0xFFFFFFF0))

        eventually(lambda: portal.server.active_associations == [])


def test_a_door_killed_in_mid_object_leaves_a_part_that_counts_for_nothing(tmp_path):
    with door_process(tmp_path / "spool") as (process, port):
        assoc = associate(port)
        begin(assoc)
        spool = Spool(tmp_path / "spool")
        eventually(lambda: list(spool.root.rglob("*.part")))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assoc.abort()

    [key] = spool.keys()
    assert not spool.is_open(key)
    assert spool.whole(key) == []
    spool.sweep_parts(key)
    assert [path.name for path in spool.folder(key).iterdir()] == ["origin.json"]


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({0x1000: b""}, 0xA900),
        ({0x0002: b""}, 0xA900),
        ({0x0800: b"\x01\x01"}, 0xC000),
    ],
    ids=["no instance UID", "no class UID", "no data set"],
)
def test_a_request_that_makes_no_sense_is_refused_by_its_status(portal, elements, status):
    with association(portal) as assoc:
        send(assoc, command(elements), b"" if 0x0800 in elements else bytes(100))

        _, answer = assoc.dimse.get_msg(block=True)

    assert answer.Status == status
    assert portal.files() == []


def test_command_and_data_in_one_pdu_and_pieces_of_any_size_are_one_object(portal):
    data = bytes(range(256)) * 40
    whole = command()
    with association(portal) as assoc:
        for pieces in (
            [(3, whole), (2, data)],
            [
                (1, whole[:10]),
                (1, whole[10:11]),
                (3, whole[11:]),
                *[(0, data[n : n + 1000]) for n in range(0, 10000, 1000)],
            ],
        ):
            primitive = P_DATA()
            primitive.presentation_data_value_list = [[1, bytes([control]) + piece] for control, piece in pieces]
            assoc.dul.send_pdu(primitive)
            if pieces[-1][0] == 0:
                send(assoc, b"", data[10000:])
            assert assoc.dimse.get_msg(block=True)[1].Status == 0

    assert [path.read_bytes().endswith(data) for path in portal.arrivals()] == [True, True]


def test_an_echo_between_two_objects_is_answered(portal):
    with association(portal) as assoc:
        for _ in range(2):
            assert assoc.send_c_store(CT).Status == 0
            assert assoc.send_c_echo().Status == 0

    assert len(portal.arrivals()) == 2


def test_a_shut_door_lets_nobody_in_and_keeps_what_was_promised(portal):
    with association(portal) as assoc:
        assoc.send_c_store(CT)
        begin(assoc)
        portal.server.shutdown()

        assert len(portal.arrivals()) == 1
        assert portal.call("echoscu").returncode != 0


# --- how much it takes -----------------------------------------------------------------------------------------------


def test_a_large_object_passes_through_little_memory(tmp_path):
    ds = dcmread(CT)
    ds.Rows, ds.Columns, ds.NumberOfFrames = 1000, 1000, 100
    ds.PixelData = bytes(200_000_000)
    ds.save_as(tmp_path / "large.dcm")

    with door_process(tmp_path / "spool") as (process, port):
        call(port, "storescu", tmp_path / "large.dcm")
        status = Path(f"/proc/{process.pid}/status").read_text()
    [arrived] = (tmp_path / "spool").rglob("1")

    peak = int(status.split("VmHWM:")[1].split()[0])
    assert arrived.stat().st_size > 200_000_000
    assert peak < 120 << 10  # KiB


def test_the_right_title_from_another_address_is_rejected_before_any_data(tmp_path):
    opened = Portal(tmp_path / "spool", senders=[Sender("A", "MODALITY", "127.0.0.2/32")])
    try:
        done = opened.call("storescu", CT)
        assert done.returncode != 0
        assert "Calling AE Title Not Recognized" in done.stderr + done.stdout
        assert [why for _, why in opened.refused] == ["'MODALITY' called from 127.0.0.1, which is not its address."]
        assert opened.files() == []
    finally:
        opened.server.shutdown()
