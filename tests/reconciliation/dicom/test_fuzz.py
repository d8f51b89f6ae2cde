from pathlib import Path

import pydicom
import pytest

from reconciliation.dicom import fuzz, reader
from reconciliation.dicom.reader import Reader

SEEDS = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


@pytest.fixture
def child():
    one = Reader()
    yield one
    one.close()


def test_the_same_number_makes_the_same_wounds():
    data = SEEDS[0].read_bytes()

    assert fuzz.wounded(data, 7) == fuzz.wounded(data, 7) != fuzz.wounded(data, 8)


def test_wounded_objects_neither_hang_nor_kill_their_reader_nor_fill_the_memory(child, tmp_path):
    found = fuzz.fuzz(SEEDS, tmp_path, seconds=12, reader=child)

    assert found.tried > 100
    assert 0 < found.unread < found.tried
    assert (found.slow, found.broken, found.lost) == ([], [], 0)
    assert found.memory < reader.MEMORY
