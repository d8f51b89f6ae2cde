import pytest
from tests.reconciliation.dicom.edits import *

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # pydicom's, of defects that the test files have on purpose

# --- any object ---

LATIN = st.text(st.characters(min_codepoint=0xC0, max_codepoint=0xFF) | st.sampled_from("AZ09 "), max_size=12)
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "PatientName": LATIN,
        "PatientID": LATIN,
        "IssuerOfPatientID": LATIN,
        "AccessionNumber": LATIN,
        "StudyDescription": LATIN,
        "PatientSex": st.sampled_from(["", "F", "M"]),
        "InstanceOriginStatus": st.sampled_from(["", "LOCAL", "IMPORTED"]),
        "ImageComments": LATIN,
    },
)
BRANCHES = st.sampled_from(
    ["OtherPatientIDsSequence", "RequestAttributesSequence", "OriginalAttributesSequence", "ReferencedSeriesSequence"]
)
DATASETS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda leaves, branches: leaves | branches,
        LEAVES,
        st.dictionaries(BRANCHES, st.lists(inner, max_size=2), max_size=2),
    ),
    max_leaves=6,
)


def nest(values: dict) -> Dataset:
    return item(**{key: [*map(nest, value)] if isinstance(value, list) else value for key, value in values.items()})


@given(
    values=DATASETS,
    of_undefined_length=st.booleans(),
    syntax=st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]),
    name=st.sampled_from(["Muster^Maria", "Müller^Jürgen", "Łukasz^Świątek"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_object_comes_out_as_planned(values, of_undefined_length, syntax, name, tmp_path):
    ds = undefined(nest(values)) if of_undefined_length else nest(values)
    ds.SpecificCharacterSet, ds.SOPClassUID, ds.SOPInstanceUID = "ISO_IR 100", ct().SOPClassUID, "1.2.3"
    ds.add_new(0x7FE00010, "OW", b"\1\2\3\4")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, "1.2.3"
    original = saved(ds, tmp_path / "a.dcm", syntax)

    made_ds = checked(original, plan(name), tmp_path)

    assert made_ds.PatientName == name
    assert made_ds.get("StudyDescription", "") == dcmread(original).get("StudyDescription", "")
