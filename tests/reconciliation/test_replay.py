"""Past decisions follow from the rules of their day, whatever the rules have become."""

import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from policies import versions
from policies.models import ProcedureRule, RetentionRule
from reconciliation import replay
from reconciliation.models import Decided
from tests import make

pytestmark = pytest.mark.django_db


def changed(row, **columns) -> None:
    for name, value in columns.items():
        setattr(row, name, value)
    row.save()
    versions.keep(row, by=None, why="Test.")


@pytest.fixture
def rules():
    procedure, clinic = make.procedure(), make.source("City Clinic")
    line = ProcedureRule.objects.create(procedure=procedure, modality="CT")
    short = RetentionRule.objects.create(name="Short", period="P90D", priority=1, source=clinic)
    make.rule(period="P1Y")
    versions.adopt(why="Test.")
    return line, short


def test_every_decision_is_reproduced_after_the_rules_have_changed_many_times(rules):
    line, short = rules
    clinic = short.source
    for period, words, active in [
        ("P90D", "", True),
        ("P1Y", "chest", True),
        ("P1Y", "head", False),
        ("P2Y", "", True),
    ]:
        changed(short, period=period, active=active)
        changed(line, words=words)
        make.study("cleared", of=clinic)
        make.study("cleared")
    versions.remove(line, by=None, why="Test.")
    changed(RetentionRule.objects.get(name="Outside studies"), period="P9Y")

    done = replay.replay()
    assert (done.differing, done.before) == ([], 0)
    assert done.same == Decided.objects.count() == 8 * 5
    assert len(set(Decided.objects.filter(topic="retention").values_list("words", flat=True))) == 4
    assert len(set(Decided.objects.filter(topic="procedure").values_list("words", flat=True))) == 2


def test_what_was_decided_is_what_the_desk_did(rules):
    study = make.study("cleared", of=rules[1].source)

    assert str(study.retention.pk) in Decided.objects.get(topic="retention").key


def test_a_rule_changed_behind_the_back_is_found_out(rules, capsys):
    RetentionRule.objects.filter(name="Outside studies").update(period="P9Y")
    study = make.study("cleared")
    with pytest.raises(CommandError, match="1 decisions"):
        call_command("replay", "--json")

    (differs,) = json.loads(capsys.readouterr().out)["differing"]
    assert differs["study"] == str(study.pk)
    assert "+ 9 years =" in differs["decided"]
    assert "+ 1 year =" in differs["replayed"]


def test_decisions_before_the_versions_began_are_counted_apart(rules):
    make.study("cleared")
    Decided.objects.update(at=datetime(2020, 1, 1, tzinfo=UTC))

    done = replay.replay()
    assert (done.same, done.before, done.differing) == (0, 5, [])
