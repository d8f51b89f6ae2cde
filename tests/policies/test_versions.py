"""A rule is a record: every change of it is kept, and any past day can be asked again."""

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from policies import versions
from policies.models import MatchingPolicy, PolicyVersion, Procedure, ProcedureRule, RetentionRule, Source
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager():
    return make.user("manager")


def changed(row, *, by, why="Because.", **columns):
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=[*columns])
    return versions.keep(row, by=by, why=why)


def one_of_each() -> list:
    source, procedure = make.source(), make.procedure()
    alias = make.authority("MRN", "1.2.3").aliases.get()
    line = ProcedureRule.objects.create(procedure=procedure, source=source, words="chest contrast")
    grant = make.user("lee", grants=[("release", source, make.destination())]).groups.get().grants.get()
    return [source, procedure, line, alias, alias.authority, grant, make.rule(), make.reason(), make.policy(source)]


def test_a_rule_rebuilt_from_its_version_is_the_rule(manager):
    for row in one_of_each():
        versions.keep(row, by=manager)
        again = next(one for one in versions.on(type(row), timezone.now()) if one.pk == row.pk)
        here = type(row).objects.get(pk=row.pk)

        assert [getattr(again, field.attname) for field in row._meta.concrete_fields] == [
            getattr(here, field.attname) for field in row._meta.concrete_fields
        ]


def test_a_version_says_who_and_why_and_counts_up(manager):
    rule = make.rule(period="P1Y")
    first, second = versions.keep(rule, by=None), changed(rule, by=manager, why="The law changed.", period="P5Y")

    assert (first.number, first.made_by, second.number, second.made_by) == (1, None, 2, manager)
    assert (second.columns["period"], second.why) == ("P5Y", "The law changed.")


def test_what_did_not_change_makes_no_version(manager):
    rule = make.rule()
    versions.keep(rule, by=manager)

    assert versions.keep(rule, by=manager) is None


def test_a_past_day_is_asked_again(manager):
    rule = make.rule(period="P1Y")
    before = timezone.now()
    versions.keep(rule, by=manager)
    between = timezone.now()
    changed(rule, by=manager, period="P5Y", name="Outside, kept long")
    versions.remove(rule, by=manager)

    assert versions.on(RetentionRule, before) == []
    assert [(one.name, one.period) for one in versions.on(RetentionRule, between)] == [("Outside studies", "P1Y")]
    assert versions.on(RetentionRule, timezone.now()) == []


def test_what_hangs_on_a_deleted_rule_is_deleted_in_its_versions_too(manager):
    rows = one_of_each()
    versions.adopt(by=manager, why="Test.")
    versions.remove(Source.objects.get(), by=manager, why="Closed.")

    gone = PolicyVersion.objects.filter(columns__isnull=True)
    kinds = {"policies.source", "policies.procedurerule", "policies.grant", "policies.matchingpolicy"}
    assert {one.kind for one in gone} == kinds
    assert {one.why for one in gone} == {"Closed."}
    assert versions.strays() == []
    assert rows[1] in Procedure.objects.all()


@pytest.mark.parametrize("deed", ["update", "delete"])
def test_the_database_refuses_to_change_a_version(manager, deed):
    versions.keep(make.rule(), by=manager)
    rows = PolicyVersion.objects.all()

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.update(why="Another.") if deed == "update" else rows.delete()


def test_nobody_approves_their_own_version(manager):
    with pytest.raises(IntegrityError), transaction.atomic():
        versions.keep(make.rule(), by=manager, approved_by=manager, approved_at=timezone.now())


def test_a_column_that_came_later_is_no_change(manager):
    rule = make.rule()
    version = versions.keep(rule, by=manager)
    older = dict(version.columns)
    del older["intent"]

    assert versions.differences(RetentionRule, older, version.columns) == []


def test_differences_are_in_words(manager):
    source, other = make.source(), make.source("City Clinic")
    rule = make.rule(source=source, intent="")
    old = versions.keep(rule, by=manager).columns
    new = changed(rule, by=manager, source=other, intent="read", active=False).columns

    assert versions.differences(RetentionRule, old, new) == [
        ("source", "General Hospital", "City Clinic"),
        ("intent", "", "To be read here"),
        ("active", "yes", "no"),
    ]


def test_a_rule_changed_behind_the_back_is_named(manager, capsys):
    rule, policy = make.rule(), make.policy()
    versions.adopt(by=manager, why="Test.")
    call_command("verify_policies")
    assert "Every rule" in capsys.readouterr().out

    RetentionRule.objects.filter(pk=rule.pk).update(period="P9Y")
    MatchingPolicy.objects.filter(pk=policy.pk).delete()
    with pytest.raises(CommandError, match="2 rules"):
        call_command("verify_policies")
    said = capsys.readouterr().out
    assert "'P1Y' became 'P9Y'" in said
    assert "is gone, and no version says so" in said


def test_rules_without_a_version_are_named_and_can_be_adopted(capsys):
    make.rule()
    with pytest.raises(CommandError):
        call_command("verify_policies")
    assert "has no version" in capsys.readouterr().out

    call_command("verify_policies", "--adopt")
    assert PolicyVersion.objects.get(kind="policies.retentionrule").made_by is None
