"""Rules over REST: what they said on a day, and drafts taken on by the same verbs as in the administration."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from policies import drafts, versions
from policies.drafts import Wanted
from policies.models import PolicyVersion, RetentionRule
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def client(user) -> APIClient:
    signed_in = APIClient()
    signed_in.force_login(user)
    return signed_in


@pytest.fixture
def manager():
    return make.user("manager")


@pytest.fixture
def second():
    make.user("second", grants=[("approve policy", None, None)])
    return make.user("second", group="Auditors")


@pytest.fixture
def rule(manager):
    rule = make.rule(period="P1Y")
    versions.keep(rule, by=manager)
    return rule


@pytest.fixture
def draft(rule, manager, settings):
    """Submitted, and waiting for a second person."""
    settings.POLICY_APPROVAL = ["retentionrule"]
    columns = {**RetentionRule.objects.filter(pk=rule.pk).values().get(), "period": "P9Y"}
    return drafts.change(Wanted.of(RetentionRule(**columns)), by=manager, why="The law.")


def address(draft, step: str = "") -> str:
    return f"/api/policy/drafts/{draft.pk}/{step and f'{step}/'}"


def period() -> str:
    return RetentionRule.objects.get().period


def test_what_the_rule_was_on_a_day_is_asked_by_day_or_moment(rule, manager):
    then = timezone.now()
    RetentionRule.objects.update(period="P9Y")
    versions.keep(rule, by=manager, why="The law.")

    def said(**asked):
        rows = client(manager).get("/api/policy/rules/", {"kind": "retentionrule", **asked}).json()["results"]
        return [row["says"]["period"] for row in rows]

    assert said() == said(day=timezone.localdate()) == ["P9Y"]
    assert said(at=then.isoformat()) == ["P1Y"]
    assert said(day=timezone.localdate() - timedelta(days=1)) == []


def test_a_rule_that_was_deleted_is_in_its_versions_alone(rule, manager):
    of_kind, key = {"kind": "retentionrule"}, str(rule.pk)
    versions.remove(rule, by=manager, why="Not any more.")

    assert client(manager).get("/api/policy/rules/", of_kind).json()["results"] == []
    rows = client(manager).get("/api/policy/versions/", {**of_kind, "key": key}).json()["results"]
    assert [(row["number"], row["says"] is None, row["why"]) for row in rows] == [
        (2, True, "Not any more."),
        (1, False, ""),
    ]


def test_versions_come_page_by_page_and_none_is_missed(rule, manager, monkeypatch):
    monkeypatch.setattr("reconciliation.queue.PAGE", 2)
    path, keys = "/api/policy/versions/", []
    while path:
        page = client(manager).get(path).json()
        path = page["next"]
        keys += [(row["kind"], row["key"], row["number"]) for row in page["results"]]

    assert len(keys) == len(set(keys)) == PolicyVersion.objects.count()


def test_a_draft_says_what_it_changes_and_who_may_take_it_on(draft, manager):
    said = client(manager).get(address(draft)).json()
    why = {step["verb"]: step["why_not"] for step in said["steps"]}

    assert (said["kind"], said["state"]) == ("retentionrule", "submitted")
    assert said["changes"] == [{"name": "period", "old": "P1Y", "new": "P9Y"}]
    assert why["withdraw"] == ""
    assert "A second person approves it" in why["approve"]


def test_nobody_approves_their_own_draft(draft, manager):
    answer = client(manager).post(address(draft, "approve"))

    assert (answer.status_code, period()) == (403, "P1Y")


def test_a_second_person_approves(draft, second):
    answer = client(second).post(address(draft, "approve"))

    assert (answer.json()["state"], period()) == ("in force", "P9Y")
    assert client(second).post(address(draft, "approve")).status_code == 409


def test_what_is_declined_is_a_draft_again_and_says_why(draft, second, manager):
    answer = client(second).post(address(draft, "decline"), {"reason": "The law says ten."}, format="json").json()

    assert (answer["state"], answer["problem"], period()) == ("draft", "Second declined it: The law says ten.", "P1Y")
    assert client(manager).post(address(draft, "submit")).json()["state"] == "submitted"


def test_declining_needs_a_reason(draft, second):
    assert client(second).post(address(draft, "decline"), {"reason": " "}, format="json").status_code == 422


def test_who_only_looks_at_rules_neither_submits_nor_withdraws(draft):
    auditor = client(make.user("auditor"))

    assert auditor.get(address(draft)).status_code == 200
    assert [auditor.post(address(draft, step)).status_code for step in ("submit", "withdraw")] == [403, 403]


def test_a_withdrawn_draft_is_listed_as_such(draft, manager):
    client(manager).post(address(draft, "withdraw"))

    def listed(**asked):
        return [row["id"] for row in client(manager).get("/api/policy/drafts/", asked).json()["results"]]

    assert listed(state="withdrawn", kind="retentionrule") == listed() == [str(draft.pk)]
    assert listed(state="submitted") == listed(kind="source") == []


def test_a_rehearsal_tells_which_decisions_would_differ(draft, manager):
    study = make.study()
    said = client(manager).get(address(draft, "rehearsal")).json()

    assert (said["studies"], said["looked"], said["held"], said["differ"]) == (1, 1, 1, 1)
    assert [one["study"] for one in said["differing"]] == [str(study.pk)]
    assert "9 years" in said["differing"][0]["new"]
    assert period() == "P1Y"
