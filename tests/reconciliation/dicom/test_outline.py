"""Where elements lie: the quick way and the thorough one agree, however little of a file is read."""

import struct
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from reconciliation.dicom import elements, outline
from reconciliation.dicom.edit import make
from tests.reconciliation.dicom.edits import ct, nested, plan, saved

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose

FILES = ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "test-SR.dcm", "rtplan.dcm"]


@pytest.mark.parametrize("name", FILES)
def test_the_quick_loop_finds_what_a_walk_finds(name):
    with outline.opened(Path(get_testdata_file(name))) as source:
        walked = list(elements.walk(source.data, source.start, source.size, source.encoding))

        assert source.elements == tuple(walked)
        assert source.ordered


@pytest.mark.parametrize("name", FILES)
def test_it_does_not_matter_how_much_is_read_at_once(name):
    path = Path(get_testdata_file(name))
    size = path.stat().st_size

    found = []
    for reach in {140, 400, 1000, *range(2000, size + 2000, size // 20)}:
        with outline.opened(path, reach=reach) as source:
            found.append((source.tags, source.starts, source.raws(source.tags[:-2])))

    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_only_the_first_bytes_of_a_common_object_are_read(syntax, tmp_path):
    """Also where Data Set Trailing Padding stands behind its pixels."""
    ds = nested(PixelData=bytes(1 << 20), DataSetTrailingPadding=bytes(200))
    path = saved(ds, tmp_path / "a.dcm", syntax)

    with outline.opened(path) as source:
        assert isinstance(source.data, bytes)
        assert source.starts[-1] == source.end == path.stat().st_size


def test_the_zeros_behind_the_last_element_stay(tmp_path):
    path = saved(ct(), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes() + bytes(4096))

    result = make(path, plan())

    assert path.read_bytes()[result.tail_offset :].endswith(bytes(4096))


def test_an_element_that_is_larger_than_what_is_read_first_can_change_too(tmp_path):
    """The original value is needed whole: it goes into Original Attributes."""
    path = saved(ct(), tmp_path / "a.dcm", ExplicitVRLittleEndian)
    with outline.opened(path) as source:
        place = source.place(0x00400275)
        item = struct.pack("<HH2sHI", 0x40, 0x0400, b"UT", 0, 100_000) + b"x" * 100_000
        content = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
        large = struct.pack("<HH2sHI", 0x40, 0x0275, b"SQ", 0, len(content)) + content
        path.write_bytes(source.data[:place] + large + source.data[place:])

    assert large in make(path, plan()).head
