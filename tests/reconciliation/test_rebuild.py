import copy
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pydicom.uid import generate_uid

from policies import audit
from policies.models import Source
from reconciliation import intake, inventory, rebuild, stores
from reconciliation.models import Finding, Instance, Series, Study, Submission, Unreadable
from tests import hostile, make
from tests.conftest import triggers_lifted

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

STUDY = ("study_instance_uid", "part", "patient_name", "study_description", "modalities", "number_of_instances", "size")
ROWS = {
    Submission: ("pk", "door", "source__name", "source__issuer", "calling_title", "note", "received_at", "closed_at"),
    Study: (*STUDY, "number_of_series", "search_key", "received_at", "submission"),
    Series: ("study__study_instance_uid", "series_instance_uid", "modality", "number_of_instances"),
    Instance: ("sop_instance_uid", "digest", "content_digest", "size", "submission", "series__series_instance_uid"),
    Unreadable: ("submission", "number", "name", "reason", "digest", "size"),
    Finding: ("study__study_instance_uid", "study__part", "code", "severity", "sentence"),
}


def rows():
    return {model.__name__: sorted(map(str, model.objects.values_list(*columns))) for model, columns in ROWS.items()}


def lose_the_database():
    """All rows of received things, and the sources too; the vault stays."""
    Study.objects.update(follows=None)
    with triggers_lifted():
        for model in (Instance, Series, Finding, Unreadable, Study, Submission, Source):
            model.objects.all().delete()


@pytest.fixture
def belongings():
    """Several studies of two sources: one in two submissions, one of two patients, a conflict, an unreadable object."""
    first, other = make.source("First"), make.source("Second", ae_title=None)
    ds = make.dataset()
    stranger = copy.deepcopy(ds)
    stranger.PatientID, stranger.PatientName, stranger.PatientBirthDate = "OTHER", "Schmidt^Karl", "19400101"
    stranger.SOPInstanceUID = stranger.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    altered = copy.deepcopy(ds)
    altered.SeriesDescription = "Altered"
    for datasets, source in (((ds, make.dataset()), first), ((stranger, altered), other), ((make.dataset(),), other)):
        intake.index(make.spooled(*datasets, of=source))
    intake.index(make.spooled_bytes(hostile.CHANCE, hostile.dicom(), name="IMG/0001"))


def test_rows_are_rebuilt_from_the_vault_alone_as_they_were(belongings):
    before = rows()
    assert all(before.values())
    lose_the_database()
    done = rebuild.rebuild()

    assert rows() == before
    assert (done.outcomes, done.lost) == ({"held": 5, "conflict": 1, "rejected": 1}, [])
    assert list(inventory.differences(rehash=True)) == []
    assert audit.verify() == ""


def test_rebuilding_again_or_beside_what_is_there_changes_nothing(belongings):
    before = rows()
    with triggers_lifted():
        Study.objects.filter(number_of_instances=1).first().series.all().delete()
    assert rebuild.rebuild().outcomes.total() in (0, 1)
    assert {row.digest for row in Instance.objects.all()} == {
        digest for key in stores.journal().keys() for digest in stores.journal().read(key).digests()
    } - {row.digest for row in Unreadable.objects.all()}

    lose_the_database()
    rebuild.rebuild()
    assert rebuild.rebuild().outcomes == {}
    assert rows() == before


def test_a_source_that_was_lost_is_not_let_in_again_by_itself(belongings):
    lose_the_database()
    rebuild.rebuild()

    assert [source.active for source in Source.objects.filter(name__in=["First", "Second"])] == [False, False]


def test_a_known_source_takes_its_studies_back(belongings):
    lose_the_database()
    first = make.source("First")
    rebuild.rebuild()

    assert first.submissions.count() == 1


def test_what_the_journal_does_not_name_is_kept_under_a_submission_that_says_so(belongings):
    for key in list(stores.journal().keys()):
        stores.journal().path(key).unlink()
    digests = {row.digest for row in Instance.objects.all()} | {row.digest for row in Unreadable.objects.all()}
    lose_the_database()
    rebuild.rebuild()

    submission = Submission.objects.get()
    assert (submission.door, submission.source.name, submission.note) == ("", "Unknown source", rebuild.UNTOLD)
    assert {*submission.instances.values_list("digest", flat=True)} | {
        *submission.unreadable.values_list("digest", flat=True)
    } == digests
    assert rebuild.rebuild().outcomes == {}


def test_what_is_in_the_spool_is_left_to_intake(belongings, monkeypatch):
    key = make.spooled(make.dataset())
    monkeypatch.setattr(intake, "write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        intake.index(key)
    monkeypatch.undo()
    stores_before = rows()["Instance"]
    rebuild.rebuild()

    assert rows()["Instance"] == stores_before
    assert [outcome.outcome for outcome in intake.index(key)] == ["held"]
    assert list(inventory.differences()) == []


def test_the_command_says_what_it_did_and_what_the_vault_has_lost(belongings):
    gone = Instance.objects.first().digest
    stores.vault().path(gone).unlink()
    lose_the_database()
    out = StringIO()
    with pytest.raises(CommandError, match=f"does not have 1 objects of its journal: {gone}"):
        call_command("reindex", stdout=out)

    assert "4 submissions: " in out.getvalue()
