import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import OutOfRoom, Spool

PROJECT = Path(__file__).parents[3]
ORIGIN = Origin(door="upload", user="desk", note="a note")


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", minimum_free=0)


def keep(submission, data=b"bytes", name=""):
    with submission.part(name) as part:
        part.write(data)
        return part.commit()


def names(spool, key):
    return sorted(path.name for path in spool.folder(key).iterdir())


def test_an_arrival_is_whole_only_after_commit(spool):
    with spool.open(ORIGIN) as submission, submission.part() as part:
        part.write(b"half")
        assert spool.whole(submission.key) == []
        part.commit()
        assert [arrival.path.read_bytes() for arrival in spool.whole(submission.key)] == [b"half"]


def test_what_is_not_committed_is_thrown_away(spool):
    with spool.open(ORIGIN) as submission:
        with submission.part() as part:
            part.write(b"half")
        assert names(spool, submission.key) == ["origin.json"]


def test_arrivals_keep_their_order_and_the_names_their_sender_gave(spool):
    with spool.open(ORIGIN) as submission:
        for n in range(11):
            keep(submission, name="" if n == 3 else f"IMG/{n:04}.dcm")

    arrivals = spool.whole(submission.key)
    assert [arrival.number for arrival in arrivals] == list(range(1, 12))
    assert [arrivals[i].name for i in (0, 3, 10)] == ["IMG/0000.dcm", "", "IMG/0010.dcm"]


def test_a_name_is_never_a_path(spool, tmp_path):
    with spool.open(ORIGIN) as submission:
        keep(submission, name="../../../evil")

    assert names(spool, submission.key) == ["1", "1.json", "origin.json"]
    assert not (tmp_path / "evil").exists()


def test_the_origin_lies_beside_the_bytes_before_the_first_of_them(spool):
    with spool.open(ORIGIN) as submission:
        assert spool.origin(submission.key) == ORIGIN


def test_submissions_come_oldest_first(spool):
    made = []
    for n in range(5):
        with spool.open(ORIGIN) as submission:
            made.append(submission.key)
            os.utime(spool.folder(submission.key) / "origin.json", ns=(0, 1000 - n))

    assert spool.keys() == made[::-1]


def test_submissions_of_one_clock_tick_come_in_the_order_in_which_they_were_opened(spool):
    made = []
    for _ in range(50):
        with spool.open(ORIGIN) as submission:
            made.append(submission.key)
            os.utime(spool.folder(submission.key) / "origin.json", ns=(0, 0))

    assert spool.keys() == made


def killed_while_opening(spool, call: str) -> None:
    """A door that dies inside `open`, at its first `call` of the os module."""
    script = f"""
import os, signal
from pathlib import Path
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool
spool = Spool({str(spool.root)!r}, minimum_free=0)
os.{call} = Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
spool.open(Origin(door="dimse"))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("call", ["write", "fsync", "getpgid"])
def test_a_door_killed_at_birth_leaves_nothing_that_looks_like_a_submission_and_is_swept(spool, call):
    killed_while_opening(spool, call)
    assert (spool.keys(), len(spool.hidden())) == ([], 1)

    spool.sweep_hidden()
    assert len(spool.hidden()) == 1  # too young to be sure that it is dead
    spool.sweep_hidden(older_than=0)
    assert list(spool.root.iterdir()) == []


def test_a_submission_that_a_living_door_is_about_to_open_is_not_swept(spool, monkeypatch):
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda *paths: (spool.sweep_hidden(older_than=0), rename(*paths)))

    with spool.open(ORIGIN) as submission:
        assert spool.origin(submission.key) == ORIGIN


def test_a_hidden_folder_that_holds_an_object_is_left_to_people(spool):
    folder = spool.root / ".somebody-elses"
    folder.mkdir()
    (folder / "1").write_bytes(b"an object")
    spool.sweep_hidden(older_than=0)

    assert spool.hidden() == [folder]


def test_a_disk_that_cannot_hold_the_origin_leaves_nothing_behind(spool, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        spool.open(ORIGIN)

    assert list(spool.root.iterdir()) == []


def test_a_submission_is_open_until_its_door_says_so(spool):
    submission = spool.open(ORIGIN)
    assert spool.is_open(submission.key)

    submission.close()

    assert not spool.is_open(submission.key)


def test_a_killed_door_leaves_only_a_part_and_no_claim(spool):
    script = f"""
import os, signal
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import Spool
submission = Spool({str(spool.root)!r}, minimum_free=0).open(Origin(door="dimse"))
whole = submission.part(); whole.write(b"whole"); whole.commit()
submission.part().write(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False)

    [key] = spool.keys()
    assert done.returncode == -signal.SIGKILL
    assert not spool.is_open(key)
    assert [arrival.path.read_bytes() for arrival in spool.whole(key)] == [b"whole"]
    spool.sweep_parts(key)
    assert names(spool, key) == ["1", "origin.json"]


def test_parts_of_an_open_submission_are_left_alone(spool):
    with spool.open(ORIGIN) as submission, submission.part() as part:
        spool.sweep_parts(submission.key)

        assert part.path.exists()


def test_a_disk_that_cannot_sync_never_gives_a_whole_arrival(spool, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "no space")

    with spool.open(ORIGIN) as submission, submission.part() as part:
        part.write(b"data")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            part.commit()

    assert spool.whole(submission.key) == []


def test_the_file_is_synced_before_it_is_renamed_and_the_folder_after(spool, monkeypatch):
    seen = []
    sync = os.fsync
    with spool.open(ORIGIN) as submission, submission.part() as part:
        monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(names(spool, submission.key)), sync(fd)))
        part.commit()

    assert seen == [["1.part", "origin.json"], ["1", "origin.json"]]


def test_a_large_object_is_on_its_way_to_the_disk_while_it_comes(spool, monkeypatch):
    given = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, start, size, advice: given.append((start, start + size)))
    piece = bytes(100_001)
    with spool.open(ORIGIN) as submission, submission.part() as part:
        for _ in range(5):
            part.write(piece)
            part.write_pieces([memoryview(piece)] * 2)

    assert given == [(0, 300_003), (300_003, 600_006), (600_006, 900_009), (900_009, 1_200_012), (1_200_012, 1_500_015)]


def test_no_object_begins_when_the_disk_is_nearly_full(tmp_path):
    spool = Spool(tmp_path, minimum_free=1 << 60)

    with spool.open(ORIGIN) as submission, pytest.raises(OutOfRoom):
        submission.part()


def test_one_intake_at_a_time_holds_a_submission(spool):
    with spool.open(ORIGIN) as submission:
        pass

    with spool.claim(submission.key) as first, spool.claim(submission.key) as second:
        assert (first, second) == (True, False)
    with spool.claim(submission.key) as again:
        assert again


def test_a_submission_that_is_gone_cannot_be_claimed(spool):
    with spool.open(ORIGIN) as submission:
        pass
    spool.drop(submission.key)

    with spool.claim(submission.key) as held:
        assert not held


def test_only_an_empty_closed_submission_is_dropped(spool):
    with spool.open(ORIGIN) as submission:
        with pytest.raises(OSError, match="still open"):
            spool.drop(submission.key)
        kept = keep(submission, name="IM1")
    with pytest.raises(OSError, match="still holds"):
        spool.drop(submission.key)

    kept.unlink()
    with spool.claim(submission.key):
        spool.drop(submission.key)
        spool.drop(submission.key)

    assert spool.keys() == []
    assert list(spool.root.iterdir()) == []


@pytest.mark.parametrize("key", ["../vault", "", "/etc", "x/../y"])
def test_what_is_no_key_of_ours_opens_nothing(spool, key):
    with pytest.raises(ValueError, match="UUID"):
        spool.origin(key)
