"""A change of a rule may wait: as a draft, for its day, for a second person."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from policies import drafts, versions
from policies.drafts import Wanted
from policies.models import (
    Grant,
    LedgerLine,
    MatchingPolicy,
    PolicyDraft,
    PolicyVersion,
    Procedure,
    RetentionRule,
    SecondPerson,
)
from policies.problems import Conflict, Denied
from reconciliation import tasks
from tests import make

pytestmark = pytest.mark.django_db
State = PolicyDraft.State


@pytest.fixture
def manager():
    return make.user("manager")


@pytest.fixture
def second():
    return make.user("second", grants=[("approve policy", None, None)])


@pytest.fixture
def rule(manager):
    rule = make.rule(period="P1Y")
    versions.keep(rule, by=manager)
    return rule


@pytest.fixture
def approval(settings):
    settings.POLICY_APPROVAL = ["retentionrule"]


def wanted(rule, **columns) -> Wanted:
    return Wanted.of(RetentionRule(**{**RetentionRule.objects.filter(pk=rule.pk).values().get(), **columns}))


def period(rule) -> str:
    return RetentionRule.objects.get(pk=rule.pk).period


def test_a_draft_changes_nothing_until_it_is_submitted(rule, manager):
    draft = drafts.write(wanted(rule, period="P5Y"), by=manager, why="The law.")
    assert period(rule) == "P1Y"

    drafts.submit(draft, by=manager)
    assert (period(rule), draft.state) == ("P5Y", State.IN_FORCE)
    assert versions.newest(draft.kind, rule.pk).why == "The law."


def test_a_change_waits_for_its_day(rule, manager):
    tomorrow = timezone.now() + timedelta(days=1)
    draft = drafts.change(wanted(rule, period="P5Y"), by=manager, why="The law.", effective_from=tomorrow)
    tasks.sweep()
    assert (period(rule), draft.state) == ("P1Y", State.APPROVED)

    PolicyDraft.objects.update(effective_from=timezone.now())
    assert tasks.sweep()["in_force"] == 1
    assert period(rule) == "P5Y"
    assert LedgerLine.objects.filter(verb="change", subject="retentionrule", actor="the portal").exists()


def test_a_second_person_approves_and_never_the_first(rule, manager, second, approval):
    make.user("manager", grants=[("approve policy", None, None)])
    draft = drafts.change(wanted(rule, period="P5Y"), by=manager, why="The law.")
    with pytest.raises(Denied, match="second person"):
        drafts.approve(draft, by=make.user("manager"))
    assert (period(rule), draft.state) == ("P1Y", State.SUBMITTED)

    drafts.approve(draft, by=second)
    version = versions.newest(draft.kind, rule.pk)
    assert (period(rule), version.made_by, version.approved_by) == ("P5Y", manager, second)


def test_who_may_not_approve_policy_does_not(rule, manager, approval):
    draft = drafts.change(wanted(rule, period="P5Y"), by=manager, why="The law.")

    with pytest.raises(Denied, match="approve policy"):
        drafts.approve(draft, by=make.user("desk"))


def test_the_database_refuses_a_change_in_force_without_its_approval(rule, manager, approval):
    drafts.change(wanted(rule, period="P5Y"), by=manager, why="The law.")

    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyDraft.objects.update(state=State.IN_FORCE)
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyDraft.objects.update(state=State.APPROVED, approved_by=manager, approved_at=timezone.now())


def test_a_draft_of_a_rule_that_changed_meanwhile_comes_back(rule, manager):
    old = drafts.write(wanted(rule, period="P5Y"), by=manager, why="The law.")
    drafts.change(wanted(rule, period="P9Y"), by=manager, why="Another law.")
    drafts.submit(old, by=manager)

    assert (period(rule), old.state) == ("P9Y", State.DRAFT)
    assert "changed since" in old.problem


def test_what_no_page_would_save_comes_back_with_the_reason(rule, manager):
    draft = drafts.change(wanted(rule, period="soon"), by=manager, why="Typed.")

    assert (period(rule), draft.state) == ("P1Y", State.DRAFT)
    assert "like P5Y" in draft.problem


def test_a_bad_draft_does_not_stop_the_others(rule, manager):
    later = timezone.now() + timedelta(days=1)
    drafts.change(wanted(rule, period="soon"), by=manager, why="Typed.", effective_from=later)
    new = Wanted.of(Procedure(code="OUTMR", meaning="Outside MR"))
    drafts.change(new, by=manager, why="Needed.", effective_from=later)
    PolicyDraft.objects.update(effective_from=timezone.now())

    assert tasks.sweep()["in_force"] == 1
    assert Procedure.objects.filter(code="OUTMR").exists()


def test_a_rule_is_deleted_by_a_draft_too(rule, manager, second, approval):
    draft = drafts.change(Wanted.of(rule, deleted=True), by=manager, why="Not needed.")
    drafts.approve(draft, by=second)

    assert not RetentionRule.objects.exists()
    assert PolicyVersion.objects.first().columns is None


def test_what_bars_a_person_bars_them_without_a_form_too(rule, manager, monkeypatch):
    asked = []
    monkeypatch.setitem(drafts.BARS, RetentionRule, lambda *said: asked.append(said) or "Not yours to change.")
    with pytest.raises(Denied, match="Not yours"):
        drafts.change(wanted(rule, period="P5Y"), by=manager, why="The law.")

    ((by, before, after),) = asked
    assert (by, before.period, after.period) == (manager, "P1Y", "P5Y")
    assert period(rule) == "P1Y"


def test_a_grant_that_waits_is_not_given_when_its_giver_may_not_any_more(manager):
    giver = make.user("giver", grants=[("grant", None, None)])
    group = Group.objects.create(name="Others")
    later = timezone.now() + timedelta(days=1)
    drafts.change(Wanted.of(Grant(group=group, power="release")), by=giver, why="Needed.", effective_from=later)
    Grant.objects.filter(group__user=giver).delete()
    PolicyDraft.objects.update(effective_from=timezone.now())
    tasks.sweep()

    assert not group.grants.exists()
    assert "may not grant" in PolicyDraft.objects.get().problem


def test_a_draft_of_before_approval_was_demanded_needs_it_too(rule, manager, settings):
    draft = drafts.write(wanted(rule, period="P5Y"), by=manager, why="The law.")
    settings.POLICY_APPROVAL = ["retentionrule"]
    drafts.submit(draft, by=manager)

    assert (period(rule), draft.state) == ("P1Y", State.SUBMITTED)


def test_who_approves_policy_for_one_source_approves_no_rule_for_others(rule, manager, approval):
    here, there = make.source(), make.source("Elsewhere")
    second = make.user("second", grants=[("approve policy", here, None)])
    for source_id in (None, there.pk):
        draft = drafts.change(wanted(rule, period="P5Y", source_id=source_id), by=manager, why="The law.")
        with pytest.raises(Denied, match="of your own sources"):
            drafts.approve(draft, by=second)
        drafts.withdraw(draft, by=manager)
    new = Wanted.of(RetentionRule(name="New", period="P1Y", source=here))
    draft = drafts.change(new, by=manager, why="The law.")
    drafts.approve(draft, by=second)

    assert draft.state == State.IN_FORCE


def test_a_withdrawn_draft_is_over(rule, manager):
    draft = drafts.write(wanted(rule, period="P5Y"), by=manager, why="The law.")
    drafts.withdraw(draft, by=manager)

    with pytest.raises(Conflict, match="withdrawn"):
        drafts.submit(draft, by=manager)


def test_an_automatic_matching_policy_is_approved_by_who_approved_its_draft(manager, second, settings):
    settings.POLICY_APPROVAL = ["matchingpolicy"]
    new = MatchingPolicy(source=make.source(), automatic=True)
    draft = drafts.change(Wanted.of(new), by=manager, why="Rehearsed.")
    drafts.approve(draft, by=second)

    assert MatchingPolicy.objects.get().approved_by == second


# --- which kinds wait: a manager says so -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "waits"), [("retentionrule", True), ("", True), ("grant", False)])
def test_a_rule_says_which_kinds_wait_for_a_second_person(rule, manager, kind, waits):
    SecondPerson.objects.create(power="set policy", kind=kind)
    draft = drafts.change(wanted(rule, period="P5Y"), by=manager, why="The law.")

    assert draft.state == (State.SUBMITTED if waits else State.IN_FORCE)


def test_a_draft_that_is_older_than_such_a_rule_waits_too(rule, manager):
    old = drafts.write(wanted(rule, period="P5Y"), by=manager, why="The law.")
    SecondPerson.objects.create(power="set policy", kind="retentionrule")
    drafts.submit(old, by=manager)

    assert (period(rule), old.state) == ("P1Y", State.SUBMITTED)


def test_such_a_rule_is_taken_away_only_with_a_second_person(manager, second):
    asking = SecondPerson.objects.create(power="set policy", kind="retentionrule")
    versions.keep(asking, by=manager)
    draft = drafts.change(Wanted.of(asking, deleted=True), by=manager, why="It is in the way.")
    assert SecondPerson.objects.exists()

    drafts.approve(draft, by=second)
    assert not SecondPerson.objects.exists()


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="no such kind"):
        SecondPerson(power="set policy", kind="weather").full_clean()
