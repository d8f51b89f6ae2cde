"""What would be saved, and would then never act as it was meant: it is set right, or refused with a sentence."""

import pytest
from django.core.exceptions import ValidationError

from policies import presets, versions
from policies.models import CoercionRule, PolicyVersion, Procedure, ProcedureRule, QualityRule, RetentionRule
from tests import make

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", [CoercionRule, Procedure, ProcedureRule, QualityRule, RetentionRule])
def test_a_modality_is_meant_in_capital_letters_as_objects_say_it(model):
    row = model(modality=" ct")
    try:
        row.clean()
    except ValidationError:
        pass  # what else is missing does not matter here

    assert row.modality == "CT"


def test_ages_that_nobody_has_are_refused():
    with pytest.raises(ValidationError, match="the rule never fits"):
        RetentionRule(from_age=70, under=18).clean()
    RetentionRule(from_age=16, under=18).clean()


@pytest.mark.parametrize("pattern", ["([", "[0-9", "[A-Z][0-9"])
def test_a_pattern_with_an_open_bracket_is_refused(pattern):
    rule = QualityRule(kind="pattern", attribute="StudyDescription", accepted=f"CT*\n{pattern}")

    with pytest.raises(ValidationError, match="needs its"):
        rule.clean()


@pytest.mark.parametrize("pattern", ["(*", "[0-9]*", "[[]*", "[A-Z]]"])
def test_a_pattern_whose_brackets_are_closed_is_taken(pattern):
    QualityRule(kind="pattern", attribute="StudyDescription", accepted=pattern).clean()


def test_rules_that_were_loaded_have_a_first_version():
    presets.load(by=make.user("manager"))

    assert not [sentence for sentence in versions.strays() if "retention" in sentence]
    assert PolicyVersion.objects.filter(kind="policies.retentionrule", number=1).count() == len(presets.RULES)
