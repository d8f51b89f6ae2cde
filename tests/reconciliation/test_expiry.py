from datetime import timedelta

import pytest
from django.utils import timezone

from policies.models import LedgerLine, RetentionRule
from policies.problems import Conflict, Denied, Invalid
from reconciliation import expiry, keeping, lease
from reconciliation.models import Consent, Deletion, Delivery, LegalHold, Proposal, Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def approver():
    return make.approver()


def listed(user):
    return {item.study.pk: item for item in expiry.due(expiry.may_be_due(user))}


@pytest.mark.parametrize("state", ["held", "mapped", "cleared", "delivered", "rejected"])
def test_a_study_whose_time_is_over_is_listed_with_rule_and_arithmetic(state, approver):
    study = make.due(state)

    item = listed(approver)[study.pk]
    assert (item.rule.name, item.barred) == ("Outside studies", "")
    assert item.due.sentence.startswith("Received on ")
    assert "+ 1 year = " in item.due.sentence


def test_before_its_day_nothing_is_listed(approver):
    make.due("delivered", days=300)

    assert listed(approver) == {}


def test_what_is_listed_is_of_the_sources_whose_studies_one_may_delete():
    make.due("held")

    assert listed(make.approver("another", at=make.source("Elsewhere"))) == {}
    assert listed(make.user("desk")) == {}


def test_a_rule_that_is_edited_changes_no_study_that_was_cleared_by_it(approver):
    cleared, held = make.due("cleared"), make.due("held")
    RetentionRule.objects.update(period="P5Y")
    keeping.work_out()

    assert keeping.decide(cleared).rule.period == "P1Y"
    assert keeping.decide(held).rule.period == "P5Y"
    assert set(listed(approver)) == {cleared.pk}


def test_undoing_a_mapping_ends_what_was_decided_about_retention():
    study = make.study("cleared")
    assert study.retention_terms["name"] == "Outside studies"
    make.mapping.unmap(study, by=make.user("releaser"))

    assert Study.objects.get().retention_terms == {}


# --- what stands against ---------------------------------------------------------------------------------------------


def held(study):
    keeping.hold(study=study, reason="Court", by=make.approver())


def held_by_its_patient(study):
    keeping.hold(patient=study.local_patient, reason="Court", by=make.approver())


def held_by_a_record_that_was_merged(study):
    other = make.patient("Muller^Anna")
    make.merge(other, study.local_patient)
    keeping.hold(patient=other, reason="Court", by=make.approver())


def bound(study):
    Consent.objects.update(until=timezone.localdate())


def viewed(study):
    keeping.viewed(study)


def on_its_way(study):
    Delivery.objects.update(state="refused", delivered_at=None)


def open_elsewhere(study):
    lease.take(study, by=make.user("releaser"))


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (held, "Legal hold since"),
        (held_by_its_patient, "Legal hold since"),
        (held_by_a_record_that_was_merged, "Legal hold since"),
        (bound, "The consent runs until"),
        (viewed, "Somebody viewed it"),
        (on_its_way, "is not done: refused"),
        (open_elsewhere, "has this study open"),
    ],
)
def test_what_stands_against_is_said_and_bars_the_approval(happens, said, approver):
    study = make.due()
    happens(study)

    assert said in listed(approver)[study.pk].barred
    with pytest.raises(Conflict, match=said):
        expiry.approve(study, reason="Over", by=approver)
    assert not Deletion.objects.exists()


def test_a_hold_on_somebody_who_may_be_the_patient_bars_too(approver):
    study, other = make.due("held"), make.patient("Nobody^Else")
    keeping.hold(patient=other, reason="Court", by=approver)
    assert listed(approver)[study.pk].barred == ""
    columns = {"rank": 9, "score": 0.5, "klass": "weak", "margin": 0}
    Proposal.objects.create(study=study, patient=other, **columns)

    assert "Legal hold" in listed(approver)[study.pk].barred


def test_a_hold_that_is_lifted_bars_no_more_and_both_are_in_the_ledger(approver):
    study = make.due()
    held = keeping.hold(study=study, reason="Court", by=approver)
    keeping.lift(held, reason="Settled", by=approver)

    assert listed(approver)[study.pk].barred == ""
    assert list(LedgerLine.objects.order_by("id").values_list("verb", "reason"))[-2:] == [
        ("hold", "Court"),
        ("lift hold", "Settled"),
    ]
    with pytest.raises(Conflict, match="lifted already"):
        keeping.lift(held, reason="Again", by=approver)


def test_a_hold_needs_a_reason_and_somebody_who_may():
    with pytest.raises(Invalid):
        keeping.hold(study=make.study(), reason=" ", by=make.approver())
    with pytest.raises(Denied):
        keeping.hold(study=make.study(), reason="Court", by=make.user("desk"))
    assert not LegalHold.objects.exists()


# --- approval --------------------------------------------------------------------------------------------------------


def test_an_approval_is_a_dated_row_with_the_rule_as_it_is_now(approver, settings):
    study = make.due()
    made = expiry.approve(study, reason="Over", by=approver)

    assert (made.rule["name"], made.approved_by, made.state) == ("Outside studies", approver, "approved")
    assert made.not_before - made.approved_at == timedelta(seconds=settings.DELETION_GRACE_SECONDS)
    line = LedgerLine.objects.latest("id")
    assert (line.verb, line.reason, line.detail["rule"]["period"]) == ("approve deletion", "Over", "P1Y")
    assert listed(approver) == {}


def test_an_approval_is_given_once_with_a_reason_and_by_who_may(approver):
    study = make.due()
    with pytest.raises(Denied):
        expiry.approve(study, reason="Over", by=make.user("releaser"))
    with pytest.raises(Invalid):
        expiry.approve(study, reason="", by=approver)
    expiry.approve(study, reason="Over", by=approver)
    with pytest.raises(Conflict, match="approved already"):
        expiry.approve(study, reason="Over", by=approver)


def test_one_that_cannot_be_approved_never_stops_the_others(approver):
    good, bad = make.due(), make.due()
    held(bad)

    made, refused = expiry.approve_all([bad, good], reason="Over", by=approver)
    assert ([one.study for one in made], list(refused)) == ([good], [bad.pk])


def test_an_approval_may_be_taken_back_until_the_deletion_begins(approver):
    study = make.due()
    made = expiry.approve(study, reason="Over", by=approver)
    expiry.take_back(made, reason="A mistake", by=approver)

    assert study.pk in listed(approver)
    again = expiry.approve(study, reason="Over", by=approver)
    Deletion.objects.filter(pk=again.pk).update(state="deleting", begun_at=timezone.now())
    with pytest.raises(Conflict, match="too late"):
        expiry.take_back(again, reason="A mistake", by=approver)


# --- kept by another rule --------------------------------------------------------------------------------------------


def test_a_study_is_rescued_by_another_rule_with_a_reason(approver):
    study, longer = make.due(), make.rule(name="Trials", period="P15Y", priority=900)
    with pytest.raises(Invalid):
        keeping.rescue(study, rule=longer, reason="", by=approver)
    keeping.rescue(study, rule=longer, reason="A trial", by=approver)
    keeping.work_out()

    assert listed(approver) == {}
    assert (study.retention, study.retention_terms["period"]) == (longer, "P15Y")
    line = LedgerLine.objects.latest("id")
    assert (line.verb, line.detail["from"], line.detail["to"]) == ("keep by another rule", "Outside studies", "Trials")


def test_only_who_may_override_rescues():
    with pytest.raises(Denied):
        keeping.rescue(make.due(), rule=make.rule(), reason="A trial", by=make.user("desk"))


def test_a_look_is_written_once_an_hour():
    study = make.study()
    keeping.viewed(study)
    first = Study.objects.get().last_viewed_at
    keeping.viewed(Study.objects.get())
    assert Study.objects.get().last_viewed_at == first

    Study.objects.update(last_viewed_at=first - timedelta(hours=2))
    keeping.viewed(Study.objects.get())
    assert Study.objects.get().last_viewed_at >= first
