"""Blocking: under which keys a patient is found again, and who is compared first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.blocking import LIMIT, asked, keys, ranked, shares

ANNA = keys("MUELLER^ANNA", "19610304")


@pytest.mark.parametrize(
    ("name", "birth_date"),
    [
        ("MÜLLER^ANNA", "19610304"),
        ("ANNA^MULLER", "19610403"),
        ("SCHMIDT^PETRA", "19610304"),  # by the birth date
        ("MUELLER^ANNA", ""),
        ("MUELLER^ANNA", "19850101"),
        ("MULER^ANA", "19851224"),  # by the sound
        ("MUELLERX^ANNE", "19850101"),  # by the first letters
        ("MUELLER^PETRA", "19610930"),  # by one name and the year
        ("VON MUELLER^ANNA MARIA", ""),
        ("MUELLER-SCHMIDT^A", "1961"),
        ("МЮЛЛЕР^АННА", "19850101"),
        ("MUELLER ANNA", "19850101"),
    ],
)
def test_a_patient_is_found_in_spite_of_a_slip(name, birth_date):
    assert ANNA & set(asked(name, birth_date))


def test_a_patient_without_a_birth_date_is_found_by_one_name():
    assert keys("MUELLER^ANNA", "") & set(asked("MUELLER^PETRA", "19610304")) >= {"tMLR "}


@pytest.mark.parametrize("name", ["", "UNKNOWN^UNKNOWN", "NN", "^BABY BOY", "A^B"])
def test_a_name_that_says_nothing_makes_no_key(name):
    assert keys(name, "19000101") == set()


@given(st.text(), st.text() | st.dates().map(lambda day: f"{day:%Y%m%d}"))
def test_any_text_has_keys_that_fit_their_column_and_is_found_by_itself(name, birth_date):
    made = keys(name, birth_date)

    assert all(0 < len(key) <= 64 for key in made)
    assert made <= set(asked(name, birth_date))


def test_who_is_found_often_and_in_small_blocks_comes_first():
    blocks = {"a": ["x", "y", "z"], "b": ["z"], "c": ["y", "w"]}

    assert ranked(blocks) == ["z", "y", "w", "x"]
    assert ranked(blocks, limit=1) == ["z"]


def test_a_town_of_namesakes_hides_nobody():
    town = [f"n{n:03}" for n in range(LIMIT + 1)]

    assert ranked({"town": town, "small": ["true"]})[0] == "true"
    assert ranked({"town": [*town, "z"], "small": ["z", "other"]})[0] == "z"


def test_shares_are_told_of_names_that_are_rare_enough_to_be_counted():
    blocks = {"wMULLER": ["x"] * (LIMIT + 1), "wQUAST": ["x", "y"], "wNOBODY": [], "d19610304": ["x"]}

    assert shares(blocks, 1000) == {"QUAST": 0.002, "NOBODY": 0.001}
