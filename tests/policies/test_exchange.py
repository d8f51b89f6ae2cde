"""Policies as one file: what is exported is what is imported, and what is not understood is named by its line."""

import re

import pytest
import yaml
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from policies import exchange, versions
from policies.models import (
    AuthorityAlias,
    CoercionRule,
    Grant,
    MatchingPolicy,
    MatchingWeight,
    Organisation,
    PolicyVersion,
    Procedure,
    ProcedureRule,
    QualityRule,
    RetentionRule,
    SecondPerson,
    Source,
    User,
)
from policies.problems import Denied, Invalid
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager():
    return make.user("manager")


@pytest.fixture
def root():
    """Who may give every power: nobody imports grants that are not theirs to give."""
    return User.objects.create_superuser("root")


@pytest.fixture
def rows(manager):
    source, procedure = make.source(), make.procedure()
    make.authority("MRN", "1.2.3")
    ProcedureRule.objects.create(procedure=procedure, source=source, words="chest: “contrast”")
    make.user("lee", grants=[("release", source, make.destination())])
    make.rule(source=source)
    make.reason()
    make.policy(source)
    versions.adopt(why="Test.")
    return source


def test_a_file_imported_where_it_was_exported_changes_nothing(rows):
    assert exchange.compared(exchange.exported()) == []


def test_a_file_brings_every_rule_back_into_an_empty_portal(rows, root):
    text = exchange.exported()
    for model in reversed(versions.KINDS):
        model.objects.all().delete()
    exchange.imported(text, by=root, why="Moved.")

    assert exchange.exported() == text
    assert PolicyVersion.objects.filter(why="Moved.", made_by=root).exists()
    assert ProcedureRule.objects.get().source == Source.objects.get()


@pytest.fixture
def full(rows):
    """At least one rule of every kind, and pairs that differ in what they are for alone."""
    trust = Organisation.objects.create(name="General Hospital Trust")
    second = make.source("City Clinic", organisation=trust, intent="read", requester="Weber, Karl")
    second.systems.create(ae_title="CT", network="10.1.0.0/16")
    second.clients.create(account="api-clinic")
    second.clients.create(certificate="clinic.example", network="10.1.0.0/16")
    for source, words in [(None, ""), (None, "thorax"), (second, "")]:
        ProcedureRule.objects.create(procedure=make.procedure(), source=source, words=words)
    for source, modality in [(None, ""), (None, "CT"), (second, "")]:
        SecondPerson.objects.create(power="release", source=source, modality=modality)
    make.consent_rule(source=second)
    QualityRule.objects.create(code="body-part-missing", kind="required", attribute="BodyPartExamined")
    CoercionRule.objects.create(name="Label", kind="label", attribute="StudyDescription", how="prefix", text="OUTSIDE")
    MatchingWeight.objects.get_or_create(field="birth_date", level="same", defaults={"m": 0.99, "u": 0.01})
    return rows


def test_a_full_policy_imports_into_an_empty_portal_and_is_the_same_byte_by_byte(full, root):
    text = exchange.exported()
    for model in reversed(versions.KINDS):
        assert model.objects.exists(), model
        model.objects.all().delete()
    Group.objects.all().delete()
    exchange.imported(text, by=root, why="Moved.")

    assert exchange.exported() == text
    assert Group.objects.filter(name="group of lee").exists()


def test_a_file_imported_twice_changes_nothing_the_second_time(full, root):
    text = exchange.exported().replace("period: P1Y", "period: P9Y").replace("group of lee", "Night shift")
    assert exchange.imported(text, by=root, why="Once.")
    before = PolicyVersion.objects.count()

    assert exchange.imported(text, by=root, why="Twice.") == []
    assert PolicyVersion.objects.count() == before


def test_no_kind_of_rule_is_known_by_a_key_of_its_own(full):
    assert [model for model in versions.KINDS if model._meta.pk.name in exchange.natural(model)] == []
    assert not re.search("[0-9a-f]{8}-[0-9a-f]{4}", exchange.exported())


def test_a_group_that_is_not_here_is_told_first(rows):
    said = exchange.exported().replace("group of lee", "Night shift")

    first = exchange.compared(said)[0]
    assert (first.deed, first.kind, first.wanted.title) == ("added", "group", "Night shift")
    assert not Group.objects.filter(name="Night shift").exists()


def test_rules_point_to_each_other_by_name_and_approvals_stay_at_home(rows):
    said = yaml.safe_load(exchange.exported())

    assert said["retentionrule"][0]["source"] == "General Hospital"
    assert said["procedurerule"][0]["procedure"] == {"scheme": "99LOCAL", "code": "OUTCT"}
    assert said["authorityalias"] == [{"name": "1.2.3", "authority": "MRN"}]
    assert "approved_by" not in said["matchingpolicy"][0]


def test_added_changed_and_removed_are_told_first(rows, root):
    said = yaml.safe_load(exchange.exported())
    said["retentionrule"][0]["period"] = "P9Y"
    said["source"].append({"name": "City Clinic", "issuer": "CITY"})
    said["grant"] = [one for one in said["grant"] if one["power"] != "release" or not one["destination"]]
    text = yaml.safe_dump(said)
    changes = exchange.compared(text)

    assert [(one.deed, one.wanted.title) for one in changes] == [
        ("added", "City Clinic"),
        ("changed", "Outside studies (P9Y)"),
        ("removed", "group of lee: release General Hospital to PACS"),
    ]
    assert RetentionRule.objects.get().period == "P1Y"

    exchange.imported(text, by=root, why="Reviewed.")
    assert RetentionRule.objects.get().period == "P9Y"
    assert not Grant.objects.exclude(destination=None).exists()
    assert versions.strays() == []


def test_grants_in_a_file_are_imported_by_whoever_may_give_them(rows, manager):
    with pytest.raises(Denied, match="may not grant powers"):
        exchange.imported("grant: []\n", by=manager, why="Nobody.")

    assert Grant.objects.exists()


def test_grants_that_differ_in_scope_alone_are_told_apart(rows, root):
    group = make.user("lee").groups.get()
    for modality in ("CT", "MR"):
        Grant.objects.create(group=group, power="view", modality=modality)
    text = exchange.exported()
    Grant.objects.filter(modality="MR").delete()

    (change,) = exchange.compared(text)
    assert (change.deed, change.wanted.columns["modality"]) == ("added", "MR")


def test_a_kind_that_is_not_in_the_file_stays(rows, manager):
    exchange.imported("reason: []\n", by=manager, why="No reasons.")

    assert Source.objects.exists()
    assert PolicyVersion.objects.filter(kind="policies.reason", columns__isnull=True).exists()


def test_an_import_happens_whole_or_not(rows, manager):
    said = yaml.safe_load(exchange.exported())
    said["procedure"].append({"code": "OUTMR", "scheme": "99LOCAL", "meaning": "Outside MR"})
    said["retentionrule"][0]["period"] = "soon"
    with pytest.raises(Invalid, match="like P5Y"):
        exchange.imported(yaml.safe_dump(said), by=manager, why="Typed.")

    assert Procedure.objects.count() == 1


def test_what_needs_approval_waits_for_it(rows, manager, settings):
    settings.POLICY_APPROVAL = ["retentionrule"]
    text = exchange.exported().replace("period: P1Y", "period: P9Y")
    (draft,) = exchange.imported(text, by=manager, why="Reviewed.")

    assert draft.state == "submitted"
    assert RetentionRule.objects.get().period == "P1Y"


def test_an_automatic_policy_is_signed_by_whoever_imports_it(rows, manager):
    text = exchange.exported().replace("least_margin: 0.5", "least_margin: 0.7")
    lee = make.user("lee")
    exchange.imported(text, by=lee, why="Reviewed.")

    assert MatchingPolicy.objects.get().approved_by == lee


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nsauce: []\n", "Line 2: there is no kind of rule 'sauce'"),
        ("source:\n- name: A\n  password: x\n", "Line 3: a source has no 'password'"),
        ("source:\n- issuer: A\n", "Line 2: this source does not say its 'name'"),
        ("source:\n- name: A\n  issuer: A\n- name: A\n  issuer: A\n", "Line 4: this source stands here twice"),
        ("source:\n- name: A\n  name: B\n", "Line 3: this stands here twice"),
        ("grant:\n- {group: Nobody, power: view, source: , destination: }\n", "Line 2: this grant does not say"),
        ("retentionrule:\n- name: A\n  period: P1Y\n  source: Nowhere\n", "Line 4: there is no source 'Nowhere'"),
        ("retentionrule:\n- name: A\n  priority: high\n", "Line 3: 'high' is no priority"),
        ("source: &a\n- name: A\nreason: *a\n", "Line 3: references"),
        ("source: [\n", "Line 2: this is no YAML"),
        ("reason:\n- code: 2026-99-99\n  sentence: A\n", "Line 2: this is no value"),
        ("reason:\n- code: A\n  sentence: !!binary x\n", "Line 3: this is no value"),
        ("reason:\n- code: {a: b}\n  sentence: A\n", "Line 2: '{'a': 'b'}' is no code"),
        ("reason:\n- code: [A]\n  sentence: A\n", "Line 2: '['A']' is no code"),
        ("reason:\n- code: !!set {a}\n  sentence: A\n", "Line 2: '{'a'}' is no code"),
        ("consentrule:\n- name: A\n  suffices: {a: 1}\n", "Line 3: '{'a': 1}' is no suffices"),
        ("consentrule:\n- name: A\n  suffices: [[a]]\n", "Line 3: '[['a']]' is no suffices"),
        ("reason:\n- code: A\n  sentence: .nan\n", "Line 3: 'nan' is no sentence"),
        ("source:\n- !!python/object/apply:os.system [ls]\n", "Line 2:"),
        ("source:\n- name: !!python/name:os.system\n", "Line 2:"),
        ("source: none\n", "Line 1: a list of rules"),
        ("", "Line 1:"),
        ("[" * 3_000 + "]" * 3_000, "This is no YAML"),
        ("\x00", "This is no YAML"),
    ],
)
def test_what_is_not_understood_is_named_by_its_line(text, said):
    with pytest.raises(Invalid) as refusal:
        exchange.compared(text)

    assert str(refusal.value).startswith(said)


def test_the_command_exports_compares_and_imports(rows, manager, tmp_path, capsys):
    file = tmp_path / "policies.yaml"
    call_command("policies", "export", str(file))
    file.write_text(file.read_text().replace("period: P1Y", "period: P9Y"))

    call_command("policies", "import", str(file), "--dry-run")
    assert "period: 'P1Y' becomes 'P9Y'" in capsys.readouterr().out
    assert RetentionRule.objects.get().period == "P1Y"

    with pytest.raises(CommandError, match="--by"):
        call_command("policies", "import", str(file))
    call_command("policies", "import", str(file), "--by", "manager", "--why", "Reviewed.")
    assert RetentionRule.objects.get().period == "P9Y"
    assert AuthorityAlias.objects.exists()
