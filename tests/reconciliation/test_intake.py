import copy
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pydicom.uid import generate_uid

from policies.models import LedgerLine
from reconciliation import filing, intake, stores
from reconciliation.dicom.journal import Entry
from reconciliation.models import Instance, Study, Submission, Unreadable
from tests import hostile, make

pytestmark = pytest.mark.django_db


def again(ds, **keywords):
    """The same object once more, with some attributes changed."""
    other = copy.deepcopy(ds)
    for keyword, value in keywords.items():
        setattr(other, keyword, value)
    return other


def sibling(ds, **keywords):
    """Another object of the same series."""
    uid = generate_uid()
    other = again(ds, SOPInstanceUID=uid, **keywords)
    other.file_meta.MediaStorageSOPInstanceUID = uid
    return other


def outcomes(*datasets):
    return [outcome.outcome for outcome in intake.index(make.spooled(*datasets))]


def findings(study):
    return {finding.code: finding.severity for finding in study.findings.all()}


def test_what_came_in_is_in_the_queue_as_it_was_sent():
    ds = make.dataset(StudyDescription="CT CHEST")
    study = make.received(ds, sibling(ds))

    assert (study.state, study.number_of_instances, study.number_of_series) == ("receiving", 2, 1)
    assert (study.patient_id, study.patient_birth_date, study.study_description) == ("OUT-7781", "19610304", "CT CHEST")
    assert study.modalities == ["CT"]


def test_the_original_bytes_are_in_the_vault_under_their_digest_and_the_spool_is_empty():
    key = make.spooled(make.dataset())
    before = stores.spool().whole(key)[0].path.read_bytes()
    intake.index(key)

    assert stores.vault().path(Instance.objects.get().digest).read_bytes() == before
    assert key not in stores.spool().keys()


def test_the_same_object_again_is_counted_and_not_kept_twice():
    ds = make.dataset()
    study = make.received(ds)

    assert outcomes(ds) == ["duplicate"]
    study.refresh_from_db()
    assert (study.number_of_instances, study.duplicates) == (1, 1)


def test_the_same_object_with_another_file_meta_is_a_duplicate_too():
    ds = make.dataset()
    make.received(ds)
    other = again(ds)
    other.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"

    assert outcomes(other) == ["duplicate"]


def test_the_same_uid_with_other_content_is_kept_beside_it_and_blocks():
    ds = make.dataset()
    study = make.received(ds)

    assert outcomes(again(ds, SeriesDescription="Altered")) == ["conflict"]
    assert findings(study)["same_uid_other_content"] == "block"
    assert Instance.objects.filter(sop_instance_uid=ds.SOPInstanceUID).count() == 2


def test_another_patients_objects_under_the_same_study_uid_are_a_part_of_their_own_that_blocks():
    ds = make.dataset()
    first = make.received(ds)
    outcomes(sibling(ds, PatientID="OTHER", PatientName="Schmidt^Karl", PatientBirthDate="19400101"))

    second = Study.objects.get(study_instance_uid=ds.StudyInstanceUID, part=1)
    assert (second.patient_id, second.number_of_instances) == ("OTHER", 1)
    assert findings(second)["another_patient"] == "block"
    first.refresh_from_db()
    assert first.number_of_instances == 1


@pytest.mark.parametrize("state", ["released", "rejected"])
def test_what_comes_after_the_gate_is_a_supplement_that_points_to_the_first(state):
    ds = make.dataset()
    first = make.received(ds)
    for step in make._STEPS[state]:
        step(first, None)
    outcomes(sibling(ds))

    late = Study.objects.get(study_instance_uid=ds.StudyInstanceUID, part=1)
    assert (late.follows, late.state) == (first, "receiving")
    assert "supplement" in findings(late)


def test_a_rejected_study_that_is_sent_again_comes_back_to_the_queue():
    ds = make.dataset()
    first = make.received(ds)
    for step in make._STEPS["rejected"]:
        step(first, None)

    assert outcomes(ds) == ["held"]


@pytest.mark.parametrize("state", ["mapped", "cleared"])
def test_objects_that_arrive_after_a_decision_undo_it(state):
    ds = make.dataset()
    study = make.received(ds)
    for step in make._STEPS[state]:
        step(study, None)
    seen = Study.objects.get(pk=study.pk)
    outcomes(sibling(ds))

    study.refresh_from_db()
    assert (study.state, study.number_of_instances) == ("held", 2)
    assert (study.mapping, study.consent, study.local_patient) == (None, None, None)
    assert study.version > seen.version
    assert "late_objects" in findings(study)
    assert LedgerLine.objects.filter(verb="reopen", subject_key=str(study.pk)).count() == 1


def test_objects_of_another_source_never_join_a_study():
    ds = make.dataset()
    first = make.received(ds)
    intake.index(make.spooled(sibling(ds, PatientName="", PatientID="", PatientBirthDate=""), of=make.source("City")))

    first.refresh_from_db()
    assert first.number_of_instances == 1
    assert findings(Study.objects.get(part=1))["another_source"] == "override"


def test_a_blank_object_first_takes_no_study_from_its_real_source():
    ds = make.dataset()
    intake.index(make.spooled(sibling(ds, PatientName="", PatientID="", PatientBirthDate=""), of=make.source("City")))
    outcomes(ds)

    real = Study.objects.get(part=1)
    assert (real.source, real.patient_id) == (make.source(), "OUT-7781")


def test_an_object_that_names_nobody_goes_where_its_series_is_when_there_are_several_parts():
    anna = make.dataset()
    bob = make.dataset(
        StudyInstanceUID=anna.StudyInstanceUID, PatientName="Ode^Bob", PatientID="B", PatientBirthDate="19500101"
    )
    make.received(anna)
    make.received(bob)
    outcomes(sibling(bob, PatientName="", PatientID="", PatientBirthDate=""))

    parts = Study.objects.order_by("part")
    assert [(one.patient_id, one.number_of_instances) for one in parts] == [("OUT-7781", 1), ("B", 2)]


@pytest.mark.parametrize(
    "other",
    [
        {"PatientSex": "M"},
        {"PatientName": "Lopez^Maria", "PatientBirthDate": ""},
        {"PatientName": "山田^太郎", "PatientBirthDate": ""},
        {"PatientID": "OUT-7782"},
        {"PatientBirthDate": "19610305"},
        {"IssuerOfPatientID": "ELSEWHERE"},
    ],
)
def test_one_fact_of_another_person_keeps_objects_apart(other):
    ds = make.dataset(PatientName="Garcia^Maria", IssuerOfPatientID="HERE")
    ds.SpecificCharacterSet = "ISO_IR 192"
    make.received(ds)
    outcomes(sibling(ds, **other))

    assert findings(Study.objects.get(part=1))["another_patient"] == "block"


@pytest.mark.parametrize(
    "other",
    [{"PatientName": "MUELLER^ANNA^MARIA"}, {"PatientName": "Schmidt^Anna"}, {"PatientBirthDate": "1961.03.04"}],
)
def test_one_person_written_otherwise_stays_together(other):
    ds = make.dataset()
    study = make.received(ds)
    outcomes(sibling(ds, **other))

    study.refresh_from_db()
    assert study.number_of_instances == 2


def test_what_comes_late_is_judged_like_what_came_first():
    ds = make.dataset()
    study = make.received(ds)
    intake.settle(study)
    outcomes(sibling(ds, PatientIdentityRemoved="YES", BurnedInAnnotation="YES"))

    assert {"deidentified", "burned_in"} <= findings(study).keys()


def test_the_same_bytes_under_another_transfer_syntax_are_no_duplicate():
    ds = make.dataset()
    make.received(ds)
    other = again(ds)
    other.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    key = make.spooled(ds)
    arrival = stores.spool().whole(key)[0].path
    arrival.write_bytes(relabelled(arrival.read_bytes()))

    assert [one.outcome for one in intake.index(key)] != ["duplicate"]


def relabelled(file: bytes) -> bytes:
    """The file meta says JPEG 2000 (as long a UID as RLE with a digit more), the data set is the same."""
    return file.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)


def test_a_file_that_cannot_be_read_is_kept_listed_and_explained(data_dir):
    spool = stores.spool()
    with intake_submission(spool) as submission, submission.part(name="IMG1") as part:
        part.write(b"this is no image")
        part.commit()
    (outcome,) = intake.index(submission.key)

    listed = Unreadable.objects.get()
    assert outcome.outcome == "rejected"
    assert (listed.name, listed.reason) == ("IMG1", outcome.reason)
    assert stores.vault().path(listed.digest).read_bytes() == b"this is no image"


def test_hostile_objects_are_held_or_explained_and_the_good_one_beside_them_is_held(data_dir):
    with intake_submission(stores.spool()) as submission:
        for name, (make_it, _) in {**hostile.OBJECTS, "good": (hostile.dicom, hostile.HELD)}.items():
            with submission.part(name) as part:
                part.write(make_it())
                part.commit()
    found = {outcome.path: outcome.outcome for outcome in intake.index(submission.key)}

    assert found == {name: end for name, (_, end) in hostile.OBJECTS.items()} | {"good": "held"}
    kept = [*Instance.objects.values_list("digest", flat=True), *Unreadable.objects.values_list("digest", flat=True)]
    assert len(kept) == len(found)
    assert all(stores.vault().has(digest) for digest in kept)
    assert all(Unreadable.objects.values_list("reason", flat=True))


def other_meta(ds):
    """The same data set in a file of other bytes."""
    other = again(ds)
    other.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    return other


def test_a_rejected_object_that_comes_again_in_other_bytes_has_those_bytes_in_the_vault():
    ds = make.dataset()
    first = make.received(ds)
    for step in make._STEPS["rejected"]:
        step(first, None)

    assert outcomes(other_meta(ds)) == ["held"]
    digests = set(Instance.objects.values_list("digest", flat=True))
    assert len(digests) == 2
    assert all(stores.vault().has(digest) for digest in digests)


def test_what_was_a_duplicate_until_this_moment_is_kept_after_all(monkeypatch):
    ds = make.dataset()
    first = make.received(ds)
    for step in make._STEPS["rejected"]:
        step(first, None)
    monkeypatch.setattr(filing, "worth_keeping", lambda reads: [])  # as it was before the rejection

    assert outcomes(other_meta(ds)) == ["held"]
    assert all(stores.vault().has(one.digest) for one in Instance.objects.all())


def test_the_journal_says_what_the_vault_keeps_and_whence_it_came():
    ds = make.dataset()
    source = make.source("General Hospital")
    key = make.spooled(ds, ds, sibling(ds), of=source)
    intake.index(key)

    story = stores.journal().read(key)
    assert (story.source["name"], story.origin.calling_title) == ("General Hospital", "SENDER")
    kept = {one.sop_instance_uid: one.digest for one in Instance.objects.all()}
    assert [entries for _, entries in story.batches] == [
        [Entry(1, kept.pop(ds.SOPInstanceUID), ""), Entry(3, *kept.values(), "")]
    ]
    assert story.closed


def test_an_open_door_that_has_brought_nothing_is_no_submission_yet(data_dir):
    with intake_submission(stores.spool()) as submission:
        assert intake.index(submission.key) == []
        assert not Submission.objects.exists()


def test_a_submission_that_failed_is_not_asked_again_at_every_look(monkeypatch, data_dir):
    make.spooled(make.dataset())
    tries = []
    monkeypatch.setattr(intake, "index", lambda key: tries.append(key) or 1 / 0)
    delays = intake.Delays()
    for _ in range(50):
        intake.index_all(delays)

    assert len(tries) == 1


def test_a_batch_asks_the_database_as_often_for_many_objects_as_for_few(django_assert_num_queries):
    first = make.dataset()
    make.received(first)
    few, many = ([sibling(first) for _ in range(count)] for count in (2, 40))
    with CaptureQueriesContext(connection) as asked:
        intake.index(make.spooled(*few))

    with django_assert_num_queries(len(asked)):
        intake.index(make.spooled(*many))


def intake_submission(spool):
    return spool.open(intake_origin())


def intake_origin():
    from_here = make.source()
    return make.Origin(door="media", source=str(from_here.pk))


def test_killed_after_the_vault_and_before_the_rows_it_ends_in_the_same_state(monkeypatch):
    key = make.spooled(make.dataset())
    monkeypatch.setattr(intake, "write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        intake.index(key)
    monkeypatch.undo()

    assert [outcome.outcome for outcome in intake.index(key)] == ["held"]


def test_killed_after_the_rows_and_before_the_spool_it_keeps_one_copy():
    key = make.spooled(make.dataset())
    submission = intake.begin(key, stores.spool().origin(key))
    reads = intake.read(stores.spool().whole(key))
    intake._keep_and_write(submission, reads, reads)

    assert [outcome.outcome for outcome in intake.index(key)] == ["duplicate"]
    assert Instance.objects.count() == 1
    assert stores.vault().has(Instance.objects.get().digest)


def test_a_study_settles_when_its_door_is_done_and_it_has_been_quiet(settings):
    study = make.received()
    assert list(intake.quiet()) == []

    Study.objects.update(last_arrival_at=timezone.now() - timedelta(seconds=settings.SETTLE_SECONDS + 1))
    assert [one.pk for one in intake.quiet()] == [study.pk]


def test_a_study_does_not_settle_while_its_door_is_open(settings):
    make.received()
    Study.objects.update(last_arrival_at=timezone.now() - timedelta(seconds=settings.SETTLE_SECONDS + 1))
    Submission.objects.update(closed_at=None)

    assert list(intake.quiet()) == []


def test_a_disc_with_several_patients_is_a_finding_on_each_of_them():
    one = make.dataset()
    two = make.dataset(PatientID="X", PatientName="Schmidt^Karl")
    intake.index(make.spooled(one, two))
    for study in Study.objects.all():
        intake.settle(study)

    assert [findings(study)["several_patients"] for study in Study.objects.all()] == ["override", "override"]


def test_one_bad_submission_does_not_stop_the_others(monkeypatch):
    bad, good = make.spooled(make.dataset()), make.spooled(make.dataset())
    index = intake.index
    monkeypatch.setattr(intake, "index", lambda key: 1 / 0 if key == bad else index(key))

    assert intake.index_all() >= 1
    assert Submission.objects.filter(pk=good).exists()


def test_reception_and_the_end_of_a_submission_are_in_the_ledger():
    study = make.received()

    assert LedgerLine.objects.filter(verb="receive", subject_key=str(study.pk)).count() == 1
    assert LedgerLine.objects.get(verb="end of submission").detail == {"objects": 1, "unreadable": 0}
