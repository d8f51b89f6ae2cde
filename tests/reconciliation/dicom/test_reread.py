import pytest
from tests.reconciliation.dicom.edits import *

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # pydicom's, of defects that the test files have on purpose

# --- the second look ---


def tampered(tmp_path: Path, change) -> list[str]:
    original = Path(get_testdata_file("CT_small.dcm"))
    target = made(original, plan(), tmp_path)
    ds = dcmread(target)
    change(ds)
    ds.save_as(target)
    return reread.differences(original, target, plan())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda ds: setattr(ds, "PatientID", "MRN0043"), "Patient ID is not as planned."),
        (lambda ds: delattr(ds, "IssuerOfPatientID"), "Issuer of Patient ID is not as planned."),
        (
            lambda ds: delattr(old_values(ds), "PatientName"),
            "Original Attributes does not keep the old Patient's Name.",
        ),
        (lambda ds: setattr(old_values(ds), "PatientID", "X"), "Original Attributes keeps another Patient ID than"),
        (lambda ds: delattr(ds, "OriginalAttributesSequence"), "Original Attributes does not keep the old values of"),
        (lambda ds: setattr(ds[0x00431028], "value", b"\0\0"), "The private element (0043,1028) is not what it was"),
        (lambda ds: setattr(ds, "StudyDescription", "?"), "Study Description is not what it was in the original"),
        (lambda ds: setattr(ds, "PixelData", b"\1" + ds.PixelData[1:]), "The pixel data, or what follows, is not"),
        (lambda ds: setattr(ds.file_meta, "MediaStorageSOPInstanceUID", "1.2"), "The file meta information does not"),
    ],
)
def test_a_second_look_finds_what_went_wrong(change, sentence, tmp_path):
    found = tampered(tmp_path, change)

    assert [each for each in found if each.startswith(sentence)], found
    assert not [each for each in found if "MRN" in each or "Muster" in each]


@given(place=st.integers(0, 2**32), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_behind_the_head_goes_unseen(place, bit, tmp_path):
    original = Path(get_testdata_file("JPEG2000.dcm"))
    result = edit.make(original, plan())
    whole = bytearray(result.head + original.read_bytes()[result.tail_offset :])
    whole[len(result.head) + place % (result.size - len(result.head))] ^= 1 << bit
    (tmp_path / "made.dcm").write_bytes(whole)

    assert reread.differences(original, tmp_path / "made.dcm", plan())
