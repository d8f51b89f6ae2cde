"""What the performance table is measured with really runs."""

import sys

import pytest

from imgshare_site.bench import WORKS, hl7, peers
from imgshare_site.bench.measure import Row
from orders.dicom import calling


def test_the_door_that_is_measured_answers(tmp_path):
    with peers.door(tmp_path) as ours:
        assert calling.echo(calling.Peer("127.0.0.1", ours.port, "IMGSHARE", "ANYBODY")) == ""


def test_a_peer_that_does_not_come_up_is_an_error_and_not_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(peers.time, "monotonic", iter(range(0, 1000, 40)).__next__)
    with pytest.raises(TimeoutError, match="nothing listens"):
        peers.wait_for(peers.free_port())


def test_a_row_is_measured_from_end_to_end(tmp_path):
    row = WORKS["receive-associations"](tmp_path)

    assert isinstance(row, Row)
    assert row.ratio > 0


@pytest.mark.parametrize("reading", sorted(hl7.READINGS))
def test_every_way_to_read_hl7_that_is_measured_takes_the_messages(tmp_path, monkeypatch, reading):
    monkeypatch.setattr(hl7, "MESSAGES", 4)
    with hl7.door(tmp_path, [sys.executable, "-c", hl7.DOOR, reading]) as port:
        hl7.feed(port)()
