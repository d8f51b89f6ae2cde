"""Any mapping over any object: it comes out as planned, and Original Attributes give the old values back."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from policies.rules.coercion import Action, Change
from tests.reconciliation.dicom.edits import PROVENANCE, checked, only, plan, saved, undefined, undone, values

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of defects that the files have on purpose

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
LETTERS = {  # by what an object declares
    "": "AZ09 ",
    "ISO_IR 100": "AZéÄß ",
    "ISO_IR 144": "AZЖя ",
    "ISO_IR 192": "AZéЖ頭 ",
    "GB18030": "AZ头東 ",
    "\\ISO 2022 IR 87": "AZ頭単",
    "\\ISO 2022 IR 149": "AZ두개",
}
LOCAL = st.text(st.sampled_from("AZéŁЖ頭두"), min_size=1, max_size=8)
UIDS = st.sampled_from(["1.2.3.4", "1.2.3.5", "1.2.3.6", "1.2.3.77"])
SEQUENCES = (
    "OtherPatientIDsSequence",
    "RequestAttributesSequence",
    "OriginalAttributesSequence",
    "ReferencedSeriesSequence",
    "ContributingEquipmentSequence",
    "PerFrameFunctionalGroupsSequence",
    "UDIsSequence",
)
TEXT = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyDescription", "PatientComments")
NUMBERS = st.integers(0, 0xFFFF)


def leaves(letters: str) -> st.SearchStrategy[dict]:
    """Values by keyword: text, codes, UIDs, and the odder VRs."""
    text = st.text(st.sampled_from(letters), max_size=9).map(str.strip)
    return st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(TEXT, text)
        | {
            "PatientSex": st.sampled_from(["", "F", "M"]),
            "PatientBirthDate": st.sampled_from(["", "19600229"]),
            "InstanceOriginStatus": st.sampled_from(["", "LOCAL"]),  # what stays is not listed
            "InstanceCoercionDateTime": st.sampled_from(["", "20200101"]),
            "FrameOfReferenceUID": UIDS,
            "FailedSOPInstanceUIDList": st.lists(UIDS, max_size=3),
            "Rows": NUMBERS,
            "FrameIncrementPointer": st.sampled_from([0x00181063, [0x00181063, 0x00181065]]),
            "DiffusionBValue": st.floats(-1e6, 1e6),
            "TableOfYBreakPoints": st.lists(st.integers(0, 2**31), max_size=3),
            "ReferencePixelPhysicalValueX": st.floats(-1e6, 1e6),
            "ICCProfile": st.binary(max_size=6).map(lambda raw: raw + b"\0" * (len(raw) % 2)),
            "RedPaletteColorLookupTableData": st.binary(max_size=6).map(lambda raw: raw + b"\0" * (len(raw) % 2)),
            "PatientWeight": st.sampled_from(["", "70.5", "1e2"]),
            "UniversalEntityID": text,
            "private": text,
            "private_binary": st.binary(max_size=6).map(lambda raw: raw + b"\0" * (len(raw) % 2)),
        },
    )


def trees(letters: str) -> st.SearchStrategy[dict]:
    def grown(inner):
        branches = st.dictionaries(st.sampled_from(SEQUENCES), st.lists(inner, max_size=2), max_size=3)
        return st.builds(lambda leaves, branches: leaves | branches, leaves(letters), branches)

    return st.recursive(leaves(letters), grown, max_leaves=6)


@st.composite
def objects(draw) -> Dataset:
    declared = draw(st.sampled_from(sorted(LETTERS)))
    ds = built(draw(trees(LETTERS[declared])))
    ds = undefined(ds) if draw(st.booleans()) else ds
    if declared:
        ds.SpecificCharacterSet = declared.split("\\")
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = CTImageStorage, "1.2.3.4", "1.2.3.5"
    if draw(st.booleans()):
        ds.add_new(0x7FE00010, "OW", b"\1\2\3\4")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, "1.2.3.4"
    return ds


def built(tree: dict) -> Dataset:
    ds = Dataset()
    for keyword, value in tree.items():
        if keyword in ("private", "private_binary"):
            block = ds.private_block(0x0009, "OURS", create=True)
            block.add_new(1 if keyword == "private" else 2, "LO" if keyword == "private" else "UN", value)
        else:
            setattr(ds, keyword, [*map(built, value)] if keyword in SEQUENCES else value)
    return ds


@st.composite
def mappings(draw) -> list[Change]:
    """The provenance of RAD-61 with any changes of text, dates, codes and sequences."""
    text = st.sampled_from([*TEXT, "InstitutionName", "ReferringPhysicianName", "AdmissionID"])
    chosen = draw(st.lists(text, unique=True, max_size=5))
    changes = [draw(changed(path, LOCAL)) for path in chosen]
    changes += [draw(changed("PatientBirthDate", st.just("19700101")))] if draw(st.booleans()) else []
    for path in draw(st.lists(st.sampled_from(SEQUENCES[:2]), unique=True)):
        items = st.fixed_dictionaries({"PatientID": LOCAL, "IssuerOfPatientID": LOCAL, "PatientName": LOCAL})
        actions = st.sampled_from([Action.SET, Action.APPEND, Action.REMOVE])
        changes.append(draw(changed(path, st.lists(items, min_size=1, max_size=2), actions)))
    wanted = (*PROVENANCE, "InstanceOriginStatus", "InstanceCoercionDateTime")
    return [*changes, *only(*wanted, changes=plan())]


OF_TEXT = st.sampled_from([Action.SET, Action.EMPTY, Action.REMOVE])


def changed(path: str, new, actions=OF_TEXT) -> st.SearchStrategy[Change]:
    def change(action, value):
        return Change(path, action, [], value if action in (Action.SET, Action.APPEND) else None, "a rule", "patient")

    return st.builds(change, actions, new)


@given(
    ds=objects(),
    changes=mappings(),
    syntax=st.sampled_from(SYNTAXES),
    uids=st.dictionaries(UIDS, st.sampled_from(["2.25.1", "2.25.22", "2.25.333"]), max_size=2),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
def test_any_mapping_of_any_object_comes_out_as_planned_and_can_be_undone(ds, changes, syntax, uids, tmp_path):
    original = saved(ds, tmp_path / "a.dcm", syntax)

    made = checked(original, changes, tmp_path, uids)

    for change in changes:
        if change.action is Action.SET and dictionary_VR(change.path) != "SQ":
            assert made[change.path].value == change.new
    assert values(undone(made)) == values(dcmread(original))
