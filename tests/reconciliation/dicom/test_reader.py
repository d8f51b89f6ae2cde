import hashlib
import os
import signal
import time
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from reconciliation.dicom import header, reader
from reconciliation.dicom.reader import Reader
from reconciliation.dicom.vault import digests
from tests import hostile

CT = Path(get_testdata_file("CT_small.dcm"))
MB = 1 << 20


@pytest.fixture(scope="module")
def child():
    one = Reader()
    yield one
    one.close()


@pytest.fixture
def new_reader():
    made = []

    def new(kind=Reader, **limits):
        made.append(kind(**limits))
        return made[-1]

    yield new
    for one in made:
        one.close()


def written(folder: Path, data: bytes, name="object") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_the_child_reads_what_this_process_would_read(child):
    (found,) = child.read([CT])

    here = header.read(CT)
    assert (found.header, found.reason) == (here, "")
    assert (found.digest, found.content_digest) == digests(CT, here.dataset_offset)


def test_readings_come_in_the_order_of_the_files(child, tmp_path):
    paths = [written(tmp_path, b"%d" % n, str(n)) for n in range(300)]

    assert [found.digest for found in child.read(paths)] == [hashlib.sha256(b"%d" % n).hexdigest() for n in range(300)]


@pytest.mark.parametrize("name", hostile.OBJECTS)
def test_a_hostile_object_is_read_or_explained_within_ten_seconds_and_its_reader_lives(child, tmp_path, name):
    make_it, end = hostile.OBJECTS[name]
    path = written(tmp_path, make_it())
    child.read([CT])
    alive, start = child.pid, time.monotonic()
    found, after = child.read([path, CT])

    assert time.monotonic() - start < 10
    assert (found.header is not None) == (end == hostile.HELD)
    assert bool(found.reason) == (end == hostile.EXPLAINED)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (after.header, child.pid) == (header.read(CT), alive)
    assert child.memory() < reader.MEMORY + 100 * MB  # what it maps comes on top


def test_an_object_that_takes_too_long_ends_its_reader_and_not_the_others(new_reader, tmp_path):
    endless = written(tmp_path, hostile.with_tail(b"\x41\x00\x01\x00LO\0\0" * 1_900_000))
    before, slow, after = new_reader(processor=0.1).read([CT, endless, CT])

    assert (slow.header, slow.reason) == (None, reader.TOO_SLOW)
    assert slow.digest == hashlib.sha256(endless.read_bytes()).hexdigest()
    assert before.header == after.header == header.read(CT)


def test_an_object_that_needs_too_much_memory_is_explained(new_reader, tmp_path):
    bomb = written(tmp_path, hostile.deflated(lambda data: data + bytes(100 * MB)))
    # Above what the child needs for itself (115 to 150 MB of data with its libraries), below that and the bomb.
    found, after = new_reader(memory=180 * MB).read([bomb, CT])

    assert (found.header, found.reason) == (None, reader.NO_MEMORY)
    assert after.header


def test_a_child_that_is_killed_by_chance_costs_no_object(child):
    child.read([CT])
    child._child.send_signal(signal.SIGKILL)

    assert child.read([CT])[0].header


def test_a_child_that_stands_still_is_replaced(new_reader):
    one = new_reader(patience=0.5)
    one.read([CT])
    one._child.send_signal(signal.SIGSTOP)

    assert one.read([CT])[0].header


class Doomed(Reader):
    """Its children die before they can answer."""

    def _ready(self):
        super()._ready()
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()


def test_an_object_that_kills_two_children_is_given_up_with_a_sentence(new_reader):
    (found,) = new_reader(Doomed).read([CT])

    assert (found.header, found.reason) == (None, reader.BROKEN)
    assert found.digest == hashlib.sha256(CT.read_bytes()).hexdigest()


def test_a_reader_that_cannot_start_blames_no_object(new_reader, tmp_path, monkeypatch):
    monkeypatch.setattr("reconciliation.dicom.child.ROOT", tmp_path)  # where our own program is not
    with pytest.raises(OSError, match="cannot be started"):
        new_reader().read([CT])


def test_a_disk_that_fails_is_no_objects_fault_and_no_answer_is_taken_for_another(child, tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)):
        child.read([CT, tmp_path, written(tmp_path, b"not read yet")])  # a folder can be opened, and not read
    with pytest.raises(FileNotFoundError):
        child.read([tmp_path / "gone"])

    assert child.read([CT])[0].header == header.read(CT)


def test_the_child_can_write_no_file(child, tmp_path):
    child.read([CT])
    limits = Path(f"/proc/{child.pid}/limits").read_text()

    assert [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max file size")] == [["0", "0"]]


def test_a_process_that_was_forked_off_reads_by_a_child_of_its_own(child):
    child.read([CT])
    pid = os.fork()
    if not pid:
        right = child._child and child.read([CT])[0].header is not None
        child.close()
        os._exit(0 if right else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert child.read([CT])[0].header
