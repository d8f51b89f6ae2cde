"""Archives are told by a note that retention is over: real receivers, and what a person does where none is taken."""

import json
import subprocess

import pytest
from django.utils import timezone
from pydicom import dcmread

from policies.models import Destination, LedgerLine
from policies.problems import Conflict, Denied, Invalid
from reconciliation import deletion, delivery, expiry, rejection_notes, tasks
from reconciliation.models import Deletion, RejectionNote
from tests import make
from tests.conftest import program
from tests.wire.test_delivery import released, scripted

__all__ = ["scripted"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def over(made, **columns):
    """A delivery that arrived, and whose study was deleted by a rule that tells."""
    Destination.objects.filter(pk=made.destination_id).update(**{"takes_rejection_notes": True, **columns})
    make.rule(outcome="tell")
    delivery.send(made.pk)
    decision = expiry.approve(make.long_ago(made.study), reason="Over", by=make.approver())
    Deletion.objects.update(not_before=timezone.now())
    decision.refresh_from_db()
    assert deletion.carry_out(decision)
    return RejectionNote.objects.get(delivery=made)


@pytest.fixture(autouse=True)
def _the_rule_tells(db):
    make.rule(outcome="tell")


def test_the_note_names_each_object_as_it_was_released(storescp):
    made = released(storescp.port, storescp.ae_title, count=3)
    note = over(made)
    rejection_notes.tell(note.pk)

    note.refresh_from_db()
    *images, ko = sorted((dcmread(path) for path in storescp.files()), key=lambda ds: ds.Modality == "KO")
    (evidence,) = ko.CurrentRequestedProcedureEvidenceSequence
    named = {
        (series.SeriesInstanceUID, one.ReferencedSOPInstanceUID)
        for series in evidence.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert note.state == "told"
    assert named == {(ds.SeriesInstanceUID, ds.SOPInstanceUID) for ds in images}
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "IssuerOfPatientID", "AccessionNumber"):
        assert {ko.get(keyword)} == {ds.get(keyword) for ds in images}, keyword


def test_orthanc_files_it_with_the_study_and_dcmtk_reads_it(orthanc, tmp_path):
    made = released(orthanc.dicom_port, orthanc.ae_title)
    note = over(made)
    rejection_notes.tell(note.pk)

    asked = {"Level": "Series", "Query": {"Modality": "KO", "StudyInstanceUID": note.study_instance_uid}}
    (series,) = json.loads(orthanc.request("POST", "/tools/find", asked | {"Expand": True}))
    path = tmp_path / "note.dcm"
    path.write_bytes(orthanc.request("GET", f"/instances/{series['Instances'][0]}/file"))
    assert len(json.loads(orthanc.request("GET", f"/series/{series['ID']}/study"))["Series"]) == 2
    read = subprocess.run([program("dsrdump"), str(path)], capture_output=True, text=True, check=True, timeout=60)
    assert "Data Retention Policy Expired" in read.stdout
    assert "E: " not in read.stderr


def test_it_goes_by_stow_too(orthanc):
    made = released(orthanc.dicom_port, orthanc.ae_title)
    note = over(made, protocol="stow", stow_url=orthanc.dicomweb_url)
    rejection_notes.tell(note.pk)

    note.refresh_from_db()
    assert (note.state, note.problem) == ("told", "")


@pytest.mark.skipif(not program("dciodvfy"), reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(storescp):
    rejection_notes.tell(over(released(storescp.port, storescp.ae_title)).pk)
    (path,) = [path for path in storescp.files() if dcmread(path).Modality == "KO"]

    said = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert "Error" not in said.stderr


def test_the_sweep_finds_what_a_lost_ring_left_and_the_ledger_says_that_it_was_told(storescp):
    over(released(storescp.port, storescp.ae_title))

    assert tasks.sweep()["archives told"] == 1
    assert RejectionNote.objects.get().state == "told"
    assert LedgerLine.objects.filter(verb="tell archive").count() == 1


def test_an_archive_that_is_down_is_told_later(scripted, free_port):
    note = over(released(scripted()[0]))
    Destination.objects.update(port=free_port)
    rejection_notes.tell(note.pk)
    note.refresh_from_db()
    assert (note.state, note.attempts, bool(note.problem)) == ("waiting", 1, True)
    assert note.due_at > timezone.now()


@pytest.mark.parametrize(
    ("status", "said"), [(0xC000, "cannot understand"), (0xA775, "takes no note"), (0xA776, "own rule")]
)
def test_an_archive_that_refuses_waits_for_a_person_who_may_send_it_again(scripted, status, said):
    note = over(released(scripted(0x0000, status)[0]))
    rejection_notes.tell(note.pk)
    note.refresh_from_db()
    assert (note.state, said in note.problem) == ("refused", True)

    rejection_notes.again(note, by=make.approver())
    rejection_notes.tell(note.pk)
    note.refresh_from_db()
    assert note.state == "told"


def test_told_twice_it_is_the_same_document(scripted):
    port, got = scripted(0x0000, 0xA700)
    note = over(released(port))
    rejection_notes.tell(note.pk)
    note.refresh_from_db()
    rejection_notes.again(note, by=make.approver())
    rejection_notes.tell(note.pk)

    assert got[1] == got[2]


def test_one_worker_tells_it(scripted):
    note = over(released(scripted()[0]))
    assert rejection_notes.claim(note.pk)

    assert rejection_notes.claim(note.pk) is None


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_an_archive_that_takes_no_notes_is_told_by_a_person_who_says_how(scripted):
    port, got = scripted()
    note = over(released(port), takes_rejection_notes=False)
    rejection_notes.tell(note.pk)
    with pytest.raises(Conflict, match="tell it by hand"):
        rejection_notes.again(note, by=make.approver())
    with pytest.raises(Invalid):
        rejection_notes.told_by_hand(note, how=" ", by=make.approver())
    with pytest.raises(Denied):
        rejection_notes.told_by_hand(note, how="By phone", by=make.user("releaser"))
    rejection_notes.told_by_hand(note, how="Ms Roe, by phone", by=make.approver())

    assert (note.state, note.told_how, note.told_by, len(got)) == (
        "told by hand",
        "Ms Roe, by phone",
        make.approver(),
        1,
    )
    assert LedgerLine.objects.latest("id").verb == "tell archive by hand"
    with pytest.raises(Conflict, match="told by hand by now"):
        rejection_notes.told_by_hand(note, how="Again", by=make.approver())


def test_one_that_learned_to_understand_notes_is_sent_one(scripted):
    note = over(released(scripted()[0]), takes_rejection_notes=False)
    Destination.objects.update(takes_rejection_notes=True)
    note.refresh_from_db()
    rejection_notes.again(RejectionNote.objects.get(), by=make.approver())
    rejection_notes.tell(note.pk)

    assert RejectionNote.objects.get().state == "told"


def test_a_rule_that_only_deletes_tells_nobody(scripted):
    made = released(scripted()[0])
    delivery.send(made.pk)
    made.study.retention_terms["outcome"] = "delete"
    type(made.study).objects.update(retention_terms=made.study.retention_terms)
    decision = expiry.approve(make.long_ago(made.study), reason="Over", by=make.approver())
    Deletion.objects.update(not_before=timezone.now())
    decision.refresh_from_db()
    deletion.carry_out(decision)

    assert not RejectionNote.objects.exists()
