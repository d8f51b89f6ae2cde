import pytest

from orders.models import CrossReference
from policies import audit
from policies.rules.objections import PREFIX
from reconciliation import mapping, matching, workflow
from reconciliation.models import Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
STANDING = {"ended_at": None, "origin": "decision"}


def test_a_release_links_the_outside_id_to_the_patient_and_says_so():
    study = make.study("released")

    link = CrossReference.objects.get(**STANDING)
    assert (link.patient, link.value, link.issuer) == (study.local_patient, "OUT-7781", "GENERAL HOSPITAL")
    assert audit.history(study.local_patient).filter(verb="link").count() == 1


@pytest.mark.parametrize("said", [{"PatientID": ""}, {"PatientIdentityRemoved": "YES"}])
def test_nothing_is_linked_by_a_study_that_names_nobody(said):
    study = make.study("mapped", **said)
    Study.objects.get(pk=study.pk).findings.update(
        overridden_by=make.user("releaser"), overridden_at=study.received_at, override_reason="Known"
    )
    for step in (make._clear, make._release):
        step(Study.objects.get(pk=study.pk), None)

    assert not CrossReference.objects.exists()


def test_the_next_study_of_the_sender_shows_the_link_with_its_origin():
    first = make.study("released")
    type(first.local_patient).objects.update(name="Schneider^Anna", name_key="SCHNEIDER ANNA")

    proposal = make.study("held").proposals.first()

    assert proposal.patient == first.local_patient
    identifier = proposal.evidence[0]
    assert identifier["agreement"] == "same"
    assert "linked: confirmed on" in identifier["rule"]
    assert "by Releaser" in identifier["rule"]


def test_a_link_finds_a_patient_whom_nothing_else_would_find():
    first = make.study("released")
    type(first.local_patient).objects.update(name="Zephyr^Q", name_key="ZEPHYR Q", birth_date=None)

    assert [one.patient for one in make.study("held").proposals.all()] == [first.local_patient]


def test_another_senders_number_is_not_linked():
    make.study("released")
    other = make.study("held", of=make.source("Lakeside Clinic"))

    assert other.proposals.first().evidence[0]["agreement"] == "missing"


def test_an_undone_release_ends_its_link_unless_another_confirms_it():
    one, two = make.study("released"), make.study("released")

    workflow.undecide(one)
    assert CrossReference.objects.filter(**STANDING).count() == 1
    Study.objects.filter(pk=one.pk).update(state="held")
    workflow.undecide(two)

    assert not CrossReference.objects.filter(**STANDING).exists()
    assert audit.history(two.local_patient).filter(verb="unlink").count() == 1


def test_an_id_confirmed_for_another_patient_speaks_against_a_choice():
    make.study("released")
    study, other = make.study("held"), make.order(make.patient("Mueller^Anna"))
    mapping.apply(study, by=make.user("desk"), intent="reference", order=other)

    assert study.findings.get(code=f"{PREFIX}another_number").severity == "override"


def test_an_id_of_a_known_patient_speaks_against_another_choice():
    make.patient("Mueller^Anna", ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")])
    study, other = make.study("held"), make.order(make.patient("Mueller^Anna"))

    assert f"{PREFIX}another_number" in [
        one.code for one in mapping.objections(study, patient=other.patient, order=other)
    ]


def test_two_people_with_one_number_of_one_domain_are_a_finding_until_they_are_not():
    make.authority("GH", "GENERAL HOSPITAL")
    one = make.patient("Mueller^Anna", ids=[("OUT-7781", "GH")])
    make.patient("Mueller^Anna", ids=[("OUT-7781", "GENERAL HOSPITAL")])
    study = make.study("held")
    assert study.findings.get(code="number_of_two_people").is_open

    one.identifiers.all().delete()
    matching.propose(study)

    assert not study.findings.filter(code="number_of_two_people").exists()


def test_a_link_follows_a_merge():
    first = make.study("released")
    survivor = make.patient("Mueller-Schneider^Anna")
    make.merge(first.local_patient, survivor)

    study = make.study("held")
    assert mapping.objections(study, patient=survivor) == []
    assert "linked: confirmed on" in study.proposals.get(patient=survivor).evidence[0]["rule"]


def test_releasing_again_links_once():
    make.study("released"), make.study("released")

    assert CrossReference.objects.filter(**STANDING).count() == 1
