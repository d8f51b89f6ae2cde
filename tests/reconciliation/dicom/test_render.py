import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from reconciliation.dicom import render
from reconciliation.dicom.render import MIDDLE, NoPicture, picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def shown(path: Path | str, **asked) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture(Path(path), **asked)))).astype(int)


def grey(folder: Path, pixels, **values) -> Path:
    """A picture of sixteen bits, each of its four pixels drawn as a large square (JPEG blurs edges)."""
    pixels = np.kron(np.asarray(pixels, np.int16), np.ones((32, 32), np.int16))
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    for keyword in ("PixelPaddingValue", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        ds.pop(keyword, None)
    ds.PhotometricInterpretation, ds.PixelRepresentation, ds.BitsStored, ds.HighBit = "MONOCHROME2", 1, 16, 15
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    if "PixelPaddingValue" in ds:
        ds["PixelPaddingValue"].VR = "SS"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.PixelData = pixels.tobytes()
    ds.save_as(folder / "grey.dcm")
    return folder / "grey.dcm"


def squares(path: Path, **asked) -> list[int]:
    """The grey of the middle of each square."""
    whole = shown(path, **asked)
    return [round(whole[y, x] / 16) * 16 for y in (16, 48) for x in (16, 48)]


SHARED = Path(__file__).parents[4] / "shared" / "data" / "dicom"
CRASHER = "rtdose_1frame__02_compressed_pixel__corrupt_jpeg_markers.dcm"  # ends the process from inside a C++ library
SQUARES = [[0, 100], [200, 300]]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("CT_small.dcm", "L"),
        ("MR_small_bigendian.dcm", "L"),
        ("MR_small_RLE.dcm", "L"),
        ("JPEG2000.dcm", "L"),
        ("MR_small_jpeg_ls_lossless.dcm", "L"),
        ("image_dfl.dcm", "L"),
        ("rtdose.dcm", "L"),
        ("examples_palette.dcm", "RGB"),
        ("examples_ybr_color.dcm", "RGB"),
        ("SC_rgb_jpeg_dcmtk.dcm", "RGB"),
        ("SC_rgb_rle_16bit_2frame.dcm", "RGB"),
    ],
)
def test_what_people_send_is_displayed(name, mode):
    image = Image.open(io.BytesIO(picture(Path(get_testdata_file(name)), frame=MIDDLE, width=128)))

    assert image.mode == mode
    assert max(image.size) <= 128
    assert np.asarray(image).std() > 5


def test_colours_are_not_mixed_up():
    [red, *_, green, blue] = [shown(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm"))[y, 50] for y in (5, 15, 25, 45)]

    assert red[0] > 200 > 100 > max(red[1:])
    assert green[1] > 200 > 100 > max(green[0], green[2])
    assert blue[2] > 200 > 100 > max(blue[:2])


def test_a_window_decides_what_is_black_and_white(tmp_path):
    assert squares(grey(tmp_path, SQUARES, WindowCenter=150, WindowWidth=100)) == [0, 0, 256, 256]


def test_the_first_of_several_windows_counts(tmp_path):
    assert squares(grey(tmp_path, SQUARES, WindowCenter=[50, 150], WindowWidth=[10, 100])) == [0, 256, 256, 256]


def test_a_window_is_in_rescaled_values(tmp_path):
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": -700, "WindowWidth": 100}

    assert squares(grey(tmp_path, SQUARES, **rescaled)) == [0, 0, 256, 256]


def test_monochrome1_is_inverted(tmp_path):
    plain, inverted = (
        squares(grey(tmp_path, SQUARES, PhotometricInterpretation=how)) for how in ("MONOCHROME2", "MONOCHROME1")
    )

    assert plain == sorted(plain)
    assert inverted == plain[::-1]


@pytest.mark.parametrize("how", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_darken_the_rest(how, tmp_path):
    path = grey(tmp_path, [[-2000, 100], [101, 102]], PixelPaddingValue=-2000, PhotometricInterpretation=how)

    padding, *rest = squares(path)

    assert padding == 0
    assert max(rest) == 256
    assert 96 < rest[1] < 160


def test_a_window_of_an_enhanced_object_is_found_in_its_functional_groups(tmp_path):
    window = Dataset()
    window.WindowCenter, window.WindowWidth = 150, 100
    group = Dataset()
    group.FrameVOILUTSequence = [window]

    assert squares(grey(tmp_path, SQUARES, SharedFunctionalGroupsSequence=[group])) == [0, 0, 256, 256]


def test_a_frame_is_chosen_by_number_or_as_the_middle_one(tmp_path):
    frames = [[[0, 0], [0, 0]], [[300, 0], [0, 0]], [[300, 300], [0, 0]]]
    path = grey(tmp_path, frames, NumberOfFrames=3, WindowCenter=150, WindowWidth=100)

    assert [sum(squares(path, frame=frame)) for frame in (0, 1, 2, MIDDLE, 99)] == [0, 256, 512, 256, 512]


def test_an_object_without_pixels_says_so():
    with pytest.raises(NoPicture, match="no pixels"):
        picture(Path(get_testdata_file("test-SR.dcm")))


# --- in a child ---


def test_a_picture_is_written_by_a_child(tmp_path):
    assert render.render(Path(get_testdata_file("CT_small.dcm")), tmp_path / "ct.jpg", width=64) == ""

    assert Image.open(tmp_path / "ct.jpg").size == (64, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["ct.jpg"]


def test_what_has_no_picture_leaves_a_sentence_and_no_file(tmp_path):
    told = render.render(Path(get_testdata_file("test-SR.dcm")), tmp_path / "sr.jpg")

    assert told == "This object has no pixels."
    assert list(tmp_path.iterdir()) == []


def lying(folder: Path, **values) -> Path:
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(folder / "lying.dcm")
    return folder / "lying.dcm"


@pytest.mark.parametrize(
    "values", [{"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": "2147483647"}, {"BitsAllocated": 64}, {"Rows": 0}]
)
def test_a_header_that_lies_about_its_size_gets_a_sentence(values, tmp_path):
    told = render.render(lying(tmp_path, **values), tmp_path / "x.jpg", frame=MIDDLE)

    assert told.startswith("This image cannot be displayed")
    assert not (tmp_path / "x.jpg").exists()


def test_a_bomb_of_run_lengths_is_stopped_by_the_limits_of_the_child(tmp_path):
    """One byte claims 128: four gigabytes would come of it."""
    segment = b"\x81\0" * (8 << 20)
    rle = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13) + segment * 2
    ds = dcmread(get_testdata_file("MR_small_RLE.dcm"))
    ds.Rows = ds.Columns = 65534
    ds.PixelData = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(rle)) + rle
    ds.PixelData += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    ds["PixelData"].is_undefined_length = True
    ds.save_as(tmp_path / "bomb.dcm")
    started = time.monotonic()

    told = render.render(tmp_path / "bomb.dcm", tmp_path / "x.jpg")

    assert told.startswith("This image cannot be displayed")
    assert time.monotonic() - started < 30


def test_a_child_that_takes_too_long_is_ended(tmp_path):
    told = render.render(Path(get_testdata_file("CT_small.dcm")), tmp_path / "ct.jpg", timeout=0.01)

    assert told == "This image cannot be displayed: decoding it takes too long."
    assert list(tmp_path.iterdir()) == []


def test_a_cut_image_gets_a_sentence(tmp_path):
    (tmp_path / "cut.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes()[:-20000])

    told = render.render(tmp_path / "cut.dcm", tmp_path / "x.jpg")

    assert told.startswith("This image cannot be displayed")


@pytest.mark.skipif(not SHARED.exists(), reason="the shared test data are not there")
def test_a_decoder_that_crashes_takes_only_the_child_with_it(tmp_path):
    [path] = SHARED.rglob(CRASHER)

    told = render.render(path, tmp_path / "x.jpg")

    assert told == "This image cannot be displayed: its pixels are damaged, or need too much memory or time."
