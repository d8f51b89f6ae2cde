"""A name that must never leave the database and the vault (T14): not in a log, not in a job, not in an address."""

import socket

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from orders.hl7.mllp import framed
from tests.wire.rest import Rest, furnish
from tests.wire.test_journey import reconcile

pytestmark = pytest.mark.django_db

NAME, NUMBER, ACCESSION = "Xylokanarius", "MRNKANARIE77", "ACCKANARIE88"
CANARIES = (NAME, NAME.upper(), NUMBER, ACCESSION)
ADT = (
    "MSH|^~\\&|ADT|HOSP|PORTAL|RAD|20250101||ADT^A04^ADT_A01|{control}|P|2.5.1\r"
    f"EVN||20250101\rPID|||{NUMBER}^^^LOCAL||{NAME}^Kim||19700101|F\r{{rest}}"
)
JOBS = """
from django_q.models import OrmQ, Task
print([(row.func, row.args, row.kwargs, str(row.result)) for row in Task.objects.all()])
print([row.task() for row in OrmQ.objects.all()])
"""


def canary(folder) -> str:
    """An object that carries it everywhere where a patient can be named."""
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.AccessionNumber = f"{NAME}^Kim", NUMBER, ACCESSION
    ds.StudyDescription = ds.PatientComments = f"Of {NAME}"
    path = folder / "object.dcm"
    ds.save_as(path)
    return str(path)


def told(portal, *messages: str) -> None:
    with socket.create_connection(("127.0.0.1", portal.mllp_port), timeout=20) as door:
        for message in messages:
            door.sendall(framed(message.encode()))
            assert door.recv(4096)


def test_a_patient_is_named_in_no_log_and_no_job(new_portal, orthanc, storescu, tmp_path):
    portal = new_portal("web", "storescp", "mllp", "intake", "qcluster")
    access = furnish(portal, ae_title=orthanc.ae_title, port=orthanc.dicom_port)
    desk, officer = (Rest(portal, access["tokens"][name]) for name in ("desk", "releaser"))
    told(portal, ADT.format(control="M1", rest=""), ADT.format(control="M2", rest=f"ZZZ|{NAME}\rOBR|bad\r"), NAME)
    sent = storescu("-xe", "-aet", "SENDER", "-aec", portal.ae_title, "127.0.0.1", portal.dicom_port, canary(tmp_path))
    assert sent.returncode == 0, sent.stdout

    (study,) = desk.until(1, state="held")
    desk.post(f"studies/{study['id']}/map/", {"order": NUMBER, "intent": "reference"}, expect=422)
    desk.post("patients/", {"name": NAME, "birth_date": "yesterday", "sex": "F"}, expect=422)
    reconcile(desk, officer, study)
    officer.post(f"studies/{study['id']}/release/", {"destinations": [access["destination"]]})
    officer.until(1, state="delivered")

    jobs = portal.shell(JOBS)
    logs = {log.name: log.read_text(errors="replace") for log in portal.folder.glob("*.log")}
    assert "reconciliation.tasks.send" in jobs
    assert len(logs) == 5
    assert [(name, one) for name, text in (logs | {"jobs": jobs}).items() for one in CANARIES if one in text] == []
    assert all(one not in link for one in CANARIES for link in desk.get(f"studies/{study['id']}/")["links"].values())
