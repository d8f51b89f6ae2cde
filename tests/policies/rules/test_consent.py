from datetime import date

import pytest

from policies.consent import STANDARD, rule_of
from policies.models import ConsentRule
from policies.rules.consent import Facts, Rule, age_on, decide, in_words, said, why_not_enough

RULES = [rule_of(ConsentRule(**columns)) for columns in STANDARD]  # rows that are not saved say the same
ADULT, CHILD = 40, 17


@pytest.mark.parametrize(
    ("facts", "rule", "enough"),
    [
        (Facts(age=ADULT), "Care", "treatment patient guardian legal"),
        (Facts(age=CHILD), "Care of minors", "treatment guardian legal"),
        (Facts(age=18), "Care", "treatment patient guardian legal"),
        (Facts(age=None), "Care", "treatment patient guardian legal"),
        (Facts(age=ADULT, purpose="teaching"), "Teaching and research", "patient guardian"),
        (Facts(age=CHILD, purpose="research"), "Minors, teaching and research", "guardian"),
        (Facts(age=ADULT, direction="out"), "Handed out", "patient guardian legal"),
        (Facts(age=CHILD, direction="out"), "Minors, handed out", "guardian legal"),
    ],
)
def test_the_standard_rules_say_what_suffices(facts, rule, enough):
    decision = decide(RULES, facts)
    bases = ("treatment", "patient", "guardian", "legal duty")

    assert decision.rule.name == rule
    assert {basis for basis in bases if decision.is_enough(basis)} == {
        "legal duty" if word == "legal" else word for word in enough.split()
    }


def rule(name="One", priority=1, suffices=("patient",), **columns):
    return Rule(name, priority, suffices, **columns)


@pytest.mark.parametrize(
    ("condition", "facts", "why"),
    [
        ({"direction": "out"}, Facts(), "images that go out"),
        ({"source": "a"}, Facts(source="b"), "another source"),
        ({"destination": "a"}, Facts(), "another destination"),
        (
            {"category": "teleradiology"},
            Facts(category="incorporated"),
            "of the category 'teleradiology', and this one is 'incorporated'",
        ),
        ({"intent": "read"}, Facts(intent="reference"), "the intent 'read', and this one is reference"),
        ({"purposes": ("teaching", "research")}, Facts(), "teaching and research"),
        ({"younger_than": 18}, Facts(age=18), "younger than 18"),
        ({"younger_than": 18}, Facts(age=None), "not known"),
    ],
)
def test_a_rule_whose_condition_does_not_hold_is_passed_over_and_says_why(condition, facts, why):
    decision = decide([rule(**condition)], facts)

    assert decision.rule is None
    assert why in decision.passed_over[0][1]


def test_a_rule_whose_conditions_all_hold_speaks():
    whole = {"direction": "out", "source": "a", "destination": "d", "category": "c", "intent": "read"}

    assert decide([rule(**whole, purposes=("care",), younger_than=18)], Facts(**whole, age=3)).rule.name == "One"


def test_the_lowest_number_wins_and_then_the_name():
    rules = [rule("B", 2), rule("C", 1), rule("A", 2)]

    assert decide(rules, Facts()).rule.name == "C"
    assert decide([rules[0], rules[2]], Facts()).rule.name == "A"


@pytest.mark.parametrize("basis", ["patient", "guardian", "treatment", "legal duty"])
def test_without_a_rule_every_basis_suffices(basis):
    assert decide([], Facts()).is_enough(basis)


def test_only_a_rule_can_say_that_nothing_is_needed():
    free = decide([rule(suffices=("none needed",))], Facts())

    assert not decide([], Facts()).is_enough("none needed")
    assert free.is_enough("none needed")
    assert said(free) == "No consent is needed here, by rule 'One'."


def test_what_is_asked_is_said_with_the_name_of_its_rule():
    asked = decide([rule(suffices=("patient", "treatment"), period="P1Y6M", evidence="scan")], Facts())

    assert said(asked) == (
        "Treatment suffices here, by rule 'One'. Consent of the patient would too. The scanned form is asked for. "
        "It holds 1 year 6 months from the day given."
    )


def test_where_everything_suffices_the_quickest_is_said_alone():
    everything = ("patient", "guardian", "treatment", "legal duty")

    assert said(decide([rule(suffices=everything)], Facts())) == "Treatment suffices here, by rule 'One'."


def test_a_basis_that_is_not_enough_is_told_which_would_be():
    decision = decide([rule("Teaching", suffices=("patient", "guardian"))], Facts(purpose="teaching"))

    assert why_not_enough(decision, "treatment", "teaching") == (
        "By rule 'Teaching' this is not enough for teaching: Consent of the patient or consent of a guardian would "
        "suffice."
    )


@pytest.mark.parametrize(
    ("born", "age"), [(date(2008, 11, 24), 18), (date(2008, 11, 25), 17), (date(2008, 2, 29), 18), (None, None)]
)
def test_age_counts_whole_years(born, age):
    assert age_on(date(2026, 11, 24), born) == age


@pytest.mark.parametrize(("period", "words"), [("P5Y", "5 years"), ("P1M", "1 month"), ("P2W10D", "2 weeks 10 days")])
def test_a_period_is_said_in_words(period, words):
    assert in_words(period) == words
