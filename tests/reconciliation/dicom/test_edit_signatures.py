"""Digital signatures: never broken silently; taken out when the mapping says so, and kept as old values."""

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from reconciliation.dicom import edit
from reconciliation.dicom.edit import CannotWrite
from tests.reconciliation.dicom.edits import checked, ct, item, old_values, plan, saved, undone, values

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def signed(tag: int = 0x00100010, **also):
    mac = item(MACIDNumber=1, DataElementsSigned=[tag])
    return ct(MACParametersSequence=[mac], DigitalSignaturesSequence=[item(MACIDNumber=1, Signature=b"12")], **also)


def test_a_signature_over_a_changed_attribute_is_not_broken_silently(tmp_path):
    original = saved(signed(), tmp_path / "a.dcm")

    with pytest.raises(CannotWrite, match="digital signature over Patient's Name"):
        edit.make(original, plan())


def test_a_signature_over_what_stays_stays(tmp_path):
    original = saved(signed(0x00080018), tmp_path / "a.dcm")

    assert "DigitalSignaturesSequence" in checked(original, plan(), tmp_path)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_signatures_go_when_the_mapping_says_so_and_are_kept_as_old_values(syntax, tmp_path):
    ds = signed()
    original = saved(ds, tmp_path / "a.dcm", syntax)

    made_ds = checked(original, plan(signed=True), tmp_path)

    assert "DigitalSignaturesSequence" not in made_ds
    assert "MACParametersSequence" not in made_ds
    assert old_values(made_ds).DigitalSignaturesSequence == ds.DigitalSignaturesSequence
    assert made_ds.PixelData == ds.PixelData
    assert values(undone(made_ds)) == values(ds)


def test_without_a_signature_the_removal_changes_nothing(tmp_path):
    original = saved(ct(), tmp_path / "a.dcm")

    assert edit.make(original, plan(signed=True)) == edit.make(original, plan())


def test_a_signature_inside_a_part_that_changes_is_not_broken_silently_either(tmp_path):
    inner = item(ReferencedSOPInstanceUID="1.2.3", DigitalSignaturesSequence=[item(Signature=b"12")])
    ds = ct(ReferencedImageSequence=[inner])
    original, uids = saved(ds, tmp_path / "a.dcm"), {"1.2.3": "2.25.3"}
    with pytest.raises(CannotWrite, match="signature of its own"):
        edit.make(original, plan(), uids=uids)

    made_ds = checked(original, plan(signed=True), tmp_path, uids)

    assert "DigitalSignaturesSequence" not in made_ds.ReferencedImageSequence[0]
    assert old_values(made_ds).ReferencedImageSequence == ds.ReferencedImageSequence
