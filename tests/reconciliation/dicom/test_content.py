import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from reconciliation.dicom import content
from reconciliation.dicom.content import Comparer, NotComparable, difference
from tests import hostile

CT, RGB, EMRI = "CT_small.dcm", "examples_rgb_color.dcm", "emri_small.dcm"
REAL = Path(__file__).parents[4] / "shared" / "data" / "dicom" / "pydicom-data"
MB = 1 << 20


def real(name: str) -> Path:
    if not (REAL / name).exists():
        pytest.skip("the real objects are not here")
    return REAL / name


def ours(name: str) -> Path:
    return Path(get_testdata_file(name))


def by_dcmtk(original: Path, folder: Path, *command: str) -> Path:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    made = folder / "made.dcm"
    subprocess.run([*command, str(original), str(made)], check=True, capture_output=True)
    return made


def saved(ds: Dataset, folder: Path, name: str = "other.dcm") -> Path:
    ds.save_as(folder / name, enforce_file_format=True)
    return folder / name


def altered(original: Path, folder: Path, **keywords) -> Path:
    ds = dcmread(original)
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
    return saved(ds, folder, "altered.dcm")


CONVERSIONS = [("dcmconv", "+te"), ("dcmconv", "+ti"), ("dcmconv", "+tb"), ("dcmconv", "+td"), ("dcmconv", "+te", "-e")]
COMPRESSIONS = [("dcmcrle",), ("dcmcjpls",), ("dcmcjpeg", "+e1"), ("dcmcjpeg", "+el")]


@pytest.mark.parametrize("command", CONVERSIONS + COMPRESSIONS, ids=" ".join)
@pytest.mark.parametrize("name", [CT, RGB, "MR_small.dcm", "examples_palette.dcm"])
def test_an_image_in_another_transfer_syntax_has_the_same_content(tmp_path, name, command):
    assert difference(ours(name), by_dcmtk(ours(name), tmp_path, *command)) == ""


@pytest.mark.parametrize("command", CONVERSIONS, ids=" ".join)
@pytest.mark.parametrize("name", ["rtplan.dcm", "rtdose.dcm", "reportsi.dcm", "waveform_ecg.dcm", "liver_1frame.dcm"])
def test_what_is_no_common_image_is_compared_too(tmp_path, name, command):
    assert difference(ours(name), by_dcmtk(ours(name), tmp_path, *command)) == ""


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("name", [CT, RGB])
def test_codecs_of_others_are_understood(tmp_path, name, syntax):
    ds = dcmread(ours(name))
    ds.compress(syntax, generate_instance_uid=False)

    assert difference(ours(name), saved(ds, tmp_path)) == ""


@pytest.mark.parametrize("form", ["RLE", "big_endian", "jpeg_2k_lossless", "jpeg_ls_lossless"])
def test_real_objects_of_many_frames_are_the_same_in_every_form(form):
    assert difference(real(EMRI), real(f"emri_small_{form}.dcm")) == ""


def test_two_compressed_forms_are_compared_by_what_they_decode_to(tmp_path):
    rle, jpeg = (by_dcmtk(ours(CT), folder, *command) for folder, command in _two(tmp_path))

    assert difference(rle, jpeg) == ""


def _two(folder: Path):
    for name, command in (("a", ("dcmcrle",)), ("b", ("dcmcjpls",))):
        (folder / name).mkdir()
        yield folder / name, command


def test_colours_that_a_reversible_codec_turned_are_the_same_colours(tmp_path):
    ds = dcmread(ours(RGB))
    ds.PlanarConfiguration = 0
    original = saved(ds, tmp_path, "rgb.dcm")
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.PhotometricInterpretation = "YBR_RCT"

    assert difference(original, saved(ds, tmp_path)) == ""


def test_unused_bits_may_hold_the_sign_or_nothing(tmp_path):
    ds = dcmread(ours("MR_small.dcm"))
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 1
    pixels = np.arange(-2048, 2048, dtype="<i2")
    ds.Rows, ds.Columns, ds.PixelData = 64, 64, pixels.tobytes()
    signed = saved(ds, tmp_path, "signed.dcm")
    ds.PixelData = (pixels & 0x0FFF).tobytes()
    ds.compress(RLELossless, generate_instance_uid=False)

    assert difference(signed, saved(ds, tmp_path)) == ""


@pytest.mark.parametrize("command", [("dcmcrle",), ("dcmconv", "+tb")], ids=" ".join)
def test_one_pixel_makes_another_content(tmp_path, command):
    pixels = dcmread(ours(CT)).PixelData
    other = altered(ours(CT), tmp_path, PixelData=pixels[:-2] + b"\x11\x11")

    assert difference(ours(CT), by_dcmtk(other, tmp_path, *command)) == "They differ in Pixel Data."


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"SeriesDescription": "Altered"}, "They differ in Series Description."),
        ({"RescaleSlope": "2"}, "They differ in Rescale Slope."),
        ({"LossyImageCompression": "01"}, "They differ in Lossy Image Compression."),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "They differ in Photometric Interpretation."),
        ({"PatientID": ""}, "They differ in Patient ID."),
    ],
)
def test_one_element_makes_another_content_and_is_named(tmp_path, keywords, told):
    assert difference(ours(CT), by_dcmtk(altered(ours(CT), tmp_path, **keywords), tmp_path, "dcmcrle")) == told


def test_an_element_deep_in_a_sequence_counts(tmp_path):
    ds = dcmread(ours("rtplan.dcm"))
    ds.BeamSequence[0].ControlPointSequence[0].NominalBeamEnergy = "7"

    told = difference(ours("rtplan.dcm"), by_dcmtk(saved(ds, tmp_path), tmp_path, "dcmconv", "+te"))
    assert told == "They differ in Beam Sequence."


def test_what_was_compressed_with_loss_is_not_what_is_decoded_from_it(tmp_path):
    ds = dcmread(ours("JPEGLSNearLossless_08.dcm"))
    ds.decompress(generate_instance_uid=False)
    with pytest.raises(NotComparable, match="with loss"):
        difference(saved(ds, tmp_path), ours("JPEGLSNearLossless_08.dcm"))


def test_the_same_lossy_code_stream_in_other_fragments_is_the_same(tmp_path):
    ds = dcmread(ours("JPEGLSNearLossless_08.dcm"))
    stream = next(generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([stream], fragments_per_frame=3, has_bot=False)

    assert difference(ours("JPEGLSNearLossless_08.dcm"), saved(ds, tmp_path)) == ""


# --- the child -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def comparer():
    one = Comparer()
    yield one
    one.close()


def test_the_child_says_what_this_process_would_say(comparer, tmp_path):
    same = by_dcmtk(ours(CT), tmp_path, "dcmcrle")
    other = altered(ours(CT), tmp_path, SeriesDescription="Altered")

    assert [comparer.differs(ours(CT), each) for each in (same, other)] == ["", difference(ours(CT), other)]


@pytest.mark.parametrize("name", hostile.OBJECTS)
def test_a_hostile_object_is_never_taken_for_the_same_and_its_comparer_lives_or_is_replaced(comparer, tmp_path, name):
    path, start = tmp_path / "hostile", time.monotonic()
    path.write_bytes(hostile.OBJECTS[name][0]())

    assert comparer.differs(ours(CT), path) != ""
    assert time.monotonic() - start < 50
    assert comparer.differs(ours(CT), ours(CT)) == ""


def test_a_bomb_of_run_lengths_is_not_compared(comparer, tmp_path):
    ds = dcmread(ours(CT))
    ds.Rows = ds.Columns = 65535
    ds.file_meta.TransferSyntaxUID = RLELossless
    bombs = []
    for name, value in (("zeros", b"\0"), ("ones", b"\1")):
        segments = (2).to_bytes(4, "little") + (64).to_bytes(4, "little") * 2 + bytes(52)
        ds.PixelData = encapsulate([segments + (b"\x81" + value) * 3_000_000])
        bombs.append(saved(ds, tmp_path, name))

    assert comparer.differs(*bombs).startswith("They could not be compared")
    assert comparer.memory() < content.MEMORY + 100 * MB


@pytest.mark.parametrize("limits", [{"processor": 0.05}, {"patience": -100}])
def test_a_pair_that_takes_too_long_stays_apart(tmp_path, limits):
    original = large(tmp_path, frames=50)
    impatient = Comparer(**limits)

    assert impatient.differs(original, by_dcmtk(original, tmp_path, "dcmcrle")) == content.TOO_SLOW
    impatient.close()


def test_memory_stays_flat_whatever_the_size_of_the_objects(comparer, tmp_path):
    comparer.differs(ours(CT), ours(CT))
    before, original = comparer.memory(), large(tmp_path, frames=100)
    rle = by_dcmtk(original, tmp_path, "dcmcrle")

    assert comparer.differs(original, rle) == ""
    mapped = original.stat().st_size + rle.stat().st_size  # pages that the kernel may take back at any time
    assert comparer.memory() - before < mapped + 64 * MB


def large(folder: Path, *, frames: int) -> Path:
    """Frames of 2 MB."""
    ds = dcmread(ours(CT))
    ds.Rows, ds.Columns, ds.NumberOfFrames = 1024, 1024, frames
    ds.PixelData = bytes(range(256)) * (1024 * 8 * frames)
    return saved(ds, folder, "large.dcm")
