import pytest

from policies.rules.matching import Candidate, Exam, Person, compare
from policies.rules.objections import objections

KARIN = Person("Lindqvist^Karin", "19570512", "F", (("1", "HERE"),))
CHEST = Exam("CT", "CHEST", "CT chest", "20261120")


def codes(person, exam=CHEST, **more):
    match = compare(person, CHEST, Candidate("k", KARIN, exam))
    return {one.code: one.sentence for one in objections(match, **more)}


def test_nothing_speaks_against_the_right_patient_and_order():
    assert codes(Person("LINDQVIST^KARIN", "19570512", "F", (("1", "HERE"),))) == {}


def test_another_person_is_a_conflict_that_names_what_differs():
    found = codes(Person("Vasquez^Ignacio", "19810406", "M", ()))

    assert (
        "another family name and another given name and another birth date and another sex" in found["mapping_conflict"]
    )


def test_a_stranger_of_whom_nothing_is_known_is_weak():
    assert "Little of what was received" in codes(Person("TRIAL-0042", "", "", ()))["mapping_weak"]


def test_an_order_of_another_modality_is_named():
    found = codes(KARIN, Exam("US", "ABDOMEN", "US abdomen", "20261120"))

    assert found == {"mapping_other_modality": "The order chosen is for US, what was received is CT."}


def test_an_import_without_an_order_has_no_modality_to_object_to():
    assert codes(KARIN, None) == {}


@pytest.mark.parametrize(("more", "code"), [({"taken": True}, "mapping_order_taken"), ({"alike": 2}, "mapping_alike")])
def test_a_taken_order_and_alike_patients_are_said(more, code):
    assert code in codes(KARIN, **more)
