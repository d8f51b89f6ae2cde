import pytest

from policies.models import LedgerLine
from policies.problems import Conflict, Invalid
from reconciliation import clearance, mapping
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.django_db


def planned(changes):
    return {change.path: change for change in changes}


def test_the_preview_shows_what_came_and_what_will_be_and_stores_nothing():
    study, order = make.study("held"), make.order()
    changes = planned(mapping.preview(study, order=order))

    assert changes["PatientID"].old == ["OUT-7781"]
    assert changes["PatientID"].new == order.patient.identifier().value
    assert changes["AccessionNumber"].new == order.accession_number
    assert Study.objects.get(pk=study.pk).mapping is None


def test_the_mapping_stores_the_changes_that_were_shown():
    study, order = make.study("held"), make.order()
    shown = planned(mapping.preview(study, order=order))
    made = mapping.apply(study, order=order, intent="read", by=make.user("desk"))

    stored = planned(mapping.changes(made))
    assert stored.keys() == shown.keys()
    assert stored["PatientName"] == shown["PatientName"]
    assert (study.state, study.local_patient, study.intent) == ("mapped", order.patient, "read")


def test_an_import_without_an_order_empties_the_foreign_accession_number():
    study, patient = make.study("held"), make.patient()
    made = mapping.apply(study, patient=patient, intent="reference", by=make.user("desk"))

    changes = planned(mapping.changes(made))
    assert changes["AccessionNumber"].action == "empty"
    assert changes["RequestAttributesSequence"].action == "remove"


def test_the_foreign_id_is_kept_with_its_issuer():
    study = make.study("held")
    change = planned(mapping.preview(study, order=make.order()))["OtherPatientIDsSequence"]

    assert {"PatientID": "OUT-7781", "IssuerOfPatientID": study.source.issuer, "TypeOfPatientID": "TEXT"} in change.new


@pytest.mark.parametrize("intent", ["", "perhaps"])
def test_the_intent_has_to_be_said(intent):
    with pytest.raises(Invalid, match="for reference or to be read"):
        mapping.apply(make.study("held"), order=make.order(), intent=intent, by=make.user("desk"))


def test_a_cancelled_order_is_not_taken():
    with pytest.raises(Invalid, match="cancelled"):
        mapping.preview(make.study("held"), order=make.order(status="cancelled"))


def test_an_order_of_another_patient_is_not_taken():
    with pytest.raises(Invalid, match="another patient's"):
        mapping.apply(
            make.study("held"), order=make.order(), patient=make.patient(), intent="read", by=make.user("desk")
        )


def test_an_order_that_changed_meanwhile_is_not_taken():
    study, order = make.study("held"), make.order()
    type(order).objects.get(pk=order.pk).save()  # somebody else saves it

    with pytest.raises(Conflict, match="has changed meanwhile"):
        mapping.apply(study, order=order, intent="read", by=make.user("desk"))


def test_undoing_takes_everything_with_it_that_hung_on_the_mapping():
    study = make.study("cleared")
    mapping.unmap(study, by=make.user("desk"), reason="Wrong twin.")

    left = (study.local_patient, study.order, study.mapping, study.consent, study.retention, study.intent)
    assert study.state == "held"
    assert left == (None, None, None, None, None, "")
    assert study.mappings.get().undone_at is not None


def test_a_choice_that_contradicts_what_was_received_has_to_be_overridden_with_a_reason():
    study, karin = make.study("held", PatientSex="M", PatientBirthDate="19810406"), make.order()
    make.rule()
    mapping.apply(study, order=karin, intent="read", by=make.user("desk"))

    assert "contradicts what was received" in study.findings.get(code="mapping_conflict").sentence
    with pytest.raises(Conflict, match="Somebody who may override findings"):
        clearance.clear(study, consent=make.CONSENT, by=make.user("desk"))
    seen = {"mapping_conflict": "Passport seen; the sender's header is wrong."}
    clearance.clear(study, consent=make.CONSENT, overrides=seen, by=make.user("releaser"))
    assert LedgerLine.objects.get(verb="map").detail["match"].startswith("conflict")


def test_an_order_that_has_a_study_already_is_objected_to():
    order = make.order()
    make.study("mapped", to=order)
    study = make.study("mapped", to=order)

    assert study.findings.filter(code="mapping_order_taken", severity="override").exists()


def test_what_spoke_against_a_mapping_goes_with_it():
    study = make.study("held", PatientSex="M")
    mapping.apply(study, order=make.order(), intent="read", by=make.user("desk"))
    mapping.unmap(study, by=make.user("desk"))

    assert not study.findings.filter(code__startswith="mapping_").exists()
