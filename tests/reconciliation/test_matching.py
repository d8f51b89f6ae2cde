from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from reconciliation import matching
from reconciliation.models import Proposal, Study
from tests import make

pytestmark = pytest.mark.django_db


def test_the_patients_order_is_proposed_first_with_its_evidence():
    order = make.order()
    study = make.study("held")

    first = study.proposals.first()
    assert (first.order, first.patient) == (order, order.patient)
    assert {e["field"]: e["agreement"] for e in first.evidence}["birth_date"] == "same"


def test_an_identifier_of_the_senders_issuer_makes_a_strong_match():
    source = make.source()
    known = make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", source.issuer)])
    make.order(known)
    study = make.study("held", of=source)

    assert study.proposals.first().klass == "strong"
    assert study.best_class == "strong"


def test_twins_are_both_proposed_and_neither_is_chosen():
    for given in ("Anna", "Anne"):
        make.order(make.patient(f"Mueller^{given}"))
    study = make.study("held", PatientName="Mueller^Ann")

    assert {p.patient.name for p in study.proposals.all()} == {"Mueller^Anna", "Mueller^Anne"}
    assert (study.order, study.local_patient, study.state) == (None, None, "held")


def test_a_patient_without_an_order_is_a_candidate_too():
    known = make.patient()
    study = make.study("held")

    assert [(p.patient, p.order) for p in study.proposals.all()] == [(known, None)]


def test_a_cancelled_order_is_not_proposed():
    order = make.order(status="cancelled")
    study = make.study("held")

    assert [(p.patient, p.order) for p in study.proposals.all()] == [(order.patient, None)]


def test_no_candidate_is_never_remembered():
    study = make.study("held")
    assert Proposal.objects.count() == 0

    make.order()

    assert [one.pk for one in matching.stale()] == [study.pk]
    matching.propose(study)
    assert Study.objects.get(pk=study.pk).proposals.count() == 1


def test_a_change_a_moment_before_is_looked_at_once_more_and_then_no_more():
    order, study = make.order(), make.study("held")
    assert matching.stale() == [study]

    long_ago = timezone.now() - timedelta(minutes=1)
    type(order).objects.update(changed_at=long_ago)
    type(order.patient).objects.update(changed_at=long_ago)
    matching.propose(study)

    assert matching.stale() == []


@pytest.mark.django_db(transaction=True)
def test_proposing_twice_at_once_gives_each_rank_once():
    make.order()
    study = make.study("held")

    def again(_):
        try:
            return len(matching.propose(study))
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(again, range(12))) == [1] * 12


def test_an_unknown_birth_date_finds_by_name():
    make.patient(birth_date=date(1990, 1, 1))
    study = make.study("held", PatientBirthDate="", PatientID="")

    assert study.proposals.count() == 1
