"""Where two must agree beyond the release itself: about what was overridden, and what is deleted."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from policies.models import LedgerLine, Power, SecondPerson, User
from policies.problems import Conflict, Denied
from reconciliation import approvals, clearance, deletion, expiry, keeping, queue, release, tasks
from reconciliation.models import Deletion, Finding, Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def officer(name: str, *powers: str) -> User:
    return make.user(name, grants=[(power, None, None) for power in powers])


def overridden() -> Study:
    """A cleared study in which `releaser` overrode a finding."""
    study = make.study("mapped")
    study.findings.create(code="odd", severity=Finding.Severity.OVERRIDE, sentence="Odd.")
    make.rule()
    clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"), overrides={"odd": "Asked by phone"})
    return Study.objects.get(pk=study.pk)


# --- overrides -------------------------------------------------------------------------------------------------------


@pytest.fixture
def overrides_need_two():
    return SecondPerson.objects.create(power=Power.OVERRIDE)


def test_who_overrode_does_not_release_alone(overrides_need_two):
    with pytest.raises(Conflict, match="overridden here"):
        release.release(overridden(), to=[make.destination()], by=make.user("releaser"))


def test_somebody_else_who_may_override_releases_at_once_and_the_ledger_says_who_agreed(overrides_need_two):
    study, other = overridden(), make.user("other", group="Releasing officers")

    assert approvals.request(study, to=[make.destination()], by=other) is None
    line = LedgerLine.objects.get(verb="release", subject_key=str(study.pk))
    assert line.detail["overrides agreed by"] == str(other)


def test_who_overrode_asks_and_the_second_one_must_be_able_to_override(overrides_need_two):
    study, to = overridden(), make.destination()
    approvals.request(study, to=[to], by=make.user("releaser"))
    now = Study.objects.get(pk=study.pk)
    with pytest.raises(Denied, match="one who may override"):
        approvals.approve(now, by=officer("lee", Power.RELEASE))
    approvals.approve(now, by=officer("kim", Power.RELEASE, Power.OVERRIDE))

    assert now.state == "released"


def test_one_who_overrode_nothing_asks_and_who_overrode_may_approve(overrides_need_two):
    """Two persons, and one of them is no overrider who may override: both rules are met."""
    SecondPerson.objects.create(power=Power.RELEASE)
    study = overridden()
    approvals.request(study, to=[make.destination()], by=officer("kim", Power.RELEASE, Power.OVERRIDE))
    now = Study.objects.get(pk=study.pk)
    approvals.approve(now, by=make.user("releaser"))

    assert now.state == "released"


def test_a_study_in_which_nothing_was_overridden_needs_nobody_else(overrides_need_two):
    study = make.study("cleared")

    assert approvals.request(study, to=[make.destination()], by=make.user("releaser")) is None


def test_another_retention_than_proposed_is_an_override_too(overrides_need_two):
    study, longer = make.study("cleared"), make.rule(name="Trials", period="P15Y")
    keeping.rescue(study, rule=longer, reason="A trial", by=make.user("releaser"))

    with pytest.raises(Conflict, match="overridden here"):
        release.release(study, to=[make.destination()], by=make.user("releaser"))


def test_a_rule_about_overrides_holds_within_its_scope():
    SecondPerson.objects.create(power=Power.OVERRIDE, modality="MR")

    assert approvals.request(overridden(), to=[make.destination()], by=make.user("releaser")) is None


def test_what_is_decided_anew_has_no_overrides_left(overrides_need_two):
    study = overridden()
    make.mapping.unmap(study, by=make.user("releaser"))

    assert not approvals.four_eyes.overriders(Study.objects.get(pk=study.pk))


# --- deletion --------------------------------------------------------------------------------------------------------


@pytest.fixture
def deletions_need_two():
    return SecondPerson.objects.create(power=Power.DELETE)


@pytest.fixture
def approved(deletions_need_two):
    return expiry.approve(make.due(), reason="Over", by=make.approver())


def past_its_grace(decision: Deletion) -> Deletion:
    Deletion.objects.filter(pk=decision.pk).update(not_before=timezone.now() - timedelta(minutes=1))
    return Deletion.objects.get(pk=decision.pk)


def test_nothing_is_deleted_before_a_second_person_agrees(approved):
    past_its_grace(approved)
    tasks.sweep()
    assert Deletion.objects.get().state == "approved"

    expiry.agree(Deletion.objects.get(), by=make.approver("other"))
    past_its_grace(approved)
    tasks.sweep()
    assert Deletion.objects.get().state == "done"


def test_both_are_in_the_decision_and_in_the_ledger(approved):
    other = make.approver("other")
    expiry.agree(approved, by=other)
    assert deletion.carry_out(past_its_grace(approved))

    line = LedgerLine.objects.filter(verb="delete").latest("id")
    assert (line.detail["approved by"], line.detail["agreed by"]) == ("Approver", "Other")
    assert (approved.seconded_by, LedgerLine.objects.filter(verb="agree to deletion").count()) == (other, 1)


def test_the_grace_time_begins_when_both_have_agreed(approved, settings):
    past_its_grace(approved)
    expiry.agree(approved, by=make.approver("other"))

    assert approved.not_before - approved.seconded_at == timedelta(seconds=settings.DELETION_GRACE_SECONDS)


def test_nobody_agrees_to_what_they_approved(approved):
    with pytest.raises(Denied, match="another person"):
        expiry.agree(approved, by=make.approver())
    with pytest.raises(IntegrityError), transaction.atomic():
        Deletion.objects.update(seconded_by=make.approver(), seconded_at=timezone.now())


def test_who_may_not_delete_studies_of_this_source_does_not_agree(approved):
    with pytest.raises(Denied):
        expiry.agree(approved, by=make.approver("other", at=make.source("Elsewhere")))


def test_the_database_refuses_to_delete_on_the_word_of_one(approved):
    with pytest.raises(IntegrityError), transaction.atomic():
        Deletion.objects.update(state="deleting", begun_at=timezone.now())


def test_what_stands_against_it_by_now_bars_the_second_person(approved):
    keeping.hold(study=approved.study, reason="Court", by=make.approver())

    with pytest.raises(Conflict, match="Legal hold"):
        expiry.agree(approved, by=make.approver("other"))


def test_what_was_taken_back_is_not_agreed_to(approved):
    expiry.take_back(approved, reason="No", by=make.approver("other"))

    with pytest.raises(Conflict, match="took it back"):
        expiry.agree(approved, by=make.approver("other"))


def test_a_rule_that_is_newer_than_the_approval_counts():
    decision = expiry.approve(make.due(), reason="Over", by=make.approver())
    SecondPerson.objects.create(power=Power.DELETE)

    assert not deletion.carry_out(past_its_grace(decision))
    assert (Deletion.objects.get().state, Deletion.objects.get().waits, deletion.due()) == ("approved", True, [])


def test_a_second_person_who_may_not_any_more_stops_it(approved):
    other = make.approver("other")
    expiry.agree(approved, by=other)
    other.groups.clear()

    assert not deletion.carry_out(past_its_grace(approved))
    assert Deletion.objects.get().state == "stopped"


def test_those_that_wait_keep_nobody_back(deletions_need_two, monkeypatch):
    """However many wait for somebody, those that are agreed to are deleted."""
    waiting, agreed = (expiry.approve(make.due(), reason="Over", by=make.approver()) for _ in range(2))
    expiry.agree(agreed, by=make.approver("other"))
    for one in (waiting, agreed):
        past_its_grace(one)

    assert deletion.due() == [agreed]


def test_the_queue_finds_what_waits_for_the_second_person(approved):
    desk = make.user("releaser")
    assert [one.pk for one in queue.studies(desk, {"second": "1"})] == [approved.study_id]

    expiry.agree(approved, by=make.approver("other"))
    assert not queue.studies(desk, {"second": "1"})


@pytest.mark.django_db(transaction=True)
def test_of_two_who_agree_at_once_one_is_the_second_person(deletions_need_two):
    decision = expiry.approve(make.due(), reason="Over", by=make.approver())
    people = [make.approver("one").pk, make.approver("two").pk]

    def press(key):
        try:
            expiry.agree(Deletion.objects.get(pk=decision.pk), by=User.objects.get(pk=key))
            return "agreed"
        except Conflict:
            return "conflict"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(press, people))

    assert outcomes == ["agreed", "conflict"]
    assert LedgerLine.objects.filter(verb="agree to deletion").count() == 1


# --- the choices -----------------------------------------------------------------------------------------------------


def test_a_rule_can_be_set_for_the_deeds_that_ask_and_for_no_other():
    """Recall and share have no verb yet: a rule for them would be a lie."""
    offered = {value for value, _label in SecondPerson._meta.get_field("power").choices}

    assert offered == {"release", "override", "delete", "set policy"}


@pytest.mark.parametrize("columns", [{"power": "delete", "to": True}, {"power": "release", "kind": "grant"}])
def test_a_rule_that_could_never_apply_is_refused(columns):
    to = {"destination": make.destination()} if columns.pop("to", False) else {}
    with pytest.raises(IntegrityError), transaction.atomic():
        SecondPerson.objects.create(**columns, **to)
