"""Record quality as managers set it: what is found, looked at again, kept apart, and told to senders."""

import pytest
from django.utils.module_loading import import_string

from policies.models import LedgerLine, QualityRule
from policies.problems import Denied
from reconciliation import automatic, defects, mapping, quality, queue, release, tasks
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(monkeypatch, django_capture_on_commit_callbacks):
    """Does at once what the bell asks for."""
    monkeypatch.setattr("policies.bell.async_task", lambda task, key: import_string(task)(key))
    return django_capture_on_commit_callbacks


def rule(code="body-part", **columns):
    asked = {"kind": "required", "attribute": "BodyPartExamined", "severity": "block", **columns}
    return QualityRule.objects.update_or_create(code=code, defaults=asked)[0]


def found(study):
    return {one.code: one.severity for one in study.findings.all()}


def test_any_attribute_of_the_objects_is_asked_for():
    rule(code="detector-id", attribute="DetectorID")

    assert found(make.study()) == {"detector-id": "block"}
    assert found(make.study(DetectorID="D-1")) == {}


def test_a_column_is_asked_for_without_reading_objects(monkeypatch):
    rule(attribute="StudyID", kind="values", accepted="17\n18")
    study = make.received(make.dataset(StudyID="19"))
    monkeypatch.setattr("reconciliation.samples.read", None)

    assert [one.code for one in quality.decide(study).found] == ["body-part"]


def test_a_rule_of_another_source_asks_nothing():
    rule(attribute="DetectorID", source=make.source("City Clinic"))

    assert found(make.study()) == {}
    assert found(make.study(of=make.source("City Clinic"))) == {"body-part": "block"}


def test_a_built_in_check_takes_the_severity_that_managers_gave_it():
    QualityRule.objects.filter(code="birth_date_missing").update(severity="block")

    assert found(make.study(PatientBirthDate="")) == {"birth_date_missing": "block"}


def test_a_check_whose_row_is_gone_is_asked_as_ever():
    QualityRule.objects.all().delete()

    assert found(make.study(PatientBirthDate="")) == {"birth_date_missing": "warn"}


def test_held_studies_are_looked_at_again_with_the_rules_as_they_are_now():
    study = make.study(PatientBirthDate="")
    QualityRule.objects.filter(code="birth_date_missing").update(active=False)
    rule(attribute="DetectorID")
    tasks.look_again("")

    assert found(study) == {"body-part": "block"}
    assert LedgerLine.objects.get(verb="inspect again").detail == {"findings": ["body-part"]}
    assert quality.look_at_all() == 0


def test_what_was_overridden_or_found_by_no_rule_stays():
    study = make.study(PatientName="")
    study.findings.create(code="another_source", severity="override", sentence="From two sources.")
    finding = study.findings.get(code="patient_name_missing")
    finding.overridden_by, finding.override_reason = make.user("releaser"), "Known here."
    finding.overridden_at = study.received_at
    finding.save()
    QualityRule.objects.filter(code="patient_name_missing").update(active=False)
    quality.look_at_all()

    assert found(study) == {"another_source": "override", "patient_name_missing": "override"}


def test_only_held_studies_are_looked_at_again():
    study = make.study("mapped")
    rule(attribute="DetectorID")
    quality.look_at_all()

    assert found(study) == {}


def test_one_bad_study_does_not_stop_the_look(monkeypatch):
    bad, good = make.study(), make.study()
    rule(attribute="DetectorID")
    sound = quality.decide

    def decide(study, given=None):
        if study.pk == bad.pk:
            raise OSError("the disk")
        return sound(study, given)

    monkeypatch.setattr(quality, "decide", decide)

    assert quality.look_at_all() == 1
    assert found(good) == {"body-part": "block"}


def test_a_rule_never_changes_what_the_portal_itself_found():
    study = make.study()
    study.findings.create(code="body-part", severity="block", sentence="The portal's own.")
    rule(attribute="DetectorID", severity="warn")
    quality.look_at_all()

    assert found(study) == {"body-part": "block"}


# --- kept apart ------------------------------------------------------------------------------------------------------


def apart():
    rule(attribute="DetectorID", follows="segregate", severity="warn")
    study = make.study()
    assert study.segregated
    return study


def test_a_study_kept_apart_leaves_the_tabs_and_stands_under_its_own():
    study, desk = apart(), make.user("desk")
    counts = queue.counts(desk)

    assert (counts["held"], counts["segregated"]) == (0, 1)
    assert list(queue.studies(desk, {"state": "open"})) == []
    assert list(queue.studies(desk, {"state": "open", "segregated": "1"})) == [study]


@pytest.mark.parametrize("asked", [{"q": "MUELLER"}, {"finding": "body-part"}])
def test_it_is_found_by_words_and_by_its_finding(asked):
    study = apart()

    assert list(queue.studies(make.user("desk"), {"state": "open", **asked})) == [study]


def test_it_is_never_matched_by_the_portal():
    study = apart()
    policy = make.policy()

    assert automatic.why_not(study, policy, None) == "A person decides about this study."


def test_it_comes_back_when_the_rule_goes():
    study = apart()
    QualityRule.objects.filter(code="body-part").delete()
    quality.look_at_all()

    assert not Study.objects.get(pk=study.pk).segregated


@pytest.mark.parametrize("state", ["held", "mapped", "cleared"])
def test_it_comes_back_when_later_objects_say_what_was_missing(state):
    rule(code="study-id", attribute="StudyID", follows="segregate", severity="warn")
    study = make.study(state, StudyID="")
    assert study.segregated
    make.received(make.dataset(StudyInstanceUID=study.study_instance_uid, StudyID="17"))
    study.refresh_from_db()

    assert (study.state, study.segregated) == ("held", False)
    assert "study-id" not in found(study)


def test_a_supplement_of_what_is_past_the_gate_is_judged_by_itself():
    rule(attribute="DetectorID", follows="segregate", severity="warn")
    first = make.study("delivered")
    part = make.received(make.dataset(StudyInstanceUID=first.study_instance_uid, DetectorID="D-1"))
    make._settle(part, None)

    assert (part.part, Study.objects.get(pk=part.pk).segregated) == (1, False)


@pytest.mark.parametrize("state", ["mapped", "cleared"])
def test_what_is_decided_comes_back_too_when_the_rule_goes_and_keeps_its_findings(state):
    rule(attribute="DetectorID", follows="segregate", severity="warn")
    study = make.study(state)
    QualityRule.objects.filter(code="body-part").delete()
    quality.look_at_all()

    assert not Study.objects.get(pk=study.pk).segregated
    assert found(study)["body-part"] == "warn"


@pytest.mark.parametrize(("state", "undo"), [("mapped", mapping.unmap), ("rejected", release.reinstate)])
def test_a_study_that_is_held_again_is_asked_anew(state, undo, worker):
    rule(attribute="DetectorID", follows="segregate", severity="warn")
    study = make.study(state)
    QualityRule.objects.filter(code="body-part").delete()
    with worker(execute=True):
        undo(study, by=make.user("releaser"))

    assert not Study.objects.get(pk=study.pk).segregated
    assert "body-part" not in found(study)


def test_what_is_delivered_is_not_kept_apart():
    rule(attribute="DetectorID", follows="segregate", severity="warn")
    study = make.study("delivered")

    assert list(queue.studies(make.user("desk"), {"state": "delivered"})) == [study]
    assert queue.counts(make.user("desk"))["segregated"] == 0


# --- told ------------------------------------------------------------------------------------------------------------


def test_a_rejection_writes_a_letter_that_names_no_patient():
    study = make.study(PatientBirthDate="", PatientName="Mueller^Anna")
    study.findings.create(code="supplement", severity="warn", sentence="Filed under Mueller Anna.")
    release.reject(study, reason=make.reason(), by=make.user("releaser"), comment="Mueller was here.")
    letter = study.letters.get()

    assert "The study has no birth date." in letter.text
    assert "These are not our patient's images." in letter.text
    assert "OUT-7781" in letter.text
    assert "mueller" not in letter.text.lower()
    assert str(letter.made_by) == "Releaser"


def test_a_rejection_that_is_refused_writes_none():
    study = make.study()
    with pytest.raises(Denied):
        release.reject(study, reason=make.reason(), by=make.user("desk"))

    assert not study.letters.exists()


# --- counted ---------------------------------------------------------------------------------------------------------


def test_the_numbers_are_of_sources_that_one_may_see():
    clinic = make.source("City Clinic")
    make.study(PatientBirthDate="")
    make.study(of=clinic, PatientBirthDate="", StudyDate="")
    table = defects.table(make.user("manager"))
    mine = defects.table(make.user("own", grants=[("view", clinic, None), ("audit", None, None)]))

    assert table.codes == ["birth_date_missing", "study_date_missing"]
    assert {row.source.name: (row.studies, row.counts) for row in table.rows} == {
        "City Clinic": (1, [1, 1]),
        "General Hospital": (1, [1, 0]),
    }
    assert [row.source for row in mine.rows] == [clinic]


def test_the_numbers_take_the_same_few_questions_for_any_number_of_sources(django_assert_max_num_queries):
    for n in range(4):
        make.study(of=make.source(f"Clinic {n}"), PatientBirthDate="")
    user = make.user("manager")
    with django_assert_max_num_queries(4):
        defects.table(user)


def test_the_numbers_are_not_for_the_desk():
    with pytest.raises(Denied):
        defects.table(make.user("desk"))
