import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from policies.rules.coercion import ATTRIBUTES
from reconciliation.dicom import header
from reconciliation.dicom.header import Directory, NotDicom, Unreadable

INSIDE_PYDICOM = Path(pydicom.__file__).parent / "data" / "test_files"
SHARED = Path(__file__).parents[4] / "shared" / "data"
CT = get_testdata_file("CT_small.dcm")
TEXTS = ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "Modality", "InstanceNumber", "Manufacturer")
ITEM, UNDEFINED = struct.pack("<HH", 0xFFFE, 0xE000), b"\xff\xff\xff\xff"


def ct(**elements) -> Dataset:
    ds = dcmread(CT)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def saved(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian)
    return path


def cut(data: bytes, path: Path, size: int) -> Path:
    path.write_bytes(data[:size])
    return path


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "MR_small_RLE.dcm"]
)
def test_every_transfer_syntax_reads_as_pydicom_reads_it(name):
    path = get_testdata_file(name)
    ds = dcmread(path)

    found = header.read(path)

    assert {k: getattr(found, k) for k in TEXTS} == {k: str(ds.get(k, "") or "") for k in TEXTS}
    assert (found.Rows, found.Columns, found.NumberOfFrames) == (ds.Rows, ds.Columns, 1)
    assert found.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID
    assert found.size == Path(path).stat().st_size


def test_the_data_set_begins_right_after_the_file_meta():
    found = header.read(CT)

    with open(CT, "rb") as file:
        pydicom.filereader.read_partial(file, lambda tag, vr, length: True)
        file.seek(132)
        pydicom.filereader._read_file_meta_info(file)
        assert found.dataset_offset == file.tell()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "image_dfl.dcm", "test-SR.dcm", "MR_small_bigendian.dcm"],
)
def test_a_cut_file_is_never_whole(name, share, tmp_path):
    data = Path(get_testdata_file(name)).read_bytes()

    with pytest.raises(Unreadable, match=r"cut off|cannot be filed"):  # the latter: cut between two early elements
        header.read(cut(data, tmp_path / "cut", int(len(data) * share)))


def test_an_image_that_ends_before_its_pixels_is_pointed_out(tmp_path):
    ds = ct()
    del ds.PixelData, ds[0xFFFCFFFC]

    found = header.read(saved(ds, tmp_path / "cut"))

    assert found.NumberOfFrames == 0
    assert "The object describes an image and holds no pixels; it may be cut off." in found.problems


def test_no_single_missing_byte_goes_unnoticed(tmp_path):
    ds = ct()
    del ds[0xFFFCFFFC]  # trailing padding: what lies in it nobody misses
    data = saved(ds, tmp_path / "whole").read_bytes()

    for missing in (1, 2, 3, 7, 8, 9, 100, 1000):
        with pytest.raises(Unreadable, match="cut off"):
            header.read(cut(data, tmp_path / "cut", len(data) - missing))


def test_too_few_native_pixels_are_a_cut_image(tmp_path):
    ds = ct(NumberOfFrames=2)

    with pytest.raises(Unreadable, match=r"pixels have 32768 bytes and its header promises 65536"):
        header.read(saved(ds, tmp_path / "short"))


def test_padding_after_the_pixels_is_fine(tmp_path):
    ds = ct()
    ds.PixelData += b"\0\0"
    path = saved(ds, tmp_path / "long")
    with path.open("ab") as file:
        file.write(bytes(300))

    assert header.read(path).problems == ("The file has empty bytes after its last element.",)


def test_an_object_that_ends_in_a_short_element_has_nothing_behind_it(tmp_path):
    ds = ct()
    del ds.Rows, ds.Columns, ds.PixelData, ds[0xFFFCFFFC]
    ds.add_new(0x00410010, "LO", "ours")
    ds.add_new(0x00411001, "LO", "the last")

    assert header.read(saved(ds, tmp_path / "short")).problems == ()


def test_encapsulated_pixels_must_have_their_last_delimiter(tmp_path):
    data = Path(get_testdata_file("MR_small_RLE.dcm")).read_bytes()
    end = data.rindex(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))

    with pytest.raises(Unreadable, match="Pixel Data"):
        header.read(cut(data, tmp_path / "cut", end))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_an_object_without_its_identity_cannot_be_filed(keyword, how, tmp_path):
    ds = ct()
    setattr(ds, keyword, "")
    if how == "absent":
        delattr(ds, keyword)
    ds.save_as(tmp_path / "nameless", enforce_file_format=False)

    with pytest.raises(Unreadable, match="cannot be filed"):
        header.read(tmp_path / "nameless")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"%PDF-1.4\n", "a PDF document"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"hello", "not a DICOM"),
    ],
)
def test_what_is_not_dicom_is_called_what_it_is(content, sentence, tmp_path):
    (tmp_path / "thing").write_bytes(content)

    with pytest.raises(Unreadable, match=sentence):
        header.read(tmp_path / "thing")


def test_a_dicomdir_is_told_from_an_object():
    with pytest.raises(Directory, match="DICOMDIR"):
        header.read(INSIDE_PYDICOM / "dicomdirtests" / "DICOMDIR")


def test_text_that_is_no_dicom_is_not_dicom(tmp_path):
    (tmp_path / "README.TXT").write_text("This disc was made by the hospital.\n" * 10)

    with pytest.raises(NotDicom):
        header.read(tmp_path / "README.TXT")


def test_a_file_without_preamble_or_meta_is_read_and_said(tmp_path):
    data = Path(CT).read_bytes()[header.read(CT).dataset_offset :]

    found = header.read(cut(data, tmp_path / "bare", len(data)))

    assert found.PatientID == "1CT1"
    assert found.dataset_offset == 0
    assert found.TransferSyntaxUID == ExplicitVRLittleEndian
    assert len(found.problems) == 2


def test_bytes_are_believed_before_a_wrong_transfer_syntax(tmp_path):
    data = Path(CT).read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)

    found = header.read(cut(data, tmp_path / "mislabelled", len(data)))

    assert found.PatientName == "CompressedSamples^CT1"
    assert found.problems == ("The object is not written in the transfer syntax that the file names.",)


@pytest.mark.parametrize(
    ("charset", "raw", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg".encode("latin_1"), "Müller^Jörg"),
        ("ISO_IR 192", "Müller^Jörg=王^小东".encode(), "Müller^Jörg=王^小东"),
        ("iso-ir-144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            "Yamada^Tarou=山田^太郎",
        ),
    ],
)
def test_names_are_decoded_by_their_character_set(charset, raw, name, tmp_path):
    path = with_name(tmp_path, charset, raw)

    assert header.read(path).PatientName == name
    assert header.attributes(path, ("PatientName",)) == {"PatientName": name}


@pytest.mark.parametrize(
    ("charset", "raw", "name", "problem"),
    [
        ("", "Müller".encode("latin_1"), "Müller", "does not say its character set"),
        ("", "Müller".encode(), "Müller", "does not say its character set"),
        ("ISO_IR 192", "Müller".encode("latin_1"), "Müller", "do not fit the character set"),
        ("ISO_IR 100", "Müller".encode(), "MÃ¼ller", "looks like UTF-8"),
        ("KLINGON", "Müller".encode("latin_1"), "Müller", "is not known"),
    ],
)
def test_letters_that_may_be_wrong_are_shown_and_said(charset, raw, name, problem, tmp_path):
    found = header.read(with_name(tmp_path, charset, raw))

    assert found.PatientName == name
    assert problem in " ".join(found.problems)


def with_name(folder: Path, charset: str, raw: bytes) -> Path:
    """A file that holds these very bytes as its Patient's Name."""
    raw += b" " * (len(raw) % 2)
    ds = ct(PatientName="@" * len(raw))
    ds.add_new("SpecificCharacterSet", "CS", "?" * len(charset))
    data = saved(ds, folder / "named").read_bytes()
    data = data.replace(b"@" * len(raw), raw).replace(b"?" * len(charset), charset.encode(), bool(charset))
    (folder / "raw").write_bytes(data)
    return folder / "raw"


def test_an_invalid_uid_is_a_problem_and_not_the_end(tmp_path):
    data = Path(CT).read_bytes().replace(b"1.3.6.1.4.1.5962.1.2.1.2004", b"1.3.6.1.4.1.05962.1.2.1.200")

    found = header.read(cut(data, tmp_path / "odd", len(data)))

    assert "The Study Instance UID breaks the rules for UIDs; an archive may refuse it." in found.problems


def test_a_program_in_the_preamble_is_pointed_out(tmp_path):
    data = Path(CT).read_bytes()
    (tmp_path / "polyglot").write_bytes(b"MZ" + data[2:])

    assert "look like a Windows program" in header.read(tmp_path / "polyglot").problems[0]


def test_a_sequence_comes_as_items_by_keyword(tmp_path):
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID, item.TypeOfPatientID = "F1", "Foreign", "TEXT"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "CT\\head"
    nested = Dataset()
    nested.PurposeOfReferenceCodeSequence = [code]
    ds = ct(OtherPatientIDsSequence=[item], ReferencedStudySequence=[nested], AccessionNumber="", EthnicGroup="x")
    ds.OtherPatientNames = ["A^B", "C^D"]

    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        found = header.attributes(saved(ds, tmp_path / syntax, syntax), KEYWORDS)
        assert found == {
            "OtherPatientIDsSequence": [{"PatientID": "F1", "IssuerOfPatientID": "Foreign", "TypeOfPatientID": "TEXT"}],
            "ReferencedStudySequence": [{"PurposeOfReferenceCodeSequence": [CODE]}],
            "AccessionNumber": "",
            "OtherPatientNames": ["A^B", "C^D"],
            "Rows": "128",
        }


KEYWORDS = (
    "OtherPatientIDsSequence",
    "ReferencedStudySequence",
    "AccessionNumber",
    "OtherPatientNames",
    "AdmissionID",
    "Rows",
    "PixelData",
)
CODE = {"CodeValue": "1", "CodingSchemeDesignator": "99X", "CodeMeaning": ["CT", "head"]}


def test_a_sequence_hidden_in_un_is_read(tmp_path):
    data = (INSIDE_PYDICOM / "UN_sequence.dcm").read_bytes()
    (tmp_path / "un").write_bytes(data.replace(b"\x53\x44\x0c\x10UN", b"\x08\0\x10\x11UN", 1))

    [item] = header.attributes(tmp_path / "un", ("ReferencedStudySequence",))["ReferencedStudySequence"]

    assert item["StudyInstanceUID"].startswith("1.")
    assert "ReferencedSOPSequence" in item["ReferencedSeriesSequence"][0]


def element(tag: int, vr: bytes, value: bytes, length: bytes | None = None) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, 0) + (length or struct.pack("<I", len(value))) + value


def dicom(path: Path, body: bytes, syntax: str = ExplicitVRLittleEndian) -> Path:
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax) + len(syntax) % 2) + syntax.encode()
    path.write_bytes(bytes(128) + b"DICM" + meta + bytes(len(syntax) % 2) + body)
    return path


BOMBS = {
    "nested": (element(0x00081110, b"SQ", b"", UNDEFINED) + ITEM + UNDEFINED) * 20_000,
    "crowded": element(0x00081110, b"SQ", (ITEM + bytes(4)) * 2_100_000, UNDEFINED),
    "endless": element(0x00081110, b"SQ", ITEM + UNDEFINED, UNDEFINED),
    "boastful": element(0x00081110, b"UN", b"x", b"\xfe\xff\xff\xff"),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_hostile_structure_ends_in_a_sentence(bomb, tmp_path):
    path = dicom(tmp_path / "bomb", bomb)

    for reading in (header.read, lambda path: header.attributes(path, ATTRIBUTES)):
        with pytest.raises(Unreadable, match=r"deeply|too many parts|cut off"):
            reading(path)


def test_a_deflated_bomb_is_not_unpacked(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(200 << 20)) + packer.flush()

    with pytest.raises(Unreadable, match="fill the memory"):
        header.read(dicom(tmp_path / "bomb", bomb, DeflatedExplicitVRLittleEndian))


SEEDS = [path.read_bytes() for path in sorted(INSIDE_PYDICOM.glob("*.dcm")) if path.stat().st_size < 20_000]


@settings(max_examples=300, deadline=2000)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([b"\0", b"\xff", b"\xfe\xff", b"SQ", b""]), st.integers(0, 9))),
)
def test_broken_bytes_give_a_header_or_a_sentence_and_nothing_else(tmp_path_factory, seed, wounds):
    path = tmp_path_factory.getbasetemp() / "wounded.dcm"
    for where, what, gone in wounds:
        at = int(where**3 * len(seed))
        seed = seed[:at] + what + seed[at + gone :]
    path.write_bytes(seed)

    for reading in (header.read, lambda path: header.attributes(path, ATTRIBUTES)):
        assert outcome(reading, path).endswith((".", "read"))


def outcome(reading, path: Path) -> str:
    try:
        reading(path)
    except Unreadable as why:
        return str(why)
    return "read"


def everything() -> list[Path]:
    roots = [INSIDE_PYDICOM, SHARED / "dicom", SHARED / "media"]
    return [path for root in roots for path in sorted(root.rglob("*")) if path.is_file()]


def test_every_real_file_reads_as_pydicom_reads_it_or_says_why_not():
    read = 0
    for path in everything():
        if (why := outcome(header.read, path)) != "read":
            assert len(why.split()) > 3, path
            continue
        found = header.read(path)
        ds = dcmread(path, stop_before_pixels=True, force=True)
        assert found.StudyInstanceUID == str(ds.StudyInstanceUID).strip("\0 "), path
        assert found.PatientID == str(ds.get("PatientID") or "").strip(), path
        assert header.attributes(path, ("StudyDate",)).keys() == {"StudyDate"} & set(ds.dir()), path
        read += 1

    assert read > 150
