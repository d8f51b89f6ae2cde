"""The door in several processes that share one port, as the command keeps it."""

import os
import signal
import time
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from reconciliation.management.commands.storescp import SOON
from tests.wire.conftest import answers, wait_until

pytestmark = pytest.mark.django_db

A_SOURCE = 'from policies.models import Source; Source.objects.create(name="MR", ae_title="SENDER", issuer="GENERAL")'


def children(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_a_process_that_dies_is_replaced_and_all_end_together(new_portal, storescu):
    portal = new_portal("storescp", IMGSHARE_DICOM_PROCESSES=2)
    portal.shell(A_SOURCE)
    door = portal.processes["storescp"].popen

    def send() -> int:
        address = ["-aet", "SENDER", "-aec", "IMGSHARE", "127.0.0.1", portal.dicom_port]
        return storescu(*address, get_testdata_file("CT_small.dcm")).returncode

    assert [send() for _ in range(8)] == [0] * 8
    first, second = children(door.pid)
    time.sleep(SOON)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(children(door.pid) - {first}) == 2, seconds=20, failing="nobody took the place")
    assert second in children(door.pid)
    wait_until(lambda: send() == 0, seconds=20, failing="nothing can be sent")

    everybody = children(door.pid)
    portal.kill("storescp", signal.SIGTERM)
    assert door.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in everybody)
    assert not answers(portal.dicom_port)


def test_a_door_that_cannot_be_opened_says_so_and_ends(new_portal):
    portal = new_portal(IMGSHARE_DICOM_PROCESSES=2, IMGSHARE_BIND_ADDRESS="192.0.2.1")  # nobody's, RFC 5737

    done = portal.manage("storescp")

    assert done.returncode != 0
    assert "cannot serve" in done.stderr
