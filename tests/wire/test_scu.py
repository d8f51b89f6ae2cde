"""Sending to DCMTK's storescp, and to receivers of our own that answer as badly as real ones do."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import CTImageStorage, Verification

from reconciliation.dicom import edit, scu
from reconciliation.dicom.edit import CannotWrite, Made
from reconciliation.dicom.scu import Outcome, Outgoing, Peer, Refused, Unreachable

CT, MR = (Path(get_testdata_file(name)) for name in ("CT_small.dcm", "MR_small_implicit.dcm"))
J2K = Path(get_testdata_file("JPEG2000.dcm"))


def outgoing(file: Path, key: str = "", **told) -> Outgoing:
    meta = dcmread(file, stop_before_pixels=True).file_meta
    values = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "TransferSyntaxUID": meta.TransferSyntaxUID,
        "original": file,
        "made": lambda: edit.make(file, []),
    }
    return Outgoing(key or file.name, **values | told)


def peer(port: int, **told) -> Peer:
    return Peer("127.0.0.1", port, **{"ae_title": "STORESCP", "calling_title": "IMGSHARE", "dimse_timeout": 5} | told)


def sent(to: Peer, *objects: Outgoing, **options) -> list[Outcome]:
    outcomes: list[Outcome] = []
    scu.send(to, objects, told=outcomes.append, **options)
    return outcomes


@contextmanager
def receiver(
    *, handle=lambda event: 0x0000, contexts=((CTImageStorage, ExplicitVRLittleEndian),), **options
) -> Iterator:
    """A pynetdicom SCP that answers each C-STORE as told."""
    _config.UNRESTRICTED_STORAGE_SERVICE = False  # which our own door sets in the same process
    ae = AE("RECEIVER")
    for name, value in options.items():
        setattr(ae, name, value)
    for sop_class, syntax in contexts:
        ae.add_supported_context(sop_class, syntax)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def test_objects_arrive_as_the_bytes_that_they_are(storescp):
    outcomes = sent(peer(storescp.port), outgoing(CT), outgoing(MR), outgoing(J2K))

    assert [(each.key, each.status, each.accepted) for each in outcomes] == [
        (path.name, 0, True) for path in (CT, MR, J2K)
    ]
    there = {dcmread(path).SOPInstanceUID: dcmread(path) for path in storescp.files()}
    for path in (CT, MR, J2K):
        ds = dcmread(path)
        assert there[ds.SOPInstanceUID] == ds
        assert there[ds.SOPInstanceUID].file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID


def test_the_next_object_is_made_while_the_peer_stores_one(storescp):
    log = []

    def made() -> Made:
        log.append("made")
        return edit.make(CT, [])

    scu.send(peer(storescp.port), [outgoing(CT, made=made)] * 3, told=lambda outcome: log.append(outcome.status))

    assert log == ["made", "made", 0, "made", 0, 0]


def test_what_goes_wrong_in_making_an_object_is_raised_after_the_one_before_is_told(storescp):
    def wrong() -> Made:
        raise OSError("The disk is broken.")

    outcomes: list[Outcome] = []
    with pytest.raises(OSError, match="broken"):
        scu.send(peer(storescp.port), [outgoing(CT), outgoing(CT, made=wrong)], told=outcomes.append)

    assert [each.status for each in outcomes] == [0]


def test_small_objects_do_not_wait_for_each_other(storescp):
    started = time.monotonic()

    sent(peer(storescp.port), *[outgoing(CT)] * 100)

    assert time.monotonic() - started < 3  # where acknowledgements wait, it takes four seconds and more


def test_what_the_peer_does_not_take_is_refused_for_good_and_the_rest_goes():
    with receiver() as port:
        outcomes = sent(peer(port), outgoing(MR), outgoing(CT), outgoing(J2K))

    assert [(each.status, each.accepted, each.final) for each in outcomes] == [
        (None, False, True),
        (0, True, False),
        (None, False, True),
    ]
    assert outcomes[0].sentence == "STORESCP does not take MR Image Storage."
    assert outcomes[2].sentence.startswith("STORESCP does not take ")


def test_a_peer_that_takes_nothing_refuses_each_object():
    with receiver(contexts=[(Verification, ImplicitVRLittleEndian)]) as port:
        outcomes = sent(peer(port), outgoing(CT), outgoing(MR))

    assert [each.final for each in outcomes] == [True, True]


@pytest.mark.parametrize(
    ("status", "accepted", "final", "words"),
    [
        (0xA700, False, False, "0xA700: out of resources"),
        (0xA801, False, True, "0xA801"),
        (0xA900, False, True, "does not match its SOP class"),
        (0xC000, False, True, "0xC000: cannot understand"),
        (0x0124, False, True, "not authorised"),
        (0xB000, True, False, "0xB000: stored, but some values were changed"),
    ],
)
def test_a_status_is_told_in_words(status, accepted, final, words):
    with receiver(handle=lambda event: status) as port:
        [outcome] = sent(peer(port), outgoing(CT))

    assert (outcome.status, outcome.accepted, outcome.final) == (status, accepted, final)
    assert words in outcome.sentence


def test_more_pairs_than_an_association_can_hold_go_in_several():
    classes = [f"1.2.826.0.1.3680043.10.1777.99.{number}" for number in range(130)]
    objects = [outgoing(CT, sop_class, SOPClassUID=sop_class) for sop_class in classes] + [outgoing(CT)]
    with receiver() as port:
        outcomes = sent(peer(port), *objects)

    assert [each.key for each in outcomes] == [*classes, CT.name]
    assert [each.accepted for each in outcomes] == [False] * 130 + [True]


def test_an_object_that_cannot_be_made_does_not_stop_the_others(storescp):
    def refuse() -> Made:
        raise CannotWrite("The object is cut off.")

    outcomes = sent(peer(storescp.port), outgoing(CT, "cut", made=refuse), outgoing(CT))

    assert [(each.sentence, each.final) for each in outcomes] == [("The object is cut off.", True), ("", False)]


def test_a_file_in_another_syntax_than_announced_is_not_sent(storescp):
    [outcome] = sent(peer(storescp.port), outgoing(MR, TransferSyntaxUID=ExplicitVRLittleEndian))

    assert outcome.final
    assert storescp.files() == []


def test_an_unknown_title_needs_a_person():
    with receiver(require_called_aet=True) as port, pytest.raises(Refused, match="Called AE title not recognised"):
        sent(peer(port), outgoing(CT))


def test_a_busy_peer_is_tried_again_later():
    with receiver(maximum_associations=1) as port:
        ae = AE("OTHER")
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        first = ae.associate("127.0.0.1", port)
        with pytest.raises(Unreachable, match="does not accept a connection now"):
            sent(peer(port), outgoing(CT))
        first.release()


def test_a_peer_that_is_down_is_unreachable(free_port):
    with pytest.raises(Unreachable, match="Nobody listens"):
        sent(peer(free_port), outgoing(CT))


def test_an_unknown_host_is_unreachable(free_port):
    with pytest.raises(Unreachable):
        sent(Peer("no-such-host.invalid", free_port, "X", "Y"), outgoing(CT))


def test_a_line_without_answer_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(Unreachable):
            sent(peer(silent.getsockname()[1], acse_timeout=0.5), outgoing(CT))

    assert time.monotonic() - started < 5


def test_a_peer_that_dies_leaves_what_was_told_and_an_unknown(storescp, tmp_path):
    ds = dcmread(CT)
    ds.Rows, ds.Columns, ds.PixelData = 8192, 8192, bytes(128 << 20)
    ds.save_as(tmp_path / "large.dcm")
    outcomes: list[Outcome] = []

    def die_after_the_first(outcome: Outcome) -> None:
        """It stands still at once, so that it dies in the middle of the second, however fast the line is."""
        outcomes.append(outcome)
        if len(outcomes) == 1:
            os.kill(storescp.process.popen.pid, signal.SIGSTOP)
            threading.Timer(0.1, os.kill, (storescp.process.popen.pid, signal.SIGKILL)).start()

    objects = [outgoing(CT), outgoing(tmp_path / "large.dcm", "large"), outgoing(CT, "never")]
    with pytest.raises(Unreachable):
        scu.send(peer(storescp.port), objects, told=die_after_the_first)

    assert [(each.key, each.status, each.final) for each in outcomes] == [(CT.name, 0, False), ("large", None, False)]


def test_an_answer_that_never_comes_is_unknown():
    def late(event):
        time.sleep(1.5)
        return 0x0000

    outcomes: list[Outcome] = []
    with receiver(handle=late) as port, pytest.raises(Unreachable):
        scu.send(peer(port, dimse_timeout=0.5), [outgoing(CT)] * 2, told=outcomes.append)

    assert [(each.status, each.accepted, each.final) for each in outcomes] == [(None, False, False)]


def test_a_peer_that_reads_no_more_does_not_hold_us_for_ever(tmp_path):
    ds = dcmread(CT)
    ds.Rows, ds.Columns, ds.PixelData = 8192, 4096, bytes(64 << 20)
    ds.save_as(tmp_path / "large.dcm")
    stopped, go_on = [], threading.Event()

    def stop_reading(event):
        stopped.append(event.assoc)
        go_on.wait(10)  # in the thread that reads

    ae = AE("RECEIVER")
    ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_DATA_RECV, stop_reading)])
    try:
        to = peer(server.server_address[1], dimse_timeout=1, acse_timeout=1)
        started = time.monotonic()
        with pytest.raises(Unreachable):
            sent(to, outgoing(tmp_path / "large.dcm"))
    finally:
        go_on.set()
        server.shutdown()

    assert time.monotonic() - started < 8


def test_no_thread_is_left_behind(storescp):
    before = threading.active_count()

    sent(peer(storescp.port), outgoing(CT))

    deadline = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() == before
