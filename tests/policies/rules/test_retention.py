from datetime import date, timedelta

import pytest

from policies.rules import retention
from policies.rules.retention import NEVER, Facts, Rule

RECEIVED = date(2026, 3, 4)


def facts(**columns) -> Facts:
    return Facts(**{"source": "here", "received": RECEIVED, "modalities": ("CT",), **columns})


def rule(**columns) -> Rule:
    return Rule(**{"name": "Rule", "period": "P1Y", **columns})


@pytest.mark.parametrize(
    ("start", "period", "end"),
    [
        (date(2024, 2, 29), "P1Y", date(2025, 2, 28)),
        (date(2024, 2, 29), "P4Y", date(2028, 2, 29)),
        (date(2026, 1, 31), "P1M", date(2026, 2, 28)),
        (date(2026, 11, 24), "P90D", date(2027, 2, 22)),
        (date(2026, 11, 24), "P1Y2M1W", date(2028, 1, 31)),
        (date(2026, 11, 24), "P9999Y", NEVER),
        (date(9999, 12, 1), "P31D", NEVER),
    ],
)
def test_a_period_ends_on_a_day_that_exists(start, period, end):
    assert retention.until(start, period) == end


def test_a_later_start_and_a_longer_period_never_end_earlier():
    """Over every day of nine years, leap days among them."""
    for months in (1, 6, 11, 12, 25, 96):
        ends = [retention.until(date(2019, 12, 1) + timedelta(n), f"P{months}M") for n in range(9 * 366)]
        assert ends == sorted(ends)
    for n in range(0, 9 * 366, 7):
        start = date(2019, 12, 1) + timedelta(n)
        by_months = [retention.until(start, f"P{months}M") for months in range(1, 40)]
        assert by_months == sorted(by_months)
        assert by_months[0] > start
        assert retention.until(start, "P12M") == retention.until(start, "P1Y")
        assert (retention.until(start, "P2W") - start).days == 14


def test_nobody_is_older_before_the_birthday():
    """Over every birth day of four years, 29 February among them, and every age of interest."""
    for n in range(4 * 366):
        born = date(2004, 1, 1) + timedelta(n)
        for years in (1, 17, 18, 25, 26, 28):
            day = retention.birthday(born, years)
            assert (retention.age(born, day), retention.age(born, day - timedelta(1))) == (years, years - 1)


def test_who_was_born_on_a_leap_day_is_older_on_the_first_of_march():
    born = date(2008, 2, 29)

    assert retention.birthday(born, 25) == date(2033, 3, 1)
    assert retention.birthday(born, 24) == date(2032, 2, 29)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"source": "there"}, "another source"),
        ({"category": "teleradiology"}, "teleradiology"),
        ({"modality": "MG"}, "It is for MG, and this study has CT."),
        ({"intent": "read"}, "not decided"),
        ({"under": 18}, "under 18, and this one was 65"),
        ({"from_age": 66}, "from 66 years on"),
    ],
)
def test_a_condition_that_does_not_hold_is_named(columns, said):
    born = date(1961, 2, 28)
    decided = retention.decide([rule(**columns), rule(name="Next")], facts(birth_date=born, study_date=RECEIVED))

    assert decided.rule.name == "Next"
    assert [said in why for _name, why in decided.passed_over] == [True]


def test_an_age_is_that_of_the_study_date_and_unknown_without_a_birth_date():
    young = facts(birth_date=date(2000, 1, 1), study_date=date(2016, 1, 1))

    assert retention.why_not(rule(under=18), young) == ""
    assert retention.why_not(rule(under=18), facts(birth_date=date(2016, 1, 1), study_date=date(2004, 1, 19))) == ""
    assert "birth date is not known" in retention.why_not(rule(under=18), facts())


@pytest.mark.parametrize(
    ("clock", "day"),
    [
        ("received", date(2027, 3, 4)),
        ("study date", date(2021, 5, 6)),
        ("viewed", date(2027, 9, 9)),
        ("reported", date(2027, 3, 4)),
    ],
)
def test_a_period_runs_from_its_clock_and_from_the_reception_where_that_is_not_known(clock, day):
    asked = facts(study_date=date(2020, 5, 6), viewed=date(2026, 9, 9))

    assert retention.due(rule(clock=clock), asked).day == day


def test_the_day_is_told_with_its_arithmetic():
    child = facts(birth_date=date(2015, 6, 1))

    assert retention.due(rule(period="P1Y6M"), child).sentence == (
        "Received on 2026-03-04 + 1 year 6 months = 2027-09-04."
    )
    assert retention.due(rule(birthday=25), child) == (
        date(2040, 6, 1),
        "Received on 2026-03-04 + 1 year = 2027-03-04; not before the 25th birthday: 2040-06-01.",
        "",
    )
    assert "(when it was last viewed is not known)" in retention.due(rule(clock="viewed"), child).sentence


def test_who_may_be_a_minor_is_left_to_a_person_though_another_rule_is_over():
    decided = retention.decide([rule(name="Children", under=18), rule(name="Next")], facts())

    assert decided.rule.name == "Next"
    assert "may fall under Children: a person must decide" in decided.due.doubt


def test_a_minor_of_unknown_age_is_left_to_a_person():
    assert "a person must decide" in retention.due(rule(birthday=25), facts()).doubt
