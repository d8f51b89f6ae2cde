"""An archive that takes an object only in another transfer syntax gets the same object in that one, or is told of."""

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from reconciliation.dicom.plain import LOSSY
from tests.wire.test_scu import CT, MR, outgoing, peer, receiver, sent

PLAIN = ExplicitVRLittleEndian, ImplicitVRLittleEndian
BIG_ENDIAN, DEFLATED = (Path(get_testdata_file(name)) for name in ("ExplVR_BigEnd.dcm", "image_dfl.dcm"))
COMPRESSED = [
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "examples_jpeg2k.dcm",
    "JPEG2000.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
]


@pytest.fixture
def archive():
    """`archive(file, *syntaxes)`: what a receiver that takes only these gets of it, and what we are told."""

    def taken(file: Path, *syntaxes: UID):
        got = []

        def keep(event) -> int:
            ds = event.dataset
            ds.file_meta = event.file_meta
            got.append(ds)
            return 0x0000

        sop_class = outgoing(file).SOPClassUID
        with receiver(handle=keep, contexts=[(sop_class, syntax) for syntax in syntaxes]) as port:
            [outcome] = sent(peer(port, dimse_timeout=20), outgoing(file))
        return outcome, *got

    return taken


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_object_arrives_with_the_same_pixels(archive, name):
    file = Path(get_testdata_file(name))
    outcome, there = archive(file, ExplicitVRLittleEndian)
    ds = dcmread(file)

    assert outcome.accepted
    assert outcome.sentence.startswith("Sent as Explicit VR Little Endian: STORESCP does not take ")
    assert np.array_equal(there.pixel_array, ds.pixel_array)
    assert there.SOPInstanceUID == ds.SOPInstanceUID
    lossy = ds.file_meta.TransferSyntaxUID in LOSSY
    assert there.get("LossyImageCompression") == ("01" if lossy else ds.get("LossyImageCompression"))
    assert ("what was lost stays lost" in outcome.sentence) == lossy


@pytest.mark.parametrize("syntax", PLAIN, ids=["explicit", "implicit"])
@pytest.mark.parametrize("file", [CT, MR, BIG_ENDIAN, DEFLATED], ids=lambda file: file.name)
def test_an_uncompressed_object_arrives_in_the_syntax_that_is_taken(archive, file, syntax):
    outcome, there = archive(file, syntax)
    ds = dcmread(file)

    assert outcome.accepted
    assert there.file_meta.TransferSyntaxUID == syntax
    assert (outcome.sentence == "") == (syntax == ds.file_meta.TransferSyntaxUID)
    assert {element.tag for element in there} == {element.tag for element in ds if element.tag.element}
    assert all(there[element.tag].value == element.value for element in ds if element.VR in ("PN", "UI", "DS", "LO"))
    assert np.array_equal(there.pixel_array, ds.pixel_array)


def test_explicit_is_taken_before_implicit(archive):
    _, there = archive(Path(get_testdata_file("MR_small_RLE.dcm")), *reversed(PLAIN))

    assert there.file_meta.TransferSyntaxUID in PLAIN


def test_the_own_syntax_is_taken_before_any_other(archive):
    outcome, there = archive(MR, *PLAIN)

    assert there.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert outcome.sentence == ""


def test_pixels_that_nobody_can_decode_are_told_of_and_the_rest_goes(tmp_path):
    ds = dcmread(get_testdata_file("MR_small_RLE.dcm"))
    broken = tmp_path / "broken.dcm"
    ds["PixelData"].value = ds.PixelData[:24] + b"\xff" * 64 + ds.PixelData[88:]
    ds.save_as(broken)
    good = Path(get_testdata_file("MR_small_RLE.dcm"))
    with receiver(contexts=[(ds.SOPClassUID, ExplicitVRLittleEndian)]) as port:
        outcomes = sent(peer(port, dimse_timeout=20), outgoing(broken), outgoing(good))

    assert [(each.accepted, each.final) for each in outcomes] == [(False, True), (True, False)]
    assert "cannot be written without compression" in outcomes[0].sentence


def test_what_lossy_decoders_do_not_read_is_told_of(archive):
    outcome, *got = archive(Path(get_testdata_file("JPEG-lossy.dcm")), ExplicitVRLittleEndian)

    assert (outcome.final, got) == (True, [])
    assert "no decoder here can read it" in outcome.sentence


@pytest.fixture
def odd(tmp_path) -> Path:
    """An image of nine bytes, whose length is told as nine (PS3.5 7.1.1 forbids it, and some devices do it)."""
    ds = dcmread(CT)
    ds.Rows = ds.Columns = 3
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    del ds.DataSetTrailingPadding
    ds.PixelData = bytes(range(10))
    ds.save_as(tmp_path / "even.dcm")
    raw = (tmp_path / "even.dcm").read_bytes()
    header = struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", 10)
    assert raw.endswith(header + bytes(range(10)))
    (tmp_path / "odd.dcm").write_bytes(raw[:-14] + struct.pack("<I", 9) + bytes(range(9)))
    return tmp_path / "odd.dcm"


def test_an_object_of_odd_length_arrives_padded(storescp, orthanc, odd):
    [at_dcmtk] = sent(peer(storescp.port), outgoing(odd))
    [at_orthanc] = sent(peer(orthanc.dicom_port, ae_title=orthanc.ae_title), outgoing(odd))

    assert (at_dcmtk.accepted, at_orthanc.accepted) == (True, True)
    assert at_dcmtk.sentence == "Sent with the padding that it lacked."
    [there] = storescp.files()
    assert dcmread(there).PixelData == bytes(range(9)) + b"\0"
