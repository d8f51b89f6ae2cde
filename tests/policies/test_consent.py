from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from policies.consent import Given, holds_until, install, require_sufficient
from policies.models import ConsentRule
from policies.problems import Invalid
from policies.rules.consent import Decision, Rule

WHOLE = {"basis": "patient", "given_by": "Anna M.", "evidence": "Form 12", "scope": ["care"], "until": None}
TODAY = date(2026, 11, 24)


def by_rule(**columns) -> dict[str, Decision]:
    return {"care": Decision(Rule("Strict", 1, **{"suffices": ("patient",), **columns}), ())}


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"basis": "whim"}, "Choose the basis"),
        ({"given_by": " "}, "who gave the consent"),
        ({"basis": "guardian"}, "in which relation"),
        ({"evidence": ""}, "evidence"),
        ({"scope": []}, "what the images may be used for"),
        ({"scope": ["marketing"]}, "Unknown purpose: marketing"),
        ({"until": date(2026, 11, 23)}, "ended on 2026-11-23"),
        ({"given_on": date(2026, 11, 25)}, "a day to come"),
    ],
)
def test_what_is_missing_is_said(part, sentence):
    with pytest.raises(Invalid, match=sentence):
        require_sufficient(Given(**WHOLE | part), today=TODAY)


@pytest.mark.parametrize("proof", [{"form_number": "12"}, {"witness": "Nurse Lee"}, {"scan": object()}])
def test_form_witness_or_scan_is_evidence_too(proof):
    require_sufficient(Given(**WHOLE | {"evidence": "", **proof}), today=TODAY)


def test_treatment_needs_no_giver_but_still_its_evidence():
    require_sufficient(Given(**WHOLE | {"basis": "treatment", "given_by": ""}), today=TODAY)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"suffices": ("treatment",)}, "By rule 'Strict' this is not enough for care: Treatment would suffice"),
        ({"suffices": ("none needed",)}, "no consent is needed there"),
        ({"evidence": "scan"}, "scanned form"),
        ({"evidence": "form"}, "number of the form"),
        ({"evidence": "witness"}, "witness has to be named"),
    ],
)
def test_what_policy_asks_and_is_not_there_is_said_by_its_rule(rule, sentence):
    with pytest.raises(Invalid, match=sentence):
        require_sufficient(Given(**WHOLE), by_rule(**rule), today=TODAY)


def test_a_consent_given_too_long_ago_for_its_rule_is_over():
    old = Given(**WHOLE, given_on=date(2025, 11, 23))
    with pytest.raises(Invalid, match="ended on 2026-11-23: by rule 'Strict' it holds 1 year"):
        require_sufficient(old, by_rule(period="P1Y"), today=TODAY)


@pytest.mark.parametrize(
    ("until", "period", "end"),
    [
        (None, "", None),
        (date(2027, 1, 1), "", date(2027, 1, 1)),
        (None, "P1Y", date(2027, 11, 24)),
        (date(2040, 1, 1), "P1Y", date(2027, 11, 24)),
        (date(2027, 1, 1), "P1Y", date(2027, 1, 1)),
    ],
)
def test_a_consent_never_outlives_its_rule(until, period, end):
    given = Given(**WHOLE | {"until": until}, given_on=TODAY)

    assert holds_until(given, by_rule(period=period), today=TODAY) == end


@pytest.mark.django_db
def test_the_standard_rules_are_made_only_where_there_are_none():
    ConsentRule.objects.create(name="Ours", suffices=["patient"])
    install()

    assert [rule.name for rule in ConsentRule.objects.all()] == ["Ours"]


@pytest.mark.django_db
def test_a_rule_says_what_suffices():
    with pytest.raises(IntegrityError), transaction.atomic():
        ConsentRule.objects.create(name="Nothing", suffices=[])


def test_a_rule_for_a_destination_leaves_the_direction_to_it():
    with pytest.raises(ValidationError):
        ConsentRule(name="x", suffices=["patient"], destination_id="0" * 32, direction="out").clean()
