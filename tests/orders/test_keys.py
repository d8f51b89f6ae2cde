"""The keys by which patients are found: kept with the patient, written anew on request."""

from datetime import date

import pytest
from django.core.management import call_command

from orders import queries
from orders.models import Patient, PatientKey
from policies.rules import blocking
from tests import make

pytestmark = pytest.mark.django_db


def keys(patient):
    return set(patient.keys.values_list("key", flat=True))


def found(name="", birth_date="", *numbers):
    return queries.find(name=name, birth_date=birth_date, patient_ids=list(numbers)).patients


def test_a_patient_has_the_keys_of_name_and_birth_date_and_new_ones_when_these_change():
    patient = make.patient("Mueller^Anna")
    assert keys(patient) == blocking.keys("Mueller^Anna", "19610304")

    patient.name, patient.birth_date = "Schmidt^Anna", date(1961, 4, 3)
    patient.save(update_fields=["name", "birth_date"])

    assert keys(patient) == blocking.keys("Schmidt^Anna", "19610403")


def test_patients_written_in_bulk_are_found_after_rekey():
    Patient.objects.bulk_create([Patient(name="Mueller^Anna", name_key="MULLER ANNA")])
    assert found("Mueller^Anna") == []

    call_command("rekey")

    assert len(found("Mueller^Anna")) == 1


def test_who_has_the_number_comes_first_then_who_fits_best():
    others = [
        make.patient("Mueller^Anna"),
        make.patient("Mueller^Annette"),
        make.patient("Schmidt^Jan", birth_date=None),
    ]

    (number,) = others[2].identifiers.values_list("value", flat=True)

    assert found("Mueller^Anna", "19610304", number) == [others[2], others[0], others[1]]


def test_a_merged_record_is_not_found():
    kept = make.patient("Mueller^Anna")
    Patient.objects.filter(pk=make.patient("Mueller^Anna").pk).update(merged_into=kept)

    assert found("Mueller^Anna", "19610304") == [kept]


def test_a_town_of_namesakes_does_not_hide_the_one_with_the_birth_date():
    Patient.objects.bulk_create([Patient(name="Mueller^Anna") for _ in range(blocking.LIMIT + 20)])
    town = list(Patient.objects.all())
    PatientKey.objects.bulk_create(
        [PatientKey(patient=one, key=key) for one in town for key in blocking.keys("Mueller^Anna", "")]
    )
    true = make.patient("Mueller^Anna")

    assert found("Mueller^Anna", "19610304")[0] == true
    assert len(found("Mueller^Anna")) <= queries.FITTEST
