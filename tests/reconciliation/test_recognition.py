import pytest
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from policies.models import LedgerLine
from reconciliation import intake, inventory, recognition, stores
from reconciliation.dicom.content import Comparer
from reconciliation.models import Finding, Instance, Study
from tests import make
from tests.reconciliation.test_intake import again, outcomes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def in_form(ds, syntax):
    """The same object in another transfer syntax."""
    other = again(ds)
    if syntax.is_encapsulated:
        other.compress(syntax, generate_instance_uid=False)
    else:
        other.file_meta.TransferSyntaxUID = syntax
    return other


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_the_same_content_in_another_transfer_syntax_is_counted_and_not_kept_twice(syntax):
    ds = make.dataset()
    study = make.received(ds)

    assert outcomes(in_form(ds, syntax)) == ["duplicate"]
    study.refresh_from_db()
    assert (study.number_of_instances, study.duplicates, study.findings.count()) == (1, 1, 0)
    assert Instance.objects.count() == 1


def test_both_forms_in_one_submission_are_one_object():
    ds = make.dataset()

    assert outcomes(ds, in_form(ds, RLELossless), in_form(ds, JPEGLSLossless)) == ["held", "duplicate", "duplicate"]


def test_staff_hear_that_it_came_in_another_form():
    ds = make.dataset()
    make.received(ds)
    (outcome,) = intake.index(make.spooled(in_form(ds, RLELossless)))

    assert "another form" in outcome.reason


def test_other_content_in_another_transfer_syntax_is_a_conflict_that_says_where_it_differs():
    ds = make.dataset()
    study = make.received(ds)

    assert outcomes(in_form(again(ds, SeriesDescription="Altered"), RLELossless)) == ["conflict"]
    finding = study.findings.get(code="same_uid_other_content")
    assert finding.severity == Finding.Severity.BLOCK
    assert finding.sentence.endswith("They differ in Series Description.")


def test_it_is_the_same_as_any_of_several_contents():
    ds = make.dataset()
    altered = again(ds, SeriesDescription="Altered")
    assert outcomes(ds, altered) == ["held", "conflict"]

    assert outcomes(in_form(altered, RLELossless), in_form(ds, RLELossless)) == ["duplicate", "duplicate"]


def test_what_cannot_be_compared_in_time_stays_a_conflict_with_its_reason(monkeypatch):
    monkeypatch.setattr(recognition, "SECONDS", -1)
    ds = make.dataset()
    study = make.received(ds)

    assert outcomes(in_form(ds, RLELossless)) == ["conflict"]
    assert "could not be compared" in study.findings.get().sentence


def test_an_object_that_stops_its_comparer_stays_a_conflict(monkeypatch):
    monkeypatch.setattr(stores, "comparer", lambda: Comparer(patience=-1))
    ds = make.dataset()
    make.received(ds)

    assert outcomes(in_form(ds, RLELossless)) == ["conflict"]


def test_a_form_of_a_rejected_study_is_held_again():
    ds = make.dataset()
    first = make.received(ds)
    for step in make._STEPS["rejected"]:
        step(first, None)

    assert outcomes(in_form(ds, RLELossless)) == ["held"]


def test_a_rejection_in_the_moment_of_recognition_loses_nothing(monkeypatch):
    ds = make.dataset()
    first = make.received(ds)
    recognised = recognition.recognised

    def slowly(reads):
        found = recognised(reads)
        for step in make._STEPS["rejected"]:
            step(first, None)
        return found

    monkeypatch.setattr(recognition, "recognised", slowly)

    assert outcomes(in_form(ds, RLELossless)) == ["held"]
    assert [one.kind for one in inventory.differences()] == []


def test_what_was_recognised_leaves_nothing_in_the_vault_and_no_line_in_the_journal():
    ds = make.dataset()
    make.received(ds)
    lines = LedgerLine.objects.filter(subject="study").count()
    outcomes(in_form(ds, RLELossless))

    assert [one.kind for one in inventory.differences()] == []
    assert LedgerLine.objects.filter(subject="study").count() == lines
    assert Study.objects.count() == 1
