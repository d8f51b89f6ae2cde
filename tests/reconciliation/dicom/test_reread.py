"""The second look: nothing that went wrong in the making goes unseen, on disk or on the way."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from reconciliation.dicom import edit, reread
from tests.reconciliation.dicom.edits import made, old_values, plan

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose


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


def streamed(name: str) -> tuple[Path, edit.Made]:
    original = Path(get_testdata_file(name))
    return original, edit.make(original, plan())


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "test-SR.dcm", "MR_small_bigendian.dcm"])
@given(place=st.integers(0, 2**32), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_no_flipped_bit_of_a_head_goes_unseen(name, place, bit):
    """Not even when pydicom has judged the sound head before."""
    original, result = streamed(name)
    assert reread.differences_in_head(original, result, plan()) == []
    head = bytearray(result.head)
    head[132 + place % (len(head) - 132)] ^= 1 << bit

    told = reread.differences_in_head(original, replace(result, head=bytes(head)), plan())

    assert told or named(bytes(head)) == named(result.head) != []


def named(head: bytes) -> list:
    """What the file meta information says of the object; the rest of it says who wrote it."""
    meta = dcmread(io.BytesIO(head), stop_before_pixels=True, force=True).file_meta
    keywords = ("TransferSyntaxUID", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")
    return [meta.get(keyword) for keyword in keywords]


@pytest.mark.parametrize("shift", [-2, 2, 10])
def test_a_tail_that_does_not_go_on_where_the_head_ends_is_seen(shift):
    original, result = streamed("CT_small.dcm")

    moved = replace(result, tail_offset=result.tail_offset + shift, size=result.size - shift)

    assert reread.differences_in_head(original, moved, plan())


def test_a_size_that_is_not_true_is_seen():
    original, result = streamed("CT_small.dcm")

    assert reread.differences_in_head(original, replace(result, size=result.size + 2), plan())
    assert reread.differences_in_head(original, replace(result, tail_end=result.tail_end + 2), plan())


def test_the_head_of_another_object_of_the_series_is_seen(tmp_path):
    """Both were judged before; each is still compared with its own original."""
    paths = [Path(get_testdata_file("CT_small.dcm")), tmp_path / "other.dcm"]
    other = dcmread(paths[0])
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = f"{other.SOPInstanceUID[:-1]}9"
    other.save_as(paths[1])
    heads = [edit.make(path, plan()) for path in paths]
    assert [reread.differences_in_head(*each, plan()) for each in zip(paths, heads, strict=True)] == [[], []]

    crossed = replace(heads[0], tail_offset=heads[1].tail_offset, size=heads[1].size, tail_end=heads[1].tail_end)

    assert reread.differences_in_head(paths[1], crossed, plan())


def test_another_plan_is_judged_anew():
    original, result = streamed("CT_small.dcm")
    assert reread.differences_in_head(original, result, plan()) == []

    assert reread.differences_in_head(original, result, plan("Muster^Martha")) == ["Patient's Name is not as planned."]
