"""Auto-match, always through intake, proposals and the sweep: the clean case matches, and nothing else does."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from django.db import connection
from django.utils import timezone

from orders.models import CrossReference
from policies import audit
from policies.models import MatchingPolicy
from reconciliation import automatic, lease, mapping, tasks
from reconciliation.models import Finding, Study
from tests import make

pytestmark = pytest.mark.django_db
NUMBER = "OUT-7781"  # the outside ID of `make.dataset`


@pytest.fixture(autouse=True)
def approved(data_dir, db) -> MatchingPolicy:
    make.authority("GENERAL HOSPITAL")
    return make.policy()


def known(name: str = "Mueller^Anna", *, number: str = NUMBER, **columns):
    """A patient whom General Hospital has named before, with an open order for what comes."""
    ids = [(f"MRN{next(make.count):05}", "LOCAL"), *([(number, "GENERAL HOSPITAL")] if number else [])]
    return make.order(make.patient(name, ids=ids, **columns))


def swept(**keywords) -> Study:
    """A study that came in, settled, was compared, and was looked at by a sweep."""
    study = make.study("held", **keywords)
    tasks.sweep()
    return Study.objects.get(pk=study.pk)


def why_left(study: Study, policy: MatchingPolicy) -> str:
    return automatic.why_not(study, policy, automatic.matching.look(study))


def test_the_clean_case_is_mapped_by_the_policy_and_says_so(approved):
    order = known()

    study = swept()

    assert (study.state, study.order, study.intent) == ("mapped", order, "reference")
    said = f"By policy of General Hospital, approved by Manager on {timezone.localdate():%Y-%m-%d}."
    assert (study.mapping.by_policy, study.mapping.made_by) == (said, approved.approved_by)
    line = audit.history(study).get(verb="map")
    assert (line.actor, line.reason) == (audit.PORTAL, said)
    assert (study.consent, study.released_at) == (None, None)


def test_nothing_is_matched_while_the_policy_is_off(approved):
    MatchingPolicy.objects.update(automatic=False)
    known()

    assert swept().state == "held"


def test_twins_are_left_to_a_person():
    known("Mueller^Anna")
    known("Mueller^Anne", number="")

    assert swept(PatientName="Mueller^Ann").state == "held"


def test_twins_with_the_same_initial_are_left_to_a_person():
    known("Mueller^Anna")
    known("Mueller^Andrea", number="")

    assert swept(PatientName="Mueller^A").state == "held"


def test_a_newborn_without_a_name_is_left_to_a_person():
    known("Mueller^BABY BOY", birth_date=date(2026, 11, 20), sex="M")
    known("Mueller^Jonas", number="", birth_date=date(2026, 11, 20), sex="M")

    held = swept(PatientName="Mueller^BABY BOY", PatientBirthDate="20261120", PatientSex="M")

    assert held.state == "held"


def test_father_and_son_are_left_to_a_person():
    known("Mueller^Karl", birth_date=date(1961, 3, 4), sex="M")
    known("Mueller^Karl", number="", birth_date=date(1991, 3, 4), sex="M")

    assert swept(PatientName="Mueller^Karl", PatientBirthDate="19910304", PatientSex="M").state == "held"


def test_one_patient_under_two_ids_is_left_to_a_person():
    known("Mueller^Anna")
    known("Mueller^Anna", number="OUT-9999")

    assert swept().state == "held"


def test_two_patients_under_one_id_are_a_finding_and_left_to_a_person():
    make.authority("GH", "GENERAL", trusted=True)
    make.source("General", issuer="GENERAL")
    known("Mueller^Anna", number="")
    for name, issuer in (("Mueller^Anna", "GH"), ("Schmidt^Karl", "GENERAL")):
        make.order(make.patient(name, ids=[(NUMBER, issuer)]))
    make.policy(make.source("General"))

    study = make.study("held", of=make.source("General"))
    tasks.sweep()

    assert Study.objects.get(pk=study.pk).state == "held"
    assert study.findings.get(code="number_of_two_people").severity == "override"


def test_a_source_in_quarantine_is_left_to_a_person():
    known()
    source = make.source("General Hospital")
    source.trust = source.Trust.QUARANTINE
    source.save(update_fields=["trust"])

    assert swept().state == "held"


def test_a_de_identified_study_is_left_to_a_person():
    known()

    assert swept(PatientIdentityRemoved="YES").state == "held"


@pytest.mark.parametrize(
    "ours", ["Schneider^Anna", "Mueller-Schneider^Anna", "Anna^Mueller", "Miller^Anna", "Mueller^A"]
)
def test_a_married_swapped_misspelt_or_short_name_is_left_to_a_person(ours):
    known(ours)

    assert swept().state == "held"


@pytest.mark.parametrize("ours", ["MÜLLER^Anna", "Mueller^Anna^Maria", "mueller^anna"])
def test_another_spelling_of_the_same_name_is_the_same_name(ours):
    known(ours)

    assert swept().state == "mapped"


def test_a_transposed_birth_date_is_left_to_a_person():
    known(birth_date=date(1961, 4, 3))

    assert swept().state == "held"


def test_an_issuer_that_is_not_trusted_is_no_ground(approved):
    automatic.domains.AssigningAuthority.objects.update(trusted=False)
    known()

    assert swept().state == "held"


def test_a_link_from_a_decision_proposes_and_never_acts():
    order = known(number="")
    CrossReference.objects.create(
        patient=order.patient, value=NUMBER, issuer="GENERAL HOSPITAL", origin="decision", by="Rita", at=timezone.now()
    )

    study = swept()

    assert study.state == "held"
    assert "linked: confirmed on" in study.proposals.first().evidence[0]["rule"]


def test_without_an_open_order_nothing_is_matched():
    order = known()
    type(order).objects.update(status="cancelled")

    assert swept().state == "held"


def test_an_order_that_has_a_study_is_left_to_a_person():
    order = known()
    mapping.apply(make.study("held", StudyDate="20040120"), by=make.user("desk"), intent="reference", order=order)

    assert swept().state == "held"


def test_an_order_for_something_else_is_left_to_a_person():
    type(known()).objects.update(modality="MR", description="MR knee")

    assert swept().state == "held"


def test_a_finding_that_somebody_must_decide_about_stops_it():
    known()
    study = make.study("held")
    Finding.objects.create(study=study, code="several_patients", severity="override", sentence="Two patients.")
    tasks.sweep()

    assert Study.objects.get(pk=study.pk).state == "held"


def test_a_study_that_somebody_has_open_is_not_matched_until_they_leave():
    known()
    study, desk = make.study("held"), make.user("desk")
    lease.take(study, by=desk)
    tasks.sweep()
    assert Study.objects.get(pk=study.pk).state == "held"

    lease.give_back(study, by=desk)
    tasks.sweep()

    assert Study.objects.get(pk=study.pk).state == "mapped"


def test_what_a_person_undid_is_never_matched_again():
    known()
    study = swept()
    mapping.unmap(study, by=make.user("desk"), reason="Not hers")
    tasks.sweep()
    tasks.sweep()

    assert Study.objects.get(pk=study.pk).state == "held"
    assert study.mappings.count() == 1


def test_a_higher_margin_or_probability_leaves_more_to_people(approved):
    known()
    study = make.study("held")
    assert why_left(study, approved) == ""

    approved.least_probability = 1.0

    assert "less certain than the policy asks" in why_left(study, approved)


@pytest.mark.django_db(transaction=True)
def test_eight_sweeps_at_once_match_it_once_and_none_stumbles(caplog):
    known()
    study = make.study("held")

    def sweep(_):
        try:
            return tasks.sweep()["matched"]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(sweep, range(8))) == 1
    assert (study.mappings.count(), audit.history(study).filter(verb="map").count()) == (1, 1)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []
