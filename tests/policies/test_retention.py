from datetime import date

import pytest

from policies import presets, retention
from policies.models import LedgerLine, RetentionRule
from policies.rules.retention import Facts
from tests import make

pytestmark = pytest.mark.django_db


def facts(source, **columns) -> Facts:
    return Facts(source=str(source.pk), received=date(2026, 3, 4), **columns)


def test_the_first_rule_by_priority_that_fits_is_proposed():
    here = make.source("Here")
    make.rule(name="Everything", period="P1Y", priority=900)
    make.rule(name="MR of Here", period="P5Y", priority=10, source=here, modality="MR")
    make.rule(name="CT to read", period="P10Y", priority=20, modality="CT", intent="read")

    assert retention.proposed(facts(here, modalities=("MR",), intent="read")).name == "MR of Here"
    assert retention.proposed(facts(here, modalities=("CT", "SR"), intent="read")).name == "CT to read"
    assert retention.proposed(facts(here, modalities=("CT",), intent="reference")).name == "Everything"


def test_without_a_rule_that_fits_none_is_proposed():
    make.rule(name="Only US", modality="US")
    make.rule(name="No more", active=False)

    assert retention.proposed(facts(make.source(), modalities=("CT",))) is None


def test_a_rule_is_read_from_the_columns_of_an_unsaved_row():
    here = make.source()
    row = RetentionRule(name="Draft", period="P5Y", source_id=here.pk, under=18, birthday=25)

    rule = retention.rule_of(row)
    assert (rule.source, rule.under, rule.birthday, rule.outcome) == (str(here.pk), 18, 25, "delete")
    assert retention.of_terms(retention.terms(rule)) == rule


def test_presets_are_loaded_once_inactive_and_say_where_they_come_from():
    made = presets.load(by=make.user("manager"))

    assert len(made) == len(presets.RULES)
    assert presets.load(by=make.user("manager")) == []
    assert not RetentionRule.objects.filter(active=True).exists()
    for rule in made:
        rule.full_clean()
    assert not RetentionRule.objects.filter(note="").exists()
    assert LedgerLine.objects.filter(subject="retentionrule", verb="add").count() == len(made)
