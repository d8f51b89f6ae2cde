"""When other systems are asked about a study, and when not; who may ask. The systems themselves are in tests/wire."""

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Lookup, Worklist
from orders.peers.found import Identifier
from policies import audit
from policies.models import LedgerLine, Power
from policies.problems import Conflict, Denied
from reconciliation import asking, intake
from reconciliation.models import Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def worklist() -> Worklist:
    """One that is never reached: nothing listens on port 1."""
    return Worklist.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=1, patience=1)


def known(**columns) -> Study:
    """A study whose patient and order stand alone in front."""
    anna = make.patient(ids=[("L-1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")])
    make.order(anna, description="CT chest", scheduled_at=timezone.now(), **columns)
    return make.study()


def test_a_study_that_settles_is_asked_about_at_once(worklist):
    study = make.received()
    intake.settle(study)

    assert asking.of(study).is_open
    assert study.pk in asking.due()


def test_where_nobody_can_be_asked_nothing_is_due():
    study = make.study()

    assert asking.of(study) is None
    assert asking.ask_due() == 0


def test_a_study_that_somebody_stands_out_for_is_not_asked_about(worklist):
    study = known()
    assert study.best_class == "strong"
    asking.ask(study.pk)

    assert (asking.of(study).asked_at, asking.due()) == (None, [])


def test_a_study_that_nothing_fits_is_asked_about_again_after_a_while(worklist):
    study = make.study()
    asking.ask(study.pk)
    row = asking.of(study)

    assert row.asked_at
    assert not row.is_open
    assert row.due_at > timezone.now() + timedelta(minutes=10)
    assert asking.due() == []
    Lookup.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert asking.due() == [study.pk]


def test_a_study_that_came_before_any_system_was_set_up_is_found_by_the_sweep():
    study = make.study()
    Worklist.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=1, patience=1)

    assert asking.due() == [study.pk]
    assert asking.ask_due() == 1
    assert asking.of(study).asked_at


def test_who_is_de_identified_is_asked_about_only_by_a_person(worklist):
    study = make.study(PatientIdentityRemoved="YES")
    asking.ask(study.pk)
    assert asking.of(study).asked_at is None

    asking.request(study, by=make.user("desk"))
    asking.ask(study.pk)
    assert asking.of(study).asked_at


def test_a_study_that_has_left_the_desk_is_not_asked_about(worklist):
    study = make.study("mapped")
    Lookup.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    asking.ask(study.pk)

    assert (asking.of(study).asked_at, asking.of(study).due_at) == (None, None)


def test_one_worker_asks_at_a_time(worklist):
    study = make.study()
    Lookup.objects.update(lease_until=timezone.now() + timedelta(minutes=1))

    assert asking.ask(study.pk) == []
    assert asking.of(study).asked_at is None


def test_asking_by_hand_is_a_ledger_line_and_says_who_asked(worklist):
    study, desk = make.study(), make.user("desk")
    asking.ask(study.pk)
    asking.request(study, by=desk)
    asking.request(study, by=desk)

    assert asking.of(study).by == "desk"
    assert [line.actor for line in LedgerLine.objects.filter(verb="look up")] == [str(desk)]


def test_what_the_answer_says_of_a_silent_system_is_why(worklist):
    study = make.study()
    asking.ask(study.pk)

    [said] = asking.of(study).answers
    assert (said["system"], said["problem"]) == ("RIS", "Nobody listens at 127.0.0.1:1 (RIS).")
    assert asking.of(study).by == audit.PORTAL


def test_who_may_not_reconcile_may_not_ask(worklist):
    with pytest.raises(Denied):
        asking.request(make.study(), by=make.user("lee", grants=[(Power.VIEW, None, None)]))


def test_only_held_studies_are_asked_about(worklist):
    with pytest.raises(Conflict, match="held studies only"):
        asking.request(make.study("mapped"), by=make.user("desk"))


def test_without_any_system_the_refusal_says_who_can_help():
    with pytest.raises(Conflict, match="A manager can add"):
        asking.request(make.study(), by=make.user("desk"))


def test_the_identifiers_of_likely_patients_are_asked_for(worklist):
    make.patient(ids=[("L-1", "LOCAL")])
    make.patient("Other^Man", birth_date=None, sex="M", ids=[("L-2", "LOCAL")])
    facts = asking.facts(make.study())

    assert facts.identifiers == (Identifier("L-1", "LOCAL"),)
    assert facts.outside == Identifier("OUT-7781", "GENERAL HOSPITAL")
    assert (facts.accession_number, facts.modality) == ("F-1", "CT")
