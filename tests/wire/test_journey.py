"""The whole way: sent by DCMTK, held, mapped, cleared and released over REST, read back from Orthanc."""

import re
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from tests.conftest import program
from tests.wire.rest import Rest, furnish

pytestmark = pytest.mark.django_db

# File of pydicom's own test data, and the option that makes storescu send it in its own transfer syntax.
FILES = {
    "CT_small.dcm": "-xe",
    "rtdose.dcm": "-xi",
    "ExplVR_BigEnd.dcm": "-xb",
    "image_dfl.dcm": "-xd",
    "SC_rgb_rle.dcm": "-xr",
    "MR_small_jpeg_ls_lossless.dcm": "-xt",
    "JPEG2000.dcm": "-xw",
    "JPEG-lossy.dcm": "-xx",
    "examples_palette.dcm": "-xe",
    "test-SR.dcm": "-xe",
    "waveform_ecg.dcm": "-xe",
}
PLANNED = {"PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"}


def found(name: str) -> Path | None:
    path = get_testdata_file(name, download=False)
    return Path(path) if path else None


def test_real_studies_travel_from_storescu_to_orthanc(new_portal, orthanc, storescu, tmp_path):
    portal = new_portal("web", "storescp", "intake", "qcluster")
    access = furnish(portal, ae_title=orthanc.ae_title, port=orthanc.dicom_port)
    desk, officer = (Rest(portal, access["tokens"][name]) for name in ("desk", "releaser"))
    originals = sent(storescu, portal)

    count = len({ds.StudyInstanceUID for _, ds in originals.values()})
    shown = {}
    for study in desk.until(count, state="held"):
        shown[study["id"]] = reconcile(desk, officer, study)
        officer.post(f"studies/{study['id']}/release/", {"destinations": [access["destination"]]})
    officer.until(count, state="delivered")

    arrived = {ds.SOPInstanceUID: ds for ds in map(read, map(orthanc.file, orthanc.instances()))}
    assert set(arrived) == set(originals)
    by_study = {changes["study_instance_uid"]: changes for changes in shown.values()}
    for uid, (path, original) in originals.items():
        assert_mapped(original, arrived[uid], by_study[original.StudyInstanceUID])
        assert new_errors(path, arrived[uid], tmp_path) == set()


def sent(storescu, portal) -> dict[str, tuple[Path, Dataset]]:
    """Send each file by itself; SOP Instance UID to file and data set."""
    files = {}
    for name, option in FILES.items():
        if path := found(name):
            ds = dcmread(path)
            done = storescu(option, "-aet", "SENDER", "-aec", portal.ae_title, "127.0.0.1", portal.dicom_port, path)
            assert done.returncode == 0, f"{name}: {done.stdout}"
            files[ds.SOPInstanceUID] = (path, ds)
    assert len(files) == len(FILES)
    return files


def reconcile(desk: Rest, officer: Rest, study: dict) -> dict:
    """Register the patient, generate an order, map and clear; gives what was shown before the release.

    Some of the files name no patient: that finding is not the desk's to override, but the officer's.
    """
    key = study["id"]
    identifier = {"value": f"MRN{key[:8]}", "issuer": "LOCAL"}
    known = {"name": "Muster^Märta", "birth_date": "1960-02-29", "sex": "F", "identifiers": [identifier]}
    patient = desk.post("patients/", known)
    (procedure,) = desk.get("procedures/")["results"]
    order = desk.post("orders/", {"patient": patient["id"], "procedure": procedure["id"]})
    mapped = desk.post(f"studies/{key}/map/", {"order": order["id"], "intent": "reference"})
    findings = desk.get(f"studies/{key}/")["findings"]
    consent = {"basis": "patient", "given_by": "The patient", "scope": ["care"], "evidence": "Form 7"}
    overrides = [{"code": one["code"], "reason": "Seen with the patient."} for one in findings if one["open"]]
    clearing = {"consent": consent, "overrides": overrides}
    if overrides:
        desk.post(f"studies/{key}/clear/", clearing, expect=403)
    (officer if overrides else desk).post(f"studies/{key}/clear/", clearing)
    changes = {change["path"]: change for change in mapped["changes"]}
    return {"study_instance_uid": study["study_instance_uid"], "changes": changes}


def read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


def assert_mapped(original: Dataset, arrived: Dataset, shown: dict) -> None:
    """As shown; the old values inside; pixels and private elements the same."""
    changes = shown["changes"]
    for keyword in PLANNED:
        assert str(arrived[keyword].value) == (changes[keyword]["new"] or ""), keyword
    kept = arrived.OriginalAttributesSequence[-1]
    assert kept.ReasonForTheAttributeModification == "COERCE"
    old = kept.ModifiedAttributesSequence[0]
    assert old.PatientID == original.get("PatientID", "")
    assert old.PatientName == original.get("PatientName", "")
    assert arrived.InstanceOriginStatus == "IMPORTED"
    assert arrived.get("PixelData") == original.get("PixelData")
    assert arrived.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    for element in original:
        if element.tag.is_private:
            assert arrived[element.tag].value == element.value, element.tag
    assert arrived.StudyInstanceUID == original.StudyInstanceUID
    assert arrived.SeriesInstanceUID == original.SeriesInstanceUID


def new_errors(path: Path, arrived: Dataset, folder: Path) -> set[str]:
    """What dciodvfy complains of in the object that arrived and not in the one that was sent."""
    if not program("dciodvfy"):
        return set()
    made = folder / "arrived.dcm"
    arrived.save_as(made)
    return errors(made) - errors(path)


def errors(path: Path) -> set[str]:
    out = subprocess.run(
        [program("dciodvfy"), str(path)], capture_output=True, text=True, errors="replace", check=False
    )
    lines = (out.stdout + out.stderr).splitlines()
    return {re.sub(r"0x[0-9a-f]+|\d+", "#", line) for line in lines if line.startswith("Error")}
