"""The header splice: what stays, what changes, and what is refused."""

import hashlib
import struct
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from orders.dicom.implementation import IMPLEMENTATION_CLASS_UID
from policies.rules.coercion import Action, Change
from reconciliation.dicom import edit, elements, outline
from reconciliation.dicom.edit import CannotWrite
from tests.reconciliation.dicom.edits import checked, ct, item, made, nested, old_values, only, plan, saved

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose


# --- bytes that stay ---


def test_everything_behind_the_last_change_is_copied(tmp_path):
    original = Path(get_testdata_file("CT_small.dcm"))
    whole = original.read_bytes()

    result = edit.make(original, plan())

    assert dcmread(original).PixelData in whole[result.tail_offset :]
    assert made(original, plan(), tmp_path).read_bytes() == result.head + whole[result.tail_offset :]
    assert result.size == len(result.head) + len(whole) - result.tail_offset


def test_private_elements_keep_their_bytes(tmp_path):
    original = Path(get_testdata_file("CT_small.dcm"))
    private = {element.tag: element.value for element in dcmread(original) if element.tag.is_private}

    ds = checked(original, plan(), tmp_path)

    assert {element.tag: element.value for element in ds if element.tag.is_private} == private
    assert len(private) > 100


def test_the_same_plan_makes_the_same_bytes(tmp_path):
    original = Path(get_testdata_file("JPEG2000.dcm"))

    first, second = made(original, plan(), tmp_path).read_bytes(), made(original, plan(), tmp_path).read_bytes()

    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


@pytest.mark.parametrize("size", [edit.BLOCK // 2, edit.BLOCK, 5 * edit.BLOCK + 2])
def test_a_tail_of_any_size_is_copied_in_blocks(size, tmp_path):
    pixels = bytes(range(256)) * (size // 256) + bytes(size % 256)
    original = saved(ct(PixelData=pixels), tmp_path / "a.dcm")

    result = edit.make(original, plan())

    whole = made(original, plan(), tmp_path).read_bytes()
    assert whole == result.head + original.read_bytes()[result.tail_offset :]
    assert (len(whole), pixels in whole) == (result.size, True)


def test_the_file_meta_information_is_ours_and_the_preamble_is_empty(tmp_path):
    original = saved(ct(), tmp_path / "a.dcm")
    original.write_bytes(b"II*\0" + bytes(124) + original.read_bytes()[128:])

    target = made(original, plan(), tmp_path)

    meta = dcmread(target).file_meta
    assert target.read_bytes()[:132] == bytes(128) + b"DICM"
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (
        IMPLEMENTATION_CLASS_UID,
        "IMGSHARE_1",
    )
    assert (meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID) == (ExplicitVRLittleEndian, ct().SOPInstanceUID)
    assert "SourceApplicationEntityTitle" not in meta


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_object_without_file_meta_gets_one(syntax, tmp_path):
    original = saved(ct(), tmp_path / "a.dcm", syntax)
    with outline.opened(original) as source:
        original.write_bytes(source.data[source.start :])

    ds = checked(original, plan(), tmp_path)

    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.file_meta.MediaStorageSOPClassUID == ct().SOPClassUID


def test_lengths_of_groups_that_change_are_dropped_and_others_stay(tmp_path):
    original = saved(ct(), tmp_path / "a.dcm", ImplicitVRLittleEndian)
    whole = original.read_bytes()
    for group in (0x0010, 0x0028):
        first = whole.index(struct.pack("<HH", group, 0x0010 if group == 0x0010 else 0x0002))
        whole = whole[:first] + struct.pack("<HHII", group, 0, 4, 99) + whole[first:]
    original.write_bytes(whole)

    checked(original, only("PatientID"), tmp_path)

    with outline.opened(tmp_path / "made.dcm") as source:
        assert [element.tag for element in source.elements if not element.tag & 0xFFFF] == [0x00280000]


# --- structures ---


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_sequences_of_undefined_length_are_followed(syntax, tmp_path):
    original = saved(nested(), tmp_path / "a.dcm", syntax)

    ds = checked(original, plan(), tmp_path)

    assert ds.RequestAttributesSequence[0].RequestedProcedureID == "RP1"
    assert old_values(ds).RequestAttributesSequence == dcmread(original).RequestAttributesSequence
    assert ds.IconImageSequence[0].PixelData == b"\1\2"


def test_an_unknown_sequence_of_undefined_length_is_followed_in_implicit_vr(tmp_path):
    original = saved(ct(), tmp_path / "a.dcm")
    unknown = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0xFFFFFFFF)
    unknown += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHI", 0x10, 0x20, 4) + b"KEPT"
    unknown += struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    with outline.opened(original) as source:
        place = next(element.start for element in source.elements if element.tag > 0x00091001)
        original.write_bytes(source.data[:place] + unknown + source.data[place:])

    checked(original, plan(), tmp_path)

    assert unknown in (tmp_path / "made.dcm").read_bytes()


def test_a_deflated_object_is_deflated_again(tmp_path):
    original = saved(ct(), tmp_path / "a.dcm", DeflatedExplicitVRLittleEndian)

    ds = checked(original, plan(), tmp_path)

    assert ds.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert (ds.PatientID, ds.PixelData) == ("MRN0042", ct().PixelData)
    assert edit.make(original, plan()).tail_offset == original.stat().st_size


def test_a_deflate_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(outline, "INFLATED_MAXIMUM", 1 << 20)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(2 << 20)) + deflater.flush()
    original = tmp_path / "a.dcm"
    original.write_bytes(elements.file_head(b"1.2", b"1.2.3", DeflatedExplicitVRLittleEndian.encode()) + bomb)

    with pytest.raises(CannotWrite, match="more than 1 MiB"):
        edit.make(original, plan())


@pytest.mark.parametrize("lost", [1, 100, 5000, 39000])
def test_a_cut_object_is_never_sent(lost, tmp_path):
    whole = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    original = tmp_path / "a.dcm"
    original.write_bytes(whole[:-lost])

    with pytest.raises(CannotWrite, match="ask the sender"):
        edit.make(original, plan())


def test_a_patient_id_behind_the_pixel_data_does_not_slip_through(tmp_path):
    original = saved(ct(), tmp_path / "a.dcm")
    original.write_bytes(original.read_bytes() + struct.pack("<HH2sH", 0x10, 0x20, b"LO", 4) + b"LATE")

    with pytest.raises(CannotWrite, match="Patient ID behind its pixel data"):
        edit.make(original, plan())


# --- Original Attributes ---


def test_original_attributes_hold_the_true_old_values_of_this_object(tmp_path):
    original = saved(ct(PatientName="Andere^Person", AccessionNumber="", PatientID="OTHER"), tmp_path / "a.dcm")

    old = old_values(checked(original, plan(), tmp_path))

    assert (old.PatientName, old.PatientID) == ("Andere^Person", "OTHER")
    assert old["AccessionNumber"].is_empty
    assert old["IssuerOfPatientID"].is_empty
    assert "InstanceOriginStatus" not in old
    assert "ContributingEquipmentSequence" not in old
    assert "StudyInstanceUID" not in old


def test_what_does_not_differ_is_neither_rewritten_nor_listed(tmp_path):
    original = saved(ct(PatientSex="F", PatientName="Muster^Maria"), tmp_path / "a.dcm")

    old = old_values(checked(original, plan(), tmp_path))

    assert "PatientSex" not in old
    assert "PatientName" not in old


def test_a_patient_id_is_listed_with_its_issuer_also_where_that_stays(tmp_path):
    original = saved(ct(IssuerOfPatientID="HOSP"), tmp_path / "a.dcm")

    old = old_values(checked(original, only("PatientID", "IssuerOfPatientID"), tmp_path))

    assert (old.PatientID, old.IssuerOfPatientID) == ("1CT1", "HOSP")


def test_earlier_original_attributes_stay_first(tmp_path):
    earlier = item(ModifiedAttributesSequence=[item(PatientID="FIRST")], ModifyingSystem="ELSEWHERE")
    original = saved(ct(OriginalAttributesSequence=[earlier]), tmp_path / "a.dcm", ImplicitVRLittleEndian)

    ds = checked(original, plan(), tmp_path)

    assert ds.OriginalAttributesSequence[0] == earlier
    assert [each.ModifyingSystem for each in ds.OriginalAttributesSequence] == ["ELSEWHERE", "IMGSHARE"]


def test_an_earlier_origin_status_is_listed_when_it_is_overwritten(tmp_path):
    original = saved(ct(InstanceOriginStatus="LOCAL"), tmp_path / "a.dcm")

    ds = checked(original, plan(), tmp_path)

    assert (ds.InstanceOriginStatus, old_values(ds).InstanceOriginStatus) == ("IMPORTED", "LOCAL")


def test_a_plan_that_would_lose_old_values_is_refused():
    changes = [change for change in plan() if change.path == "PatientID"]

    with pytest.raises(CannotWrite, match="Original Attributes"):
        edit.make(Path(get_testdata_file("CT_small.dcm")), changes)


def test_an_identifier_that_is_there_is_not_appended_twice(tmp_path):
    there = [item(PatientID="X9", IssuerOfPatientID="CITY", TypeOfPatientID="TEXT"), item(PatientID="OLD1")]
    original = saved(ct(OtherPatientIDsSequence=there), tmp_path / "a.dcm")

    ds = checked(original, plan(), tmp_path)

    listed = [(each.PatientID, each.get("IssuerOfPatientID")) for each in ds.OtherPatientIDsSequence]
    assert listed == [("X9", "CITY"), ("OLD1", None), ("OLD1", "ELSEWHERE")]
    assert list(old_values(ds).OtherPatientIDsSequence) == there


def test_contributing_equipment_is_appended(tmp_path):
    original = saved(ct(ContributingEquipmentSequence=[item(Manufacturer="Theirs")]), tmp_path / "a.dcm")

    ds = checked(original, plan(), tmp_path)

    assert [each.Manufacturer for each in ds.ContributingEquipmentSequence] == ["Theirs", "Maker"]


# --- refusals ---


@pytest.mark.parametrize(
    ("path", "new"),
    [("Nonsense", "1"), ("Rows", "1"), ("SpecificCharacterSet", "ISO_IR 192"), ("AccessionNumber", "1" * 17)],
)
def test_what_dicom_does_not_allow_is_refused(path, new):
    change = Change(path, Action.SET, [], new, "a rule", "order")

    with pytest.raises(CannotWrite):
        edit.make(Path(get_testdata_file("CT_small.dcm")), [change, *only()])


def test_a_refusal_leaves_no_file(tmp_path):
    with pytest.raises(CannotWrite):
        made(Path(get_testdata_file("MR_truncated.dcm")), plan(), tmp_path)

    assert list(tmp_path.iterdir()) == []
