"""What no rule may decide: the cases in which two people look like one, or one like two. None matches by itself."""

from dataclasses import replace

import pytest

from policies.rules.matching import Candidate, Class, Person, may_match_itself, propose

ANNA = Person("MUELLER^ANNA", "19610304", "F", (("4711", "HOSP"),))
TRUSTED = {"HOSP", "CLINIC"}


def why_not(incoming, *people, trusted=TRUSTED, **more):
    found = propose(incoming, None, [Candidate(f"c{n}", one, None) for n, one in enumerate(people)])
    return may_match_itself(found, trusted=trusted, **more)


def born(name, birth_date="20261101", sex="M", *identifiers):
    return Person(name, birth_date, sex, identifiers)


ANNE = born("SMITH^ANNE", "20100102", "F")
FATHER, SON = born("SMITH^JOHN^^^SR", "19500712"), born("SMITH^JOHN^^^JR", "19810305")
CASES = {
    "twins, the name shortened": (born("SMITH^ANN", "20100102", "F"), replace(ANNE, name="SMITH^ANNA"), ANNE),
    "twins, one initial": (born("SMITH^A", "20100102", "F"), replace(ANNE, name="SMITH^ADA"), ANNE),
    "twins, one of them named": (ANNE, replace(ANNE, name="SMITH^ANNA"), ANNE),
    "twins, only the other known": (replace(ANNE, name="SMITH^JULIE"), ANNE),
    "twins, the ID of the other": (
        replace(ANNE, identifiers=(("1", "HOSP"),)),
        replace(ANNE, name="SMITH^JULIE", identifiers=(("1", "HOSP"),)),
        replace(ANNE, identifiers=(("2", "HOSP"),)),
    ),
    "newborn without a name": (born("SMITH^BABY BOY"), born("SMITH^ADAM"), born("SMITH^NOAH")),
    "newborn, one child known": (born("SMITH^BABY BOY", "20261101", "M", ("1", "HOSP")), born("SMITH^ADAM")),
    "newborn twins A and B": (born("SMITH^BABY BOY A"), born("SMITH^BABY BOY B")),
    "newborn placeholders": (born("SMITH^BABY BOY"), born("SMITH^BABY BOY"), born("SMITH^BABY BOY")),
    "father and son, no birth date": (born("SMITH^JOHN", ""), FATHER, SON),
    "father and son, the other's ID": (
        born("SMITH^JOHN^^^JR", "19810305", "M", ("1", "HOSP")),
        replace(FATHER, identifiers=(("1", "HOSP"),)),
        SON,
    ),
    "married name": (replace(ANNA, name="SCHMIDT^ANNA"), ANNA),
    "swapped names, no ID": (replace(ANNA, name="ANNA^MUELLER", identifiers=()), ANNA),
    "transposed birth date": (replace(ANNA, birth_date="19610403"), ANNA),
    "a digit off": (replace(ANNA, birth_date="19610305"), ANNA),
    "year only": (replace(ANNA, birth_date="1961"), ANNA),
    "one patient under two IDs": (ANNA, ANNA, replace(ANNA, identifiers=(("4712", "HOSP"),))),
    "two patients under one ID": (ANNA, born("SCHMIDT^PETRA", "19830101", "F", ("4711", "HOSP"))),
    "two patients under one ID, both known": (
        ANNA,
        born("SCHMIDT^PETRA", "19830101", "F", ("4711", "HOSP")),
        replace(ANNA, identifiers=()),
    ),
    "name and birth date alone": (replace(ANNA, identifiers=()), ANNA),
    "another's name": (replace(ANNA, name="MUELLER^ANNE"), ANNA),
    "nobody": (ANNA,),
}


@pytest.mark.parametrize("case", CASES)
def test_what_looks_like_another_never_matches_by_itself(case):
    assert why_not(*CASES[case])


def test_a_trusted_number_with_birth_date_and_name_may_match_by_itself():
    assert why_not(ANNA, ANNA, born("MUELLER^PETRA", "19700101", "F")) == ""


@pytest.mark.parametrize("trusted", [set(), {"OTHER"}])
def test_a_number_of_an_issuer_who_is_not_trusted_is_not_enough(trusted):
    assert why_not(ANNA, ANNA, trusted=trusted) == "No identifier of a trusted issuer agrees."


def test_what_is_de_identified_never_matches_by_itself():
    assert "de-identified" in why_not(ANNA, ANNA, deidentified=True)


def test_a_policy_may_ask_for_more():
    assert why_not(ANNA, ANNA, least=1.0) == "The best candidate is less certain than the policy asks for."


def test_a_number_that_is_another_patients_takes_the_strength_away():
    found = propose(
        ANNA,
        None,
        [Candidate(f"c{n}", one, None) for n, one in enumerate(CASES["two patients under one ID, both known"][1:])],
    )

    assert {each.match.klass for each in found} == {Class.CONFLICT, Class.POSSIBLE}
