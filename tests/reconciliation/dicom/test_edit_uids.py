"""Other UIDs: at all depths, and references between objects hold."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from reconciliation.dicom import edit, reread
from reconciliation.dicom.edit import CannotWrite
from tests.reconciliation.dicom.edits import (
    checked,
    ct,
    item,
    nested,
    old_values,
    plan,
    saved,
    undefined,
    undone,
    values,
    whole,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def uids_in(ds: Dataset) -> set[str]:
    """Every UID at every depth, but those that the standard gives, and those that tell of earlier values."""
    found = set()
    for element in ds:
        if element.VR == "SQ" and element.keyword != "OriginalAttributesSequence":
            found |= {uid for each in element.value for uid in uids_in(each)}
        if element.VR == "UI" and not element.is_empty:
            found |= {*map(str, element.value if element.VM > 1 else [element.value])}
    return {uid for uid in found if not uid.startswith("1.2.840.10008.")}


def others(uids: set[str]) -> dict[str, str]:
    return {uid: f"2.25.{number}" for number, uid in enumerate(sorted(uids), 1000)}


def referring() -> Dataset:
    """References before and behind the pixels, several values, deep ones, in a private sequence."""
    ds = undefined(nested(FrameOfReferenceUID="1.2.3.4"))
    image = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID="1.2.3.5")
    ds.ReferencedSeriesSequence = [item(SeriesInstanceUID=ds.SeriesInstanceUID, ReferencedImageSequence=[image])]
    ds.ReferencedPatientPhotoSequence = [item(ReferencedSOPSequence=[image, image])]
    ds.DigitalSignatureUID = "1.2.3.6"
    ds.private_block(0x0043, "OURS").add_new(3, "SQ", [item(StudyInstanceUID=ds.StudyInstanceUID)])
    ds.add_new(0x7FE10010, "LO", "BEHIND")
    ds.add_new(0x7FE11001, "SQ", [item(ReferencedSOPInstanceUID="1.2.3.5")])
    ds.FailedSOPInstanceUIDList = ["1.2.3.5", ds.StudyInstanceUID, "9.9"]
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_uid_is_another_one_wherever_it_stands(syntax, tmp_path):
    original = saved(referring(), tmp_path / "a.dcm", syntax)
    before = dcmread(original)
    uids = others(uids_in(before) - {"9.9"})

    ds = checked(original, plan(), tmp_path, uids)

    assert uids_in(ds) - {"1.2.3"} == {*uids.values(), "9.9"}  # 1.2.3 is of the local order
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == uids[before.SOPInstanceUID]
    assert ds.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID == uids["1.2.3.5"]
    assert ds.FailedSOPInstanceUIDList == [uids["1.2.3.5"], ds.StudyInstanceUID, "9.9"]
    assert (ds.SOPClassUID, ds.PixelData) == (before.SOPClassUID, before.PixelData)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_old_uids_are_kept_with_their_whole_outer_sequences(syntax, tmp_path):
    original = saved(referring(), tmp_path / "a.dcm", syntax)
    before = dcmread(original)

    ds = checked(original, plan(), tmp_path, others(uids_in(before)))

    old = old_values(ds)
    assert (old.StudyInstanceUID, old.SOPInstanceUID) == (before.StudyInstanceUID, before.SOPInstanceUID)
    assert old.ReferencedSeriesSequence == before.ReferencedSeriesSequence
    assert values(undone(ds)) == values(before)


def test_a_large_object_with_a_reference_behind_its_pixels_keeps_them_out_of_memory(tmp_path):
    ds = referring()
    ds.PixelData = bytes(1 << 20)
    original = saved(ds, tmp_path / "a.dcm")
    uids = others(uids_in(dcmread(original)))

    result = edit.make(original, plan(), uids=uids)

    assert len(result.head) + len(result.foot) < 50_000
    assert uids["1.2.3.5"].encode() in result.foot
    assert len(whole(original, result)) == result.size


def test_the_same_text_in_another_character_set_and_other_uids_go_together(tmp_path):
    ds = referring()
    ds.SpecificCharacterSet, ds.StudyDescription = "ISO_IR 100", "Schädel"
    ds.ReferencedSeriesSequence[0].StudyDescription = "Füße"
    original = saved(ds, tmp_path / "a.dcm")

    made_ds = checked(original, plan("Łukasz^Świątek"), tmp_path, others(uids_in(dcmread(original))))

    assert (made_ds.StudyDescription, made_ds.ReferencedSeriesSequence[0].StudyDescription) == ("Schädel", "Füße")
    assert made_ds.StudyInstanceUID.startswith("2.25.")


def test_earlier_original_attributes_keep_the_uids_of_their_time(tmp_path):
    earlier = item(ModifiedAttributesSequence=[item(StudyInstanceUID=ct().StudyInstanceUID)], ModifyingSystem="THERE")
    original = saved(ct(OriginalAttributesSequence=[earlier]), tmp_path / "a.dcm")

    ds = checked(original, plan(), tmp_path, others(uids_in(ct())))

    assert ds.OriginalAttributesSequence[0] == earlier


@pytest.mark.parametrize(("old", "new"), [(CTImageStorage, "2.25.1"), ("1.2.3.4", CTImageStorage), ("1.2.3.4", "1.02")])
def test_uids_of_the_standard_are_never_given_nor_taken(old, new, tmp_path):
    original = saved(ct(FrameOfReferenceUID="1.2.3.4"), tmp_path / "a.dcm")

    with pytest.raises(CannotWrite, match="A UID"):
        edit.make(original, plan(), uids={old: new})


def test_a_uid_that_did_not_change_or_changed_unasked_is_seen():
    original = Path(get_testdata_file("CT_small.dcm"))
    uids = {str(ct().StudyInstanceUID): "2.25.7"}

    assert reread.differences_in_head(original, edit.make(original, plan()), plan(), uids=uids)
    assert reread.differences_in_head(original, edit.make(original, plan(), uids=uids), plan())
