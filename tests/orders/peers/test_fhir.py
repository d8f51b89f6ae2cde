"""FHIR Patient: what is searched for, and what a Bundle says, well made or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.peers.fhir import by_identifier, by_person, read
from orders.peers.found import Identifier, Person

ANNA = {
    "resourceType": "Patient",
    "name": [
        {"use": "maiden", "family": "Schmidt", "given": ["Anna"]},
        {"use": "official", "family": "Müller", "given": ["Anna", "Maria"], "prefix": ["Dr"]},
    ],
    "birthDate": "1961-03-04",
    "gender": "female",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "L-1"}, {"system": "http://hospital/ssn", "value": "77"}],
}


def bundle(*resources) -> dict:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}


def test_a_search_names_the_person():
    assert by_person("Müller^Anna", "19610304") == [
        ("family", "Müller"),
        ("given", "Anna"),
        ("birthdate", "1961-03-04"),
    ]


def test_an_identifier_is_a_token_of_its_system_and_its_marks_are_escaped():
    assert by_identifier(Identifier("A|1,2", "HOSP", "1.2.3", "ISO")) == [("identifier", "urn:oid:1.2.3|A\\|1\\,2")]
    assert by_identifier(Identifier("A1", "HOSP")) == [("identifier", "A1")]


def test_a_patient_is_read_with_the_official_name():
    ids = (Identifier("L-1", "", "1.2.3", "ISO"), Identifier("77", "", "http://hospital/ssn", "URI"))

    assert read(bundle(ANNA)) == [Person("Müller^Anna^Maria^Dr", "19610304", "F", ids)]


@pytest.mark.parametrize(
    "changed",
    [
        {"active": False},
        {"link": [{"type": "replaced-by"}]},
        {"name": []},
        {"name": "Müller"},
        {"identifier": [{"system": "urn:oid:1.2.3"}]},
        {"identifier": None},
        {"resourceType": "OperationOutcome"},
    ],
)
def test_who_is_nobody_is_left(changed):
    assert read(bundle(ANNA | changed, ANNA)) == read(bundle(ANNA))


@pytest.mark.parametrize("born", ["1961", "1961-03", "1961-13-45", "", 7])
def test_a_birth_date_that_is_no_whole_day_is_not_known(born):
    assert read(bundle(ANNA | {"birthDate": born}))[0].birth_date == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ANNA, "family", "given", "value", "system", "use"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(ANNA)), JSON))
def test_whatever_stands_in_a_patient_is_read_or_left(said):
    assert len(read(bundle(ANNA | said | {"resourceType": "Patient"}))) <= 1
