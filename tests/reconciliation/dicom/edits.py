"""Objects and plans for the tests of the header editor, and what is checked of every object that it makes."""

import shutil
from pathlib import Path

import pydicom
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from policies.rules import coercion
from policies.rules.coercion import Change, Importer, LocalFacts
from reconciliation.dicom import edit, reread

INSIDE_PYDICOM = Path(pydicom.__file__).parent / "data"
SHARED = Path(__file__).parents[4] / "shared" / "data" / "dicom"
PROGRAMS = {name: shutil.which(name, path="/usr/bin:/usr/local/bin") for name in ("dcmdump", "dcmodify", "dciodvfy")}
AT = "20251124120000.000000+0000"
PROVENANCE = ("OriginalAttributesSequence", "ContributingEquipmentSequence")


def plan(name: str = "Muster^Maria", *, signed: bool = False, **facts) -> list[Change]:
    local = LocalFacts(
        **{
            "PatientName": name,
            "PatientID": "MRN0042",
            "IssuerOfPatientID": "HOSP",
            "PatientBirthDate": "19600229",
            "PatientSex": "F",
            "OtherPatientIDs": [("X9", "CITY")],
            "AccessionNumber": "A2025-001",
            "RequestedProcedureID": "RP1",
            "ScheduledProcedureStepID": "SP1",
            "RequestedProcedureCode": ("IMPCT", "99LOCAL", "CT import"),
            "StudyInstanceUID": "1.2.3",
        }
        | facts
    )
    importer = Importer("Maker", "Our Hospital", "GATE1", "IMGSHARE", "Elsewhere", "ELSEWHERE", "upload", AT)
    return coercion.plan([{"PatientID": "OLD1"}], local=local, importer=importer, signed=signed)


def only(*paths: str, changes: list[Change] | None = None) -> list[Change]:
    return [change for change in changes or plan() if change.path in (*paths, *PROVENANCE)]


def made(original: Path, changes: list[Change], folder: Path, uids=edit.NO_UIDS) -> Path:
    target = folder / "made.dcm"
    edit.write(original, target, changes, uids=uids)
    return target


def checked(original: Path, changes: list[Change], folder: Path, uids=edit.NO_UIDS) -> Dataset:
    """Written, read again both ways, and the same either way."""
    target = made(original, changes, folder, uids)
    result = edit.make(original, changes, uids=uids)
    assert reread.differences(original, target, changes, uids=uids) == []
    assert reread.differences_in_head(original, result, changes, uids=uids) == []
    assert whole(original, result) == target.read_bytes()
    return dcmread(target)


def whole(original: Path, result: edit.Made) -> bytes:
    """The object as a sender streams it."""
    return result.head + original.read_bytes()[result.tail_offset : result.tail_end] + result.foot


def saved(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    ds.file_meta.TransferSyntaxUID = syntax
    order = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
    dcmwrite(path, ds, enforce_file_format=True, **order)
    return path


def ct(**values) -> Dataset:
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def item(**values) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def built(value):
    """A value of the plan as pydicom takes it."""
    if isinstance(value, list):
        return [item(**{keyword: built(inner) for keyword, inner in each.items()}) for each in value]
    return value


def old_values(ds: Dataset) -> Dataset:
    return ds.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]


def nested(**values) -> Dataset:
    """Sequences of undefined length, three deep, one of them private, with a picture of its own."""
    icon = item(Rows=1, Columns=2, BitsAllocated=8, PixelData=b"\1\2")
    ds = ct(
        RequestAttributesSequence=[
            item(RequestedProcedureID="OLD", RequestedProcedureCodeSequence=[item(CodeValue="c")])
        ],
        IconImageSequence=[icon],
        **values,
    )
    block = ds.private_block(0x0043, "OURS", create=True)
    block.add_new(1, "SQ", [item(PatientComments="inner", RequestedProcedureCodeSequence=[item(CodeMeaning="deep")])])
    return undefined(ds)


def undefined(ds: Dataset) -> Dataset:
    for element in ds:
        for each in element.value if element.VR == "SQ" else []:
            element.is_undefined_length = each.is_undefined_length_sequence_item = True
            undefined(each)
    return ds


def undone(ds: Dataset) -> Dataset:
    """The object as it came, by what its last Original Attributes say: what recall would do."""
    told = ds.get("OriginalAttributesSequence") or []
    ours = told and told[-1].get("AttributeModificationDateTime") == AT  # not there, where no value was lost
    kept = told.pop().ModifiedAttributesSequence[0] if ours else []
    ds.ContributingEquipmentSequence.pop()
    emptied = [name for name in PROVENANCE if not ds.get(name)]
    for name in (*emptied, "InstanceCoercionDateTime", "InstanceOriginStatus"):
        if name in ds:
            del ds[name]
    for element in kept:
        ds[element.tag] = element
    return ds


def values(ds: Dataset) -> dict:
    """Values by tag. An element that is empty is as good as none, and lengths of groups are retired."""
    return {element.tag: element.value for element in ds if element.tag.element and not element.is_empty}
