"""A disk that is full, or that fails: refused before it is full, nothing half kept, and recovery by itself."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.conftest import wait_until
from tests.wire.faults.belt import Belt

MB = 1 << 20
REFUSED = "Received Store Response (Refused: OutOfResources)"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 16 MB that is really full when it is full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_the_door_refuses_before_the_disk_is_full_and_takes_again_by_itself(new_belt, small_disk):
    belt = new_belt(small_disk, IMGSHARE_MINIMUM_FREE_BYTES=6 * MB)
    ballast = small_disk / "somebody-elses"
    ballast.write_bytes(bytes(9 * MB))
    belt.start("storescp")
    first = belt.send(60)
    promised = first.acknowledged()
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    belt.start("intake")

    assert 0 < len(promised) < 60
    assert REFUSED in first.log.read_text()
    assert free > 5 * MB  # what staff need to finish their work
    ballast.unlink()
    again = belt.send(60, like=first).acknowledged()
    belt.wait_for_intake()
    for name in ("storescp", "intake"):
        belt.kill(name)
    belt.settle()
    assert len(again) == 60
    belt.must_hold(promised | again)


def fill(path: Path) -> None:
    """Write until not one byte more fits."""
    with pytest.raises(OSError, match="No space"), path.open("wb", buffering=0) as file:
        deque(iter(lambda: file.write(bytes(4096)), 0), maxlen=0)


def test_a_disk_that_is_full_to_the_last_byte_gets_no_promise_and_intake_recovers(new_belt, small_disk):
    belt = new_belt(small_disk)
    belt.start("storescp")
    promised = belt.send(5).acknowledged()
    ballast = small_disk / "somebody-elses"
    fill(ballast)
    full = belt.send(3).acknowledged()
    belt.start("intake")
    time.sleep(1)
    ballast.unlink()
    belt.wait_for_intake()
    promised |= belt.send(3).acknowledged()
    belt.wait_for_intake()
    for name in ("storescp", "intake"):
        belt.kill(name)
    belt.settle()

    assert (len(promised), full) == (8, set())
    belt.must_hold(promised)


FAILING = {
    "the file cannot be synced": "fsync:error=EIO:when=4",
    "the file does not fit after all": "fsync:error=ENOSPC:when=4",
    "it cannot be made whole": "rename:error=ENOSPC:when=2",
    "the folder cannot be synced": "fsync:error=EIO:when=5",
    "the origin cannot be synced": "fsync:error=EIO:when=1",
    "the submission cannot be opened": "rename:error=ENOSPC:when=1",
}


@pytest.mark.parametrize("failure", FAILING)
def test_a_door_whose_disk_fails_refuses_that_object_and_takes_the_others(belt: Belt, failure):
    with belt.traced("storescp", f"inject={FAILING[failure]}"):
        sending = belt.send(4)
        promised = sending.acknowledged()
        log = sending.log.read_text()
    belt.settle()

    assert (len(promised), log.count(REFUSED)) == (3, 1)
    belt.must_hold(promised)


BROKEN = {
    "the vault cannot take an object": "link:error=ENOSPC:when=2",
    "the vault cannot be synced": "fsync:error=EIO:when=6",
    "the journal cannot be begun": "fsync:error=EIO:when=1",
    "an object cannot leave the spool": "unlink:error=EIO:when=2",
    "the submission cannot be dropped": "rename:error=EIO:when=1",
}


@pytest.mark.parametrize("failure", BROKEN)
def test_an_intake_whose_disk_fails_once_comes_to_the_same_end(belt: Belt, failure):
    belt.start("storescp")
    promised = belt.send(4).acknowledged()
    belt.kill("storescp")
    with belt.traced("intake", f"inject={BROKEN[failure]}"):
        wait_until(lambda: not belt.waiting(), seconds=20, failing="intake did not come to its end")
    belt.settle()

    assert len(promised) == 4
    belt.must_hold(promised)
