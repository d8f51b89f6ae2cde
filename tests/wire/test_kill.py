"""kill -9 in the middle of each stage: nothing acknowledged is missing, nothing is delivered under a wrong identity."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from tests import make
from tests.conftest import program
from tests.wire.rest import Rest, furnish

pytestmark = pytest.mark.django_db
OBJECTS = 60
SENT_IN_A_WHILE = 600  # so many that a worker can be killed in the middle of them


@pytest.fixture
def series(tmp_path) -> list[Path]:
    return study_of(OBJECTS, tmp_path / "series")


def study_of(objects: int, folder: Path) -> list[Path]:
    """One study of many small objects, as files."""
    folder.mkdir()
    first = make.dataset()
    for number in range(objects):
        ds = make.dataset(StudyInstanceUID=first.StudyInstanceUID, SeriesInstanceUID=first.SeriesInstanceUID)
        ds.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def sender(portal, files: list[Path], log: Path) -> subprocess.Popen:
    titles = ["-aet", "SENDER", "-aec", portal.ae_title]
    command = [program("storescu"), "-v", *titles, "127.0.0.1", str(portal.dicom_port), *map(str, files)]
    with log.open("w") as out:
        return subprocess.Popen(command, stdout=out, stderr=out)


def acknowledged(log: Path) -> int:
    return log.read_text(errors="replace").count("Received Store Response (Success)")


def objects(desk: Rest) -> int:
    return sum(study["counts"]["instances"] for study in desk.studies())


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.3])
def test_a_killed_door_loses_nothing_that_it_acknowledged(new_portal, series, tmp_path, moment):
    portal = new_portal("web", "storescp", "intake")
    desk = Rest(portal, furnish(portal, ae_title="X", port=1)["tokens"]["desk"])
    sending = sender(portal, series, tmp_path / "sender.log")
    time.sleep(moment)
    portal.kill("storescp")
    sending.wait(30)
    promised = acknowledged(tmp_path / "sender.log")
    portal.start("storescp")
    desk.until(1 if promised else 0, state="held")

    assert promised <= objects(desk) <= promised + 1  # the last one may be whole and its answer lost
    again = sender(portal, series, tmp_path / "again.log")
    assert again.wait(60) == 0
    deadline = time.monotonic() + 30
    while objects(desk) < OBJECTS and time.monotonic() < deadline:
        time.sleep(0.3)
    assert objects(desk) == OBJECTS


def test_a_killed_intake_loses_nothing_and_doubles_nothing(new_portal, series, tmp_path):
    portal = new_portal("web", "storescp")
    desk = Rest(portal, furnish(portal, ae_title="X", port=1)["tokens"]["desk"])
    assert sender(portal, series, tmp_path / "sender.log").wait(60) == 0
    chance = random.Random(7)
    for _ in range(4):
        portal.start("intake")
        time.sleep(0.6 + chance.random() * 0.8)  # it takes about a second until the first look
        portal.kill("intake")
    portal.start("intake")
    desk.until(1, state="held")

    (study,) = desk.studies()
    assert study["counts"]["instances"] == OBJECTS


def test_a_killed_worker_delivers_everything_once_restarted_and_only_under_the_local_identity(
    new_portal, storescp, tmp_path
):
    portal = new_portal("web", "storescp", "intake", "qcluster", IMGSHARE_DELIVERY_LEASE_SECONDS=3)
    access = furnish(portal, ae_title=storescp.ae_title, port=storescp.port)
    desk, officer = (Rest(portal, access["tokens"][name]) for name in ("desk", "releaser"))
    series = study_of(SENT_IN_A_WHILE, tmp_path / "series")
    assert sender(portal, series, tmp_path / "sender.log").wait(60) == 0
    (study,) = desk.until(1, state="held")
    key, local = study["id"], {"value": "MRN1", "issuer": "LOCAL"}
    known = {"name": "Mueller^Anna", "birth_date": "1961-03-04", "sex": "F", "identifiers": [local]}
    patient = desk.post("patients/", known)
    desk.post(f"studies/{key}/map/", {"patient": patient["id"], "intent": "reference"})
    consent = {"basis": "treatment", "scope": ["care"], "evidence": "Referral of today"}
    desk.post(f"studies/{key}/clear/", {"consent": consent})
    officer.post(f"studies/{key}/release/", {"destinations": [access["destination"]]})

    deadline = time.monotonic() + 30
    while len(storescp.files()) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    portal.kill("qcluster")
    before = len(storescp.files())
    time.sleep(3.5)  # until the lease of the dead worker has run out
    assert portal.manage("sweep").returncode == 0
    officer.until(1, state="delivered")

    arrived = [dcmread(path) for path in storescp.files()]
    assert before < SENT_IN_A_WHILE
    assert len({ds.SOPInstanceUID for ds in arrived}) == SENT_IN_A_WHILE
    assert {(ds.PatientID, ds.IssuerOfPatientID) for ds in arrived} == {("MRN1", "LOCAL")}
