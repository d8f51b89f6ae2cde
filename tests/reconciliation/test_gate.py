"""What was true when a study was cleared is asked again in the moment of its release."""

import copy
from datetime import timedelta

import pytest
from django.utils import timezone
from pydicom.uid import generate_uid

from policies.problems import Conflict
from reconciliation import gate, intake, mapping
from reconciliation.models import Delivery, Study
from reconciliation.release import reinstate, reject, release
from reconciliation.workflow import offered
from tests import make

pytestmark = pytest.mark.django_db


def refused(study) -> str:
    """Nothing goes out, and button and verb say the same."""
    study = Study.objects.get(pk=study.pk)
    with pytest.raises(Conflict) as refusal:
        release(study, to=[make.destination()], by=make.user("releaser"))
    assert Delivery.objects.count() == 0
    assert offered(study, make.user("releaser")).get("release", str(refusal.value)) == str(refusal.value)
    return str(refusal.value)


def test_a_cleared_study_with_nothing_against_it_may_go():
    assert gate.why_shut(make.study("cleared")) == ""


def test_a_finding_that_came_after_clearance_shuts_the_gate():
    study = make.study("cleared")
    study.findings.create(code="same_uid_other_content", severity="block", sentence="Two contents.")

    assert "Two contents." in refused(study)


def test_a_consent_that_has_ended_shuts_the_gate():
    study = make.study("cleared")
    study.consent.until = timezone.localdate() - timedelta(days=1)
    study.consent.save(update_fields=["until"])

    assert "consent ended" in refused(study)


def test_an_order_cancelled_meanwhile_shuts_the_gate():
    study = make.study("cleared")
    study.order.status = "cancelled"
    study.order.save()

    assert "was cancelled after" in refused(study)


def test_an_order_that_became_another_patients_shuts_the_gate():
    study = make.study("cleared")
    study.order.patient = make.patient("Schmidt^Karl")
    study.order.save()

    assert "another patient's by now" in refused(study)


def test_a_patient_renamed_or_renumbered_meanwhile_shuts_the_gate():
    study = make.study("cleared")
    study.local_patient.identifiers.update(value="HIJACKED-1")

    assert "Changed on our side since the study was mapped: Patient ID" in refused(study)


def test_two_parts_of_one_study_never_go_to_two_patients():
    ds = make.dataset()
    first = make.received(ds)
    for step in make._STEPS["released"]:
        step(first, None)
    late = copy.deepcopy(ds)
    late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    intake.index(make.spooled(late))
    second = Study.objects.get(part=1)
    intake.settle(second)

    with pytest.raises(Conflict, match="is filed under"):
        mapping.apply(second, patient=make.patient("Beta^B"), intent="reference", by=make.user("desk"))
    mapping.apply(second, patient=first.local_patient, intent="reference", by=make.user("desk"))


def test_a_reinstated_study_whose_objects_came_again_otherwise_does_not_pass():
    ds, officer = make.dataset(), make.user("releaser")
    study = make.received(ds)
    intake.settle(study)
    reject(study, reason=make.reason(), by=officer)
    other = copy.deepcopy(ds)
    other.SeriesDescription = "Altered"
    intake.index(make.spooled(other))
    reinstate(study, by=officer)
    for step in make._STEPS["cleared"][1:]:
        step(study, None)
        study.refresh_from_db()

    assert "two contents" in refused(study)


def test_what_is_stored_is_what_was_shown():
    study, order = make.study("held"), make.order()
    shown = mapping.fingerprint(mapping.preview(study, order=order))
    assert shown == mapping.fingerprint(mapping.preview(study, order=order))
    order.patient.name = "Other^Name"
    order.patient.save()
    order.refresh_from_db()

    with pytest.raises(Conflict, match="not what you were shown"):
        mapping.apply(study, order=order, intent="read", shown=shown, by=make.user("desk"))
