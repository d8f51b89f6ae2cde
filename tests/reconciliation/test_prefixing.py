"""Studies that are read for others: imported under the sender's number with a prefix, and linked to nobody."""

import pytest

from orders import queries
from orders.models import CrossReference, Patient
from policies.models import CoercionRule, LedgerLine
from policies.problems import Conflict, Denied, Invalid
from reconciliation import clearance, mapping, ordering, prefixing, release
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinic():
    source = make.source("City Clinic", category="teleradiology")
    CoercionRule.objects.create(
        name="City Clinic, read for them",
        kind="prefix",
        text="CC-",
        issuer="LOCAL",
        source=source,
        category=source.category,
    )
    return source


def chosen(study):
    return prefixing.patient(study, by=make.user("desk"))


def test_the_number_with_its_prefix_goes_into_the_objects(clinic):
    study = make.study(of=clinic)
    changes = {one.path: one for one in mapping.preview(study, patient=chosen(study))}

    assert changes["PatientID"].new == "CC-OUT-7781"
    assert changes["IssuerOfPatientID"].new == "LOCAL"
    assert changes["PatientName"].new == "Mueller^Anna"
    assert changes["PatientBirthDate"].new == "19610304"
    assert changes["AccessionNumber"].action == "empty"
    assert changes["RequestAttributesSequence"].action == "remove"
    assert "OtherPatientIDsSequence" not in changes


def test_the_same_number_is_the_same_record(clinic):
    one, other = make.study(of=clinic), make.study(of=clinic)

    assert chosen(one) == chosen(other)
    assert LedgerLine.objects.filter(verb="add", subject="patient").count() == 1


def test_nothing_speaks_against_the_record_made_from_the_study(clinic):
    study = make.study(of=clinic)

    assert mapping.objections(study, patient=chosen(study)) == []


def test_nothing_is_learned_from_it(clinic):
    study = make.study(of=clinic)
    mapping.apply(study, patient=chosen(study), intent="read", by=make.user("desk"))
    make.rule()
    clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"))
    release.release(study, to=[make.destination()], by=make.user("releaser"))

    assert not CrossReference.objects.exists()


def test_it_is_proposed_for_no_other_study(clinic):
    apart = chosen(make.study(of=clinic))
    theirs = make.study()

    assert not theirs.proposals.filter(patient=apart).exists()
    assert not queries.search_patients("Mueller").filter(pk=apart.pk).exists()
    with pytest.raises(Conflict, match="for studies that are read for others"):
        mapping.preview(theirs, patient=apart)


def test_it_is_never_filed_under_a_patient_or_order_of_ours(clinic):
    ours = make.order()
    study = make.study(of=clinic)
    chosen(study)
    for choice in ({"order": ours}, {"patient": ours.patient}):
        with pytest.raises(Conflict, match="under its own number with the prefix"):
            mapping.apply(study, intent="read", by=make.user("desk"), **choice)


def test_the_number_of_another_study_is_not_its_own(clinic):
    other = chosen(make.study(of=clinic, PatientID="OUT-1"))
    with pytest.raises(Conflict, match="its own number"):
        mapping.preview(make.study(of=clinic), patient=other)


def test_the_gate_is_shut_when_the_rule_came_after_the_mapping():
    study = make.study("cleared")
    Study.objects.filter(pk=study.pk).update(category="teleradiology")
    CoercionRule.objects.create(
        name="Later", kind="prefix", text="X-", issuer="LOCAL", source=study.source, category="teleradiology"
    )
    with pytest.raises(Conflict, match="Undo the mapping"):
        release.release(Study.objects.get(pk=study.pk), to=[make.destination()], by=make.user("releaser"))


@pytest.mark.parametrize(
    ("said", "why"), [({"PatientID": ""}, "no Patient ID"), ({"PatientID": "9" * 63}, "66 characters")]
)
def test_a_number_that_cannot_be_prefixed_is_refused(clinic, said, why):
    with pytest.raises(Invalid, match=why):
        chosen(make.study(of=clinic, **said))


def test_a_number_that_one_of_our_patients_has_is_refused(clinic):
    make.patient(ids=[("CC-OUT-7781", "LOCAL")])
    with pytest.raises(Conflict, match="a number of LOCAL already"):
        chosen(make.study(of=clinic))


def test_without_a_rule_or_the_power_there_is_no_such_record(clinic):
    with pytest.raises(Invalid, match="No rule says"):
        chosen(make.study())
    with pytest.raises(Denied):
        prefixing.patient(make.study(of=clinic), by=make.user("frontdesk"))
    assert not Patient.objects.filter(apart=True).exists()


def test_no_order_is_generated_for_it(clinic):
    study = make.study(of=clinic)
    with pytest.raises(Invalid, match="without an order"):
        ordering.generate(study, chosen(study), procedure=make.procedure(), by=make.user("desk"))
