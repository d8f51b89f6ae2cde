"""Orders and patients made over REST."""

import pytest
from rest_framework.test import APIClient

from orders.models import Order, Patient
from policies.models import LedgerLine
from tests import make

pytestmark = pytest.mark.django_db
ANNA = {
    "name": "Mueller^Anna",
    "birth_date": "1961-03-04",
    "sex": "F",
    "identifiers": [{"value": "A1", "issuer": "LOCAL"}, {"value": "B2", "issuer": "CITY"}],
}


def signed_in(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def desk():
    return signed_in(make.user("desk"))


def verbs() -> list[str]:
    return list(LedgerLine.objects.values_list("verb", flat=True))


def post(client, path, body):
    return client.post(f"/api/{path}/", body, format="json")


def test_a_reconciliation_order_is_generated_with_a_number_of_its_own(desk):
    make.sequence()
    body = {"patient": str(make.patient().pk), "procedure": str(make.procedure().pk), "body_part": "CHEST"}
    answer = post(desk, "orders", body)

    assert answer.status_code == 201
    assert (answer.json()["origin"], answer.json()["for_import"]) == ("generated", True)
    assert answer.json()["accession_number"].startswith("IMP")
    assert verbs() == ["generate"]


def test_an_order_of_another_system_is_entered_by_hand(desk):
    body = {"patient": str(make.patient().pk), "accession_number": "ACC77", "description": "CT chest", "modality": "CT"}
    answer = post(desk, "orders", body | {"origin": "entered"})

    assert (answer.status_code, answer.json()["origin"]) == (201, "entered")
    assert answer.json()["requested_procedure_id"] == "ACC77"
    assert answer.json()["created_by"] == "Desk"
    assert verbs() == ["enter"]


def test_an_accession_number_is_entered_once(desk):
    make.order(accession_number="ACC77")
    body = {"patient": str(make.patient().pk), "accession_number": "ACC77", "description": "CT", "origin": "entered"}
    answer = post(desk, "orders", body)

    assert (answer.status_code, answer.json()["problem"]) == (409, "conflict")
    assert Order.objects.count() == 1
    assert verbs() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("accession_number", ""), ("accession_number", "A" * 17), ("description", "a\\b"), ("study_instance_uid", "1.02")],
)
def test_what_could_not_be_written_into_an_object_is_not_entered(desk, column, value):
    body = {"patient": str(make.patient().pk), "accession_number": "ACC77", "description": "CT", "origin": "entered"}
    answer = post(desk, "orders", body | {column: value})

    assert (answer.status_code, list(answer.json()["fields"])) == (422, [column])


def test_a_patient_is_registered_with_identifiers(desk):
    answer = post(desk, "patients", ANNA)

    assert answer.status_code == 201
    assert [(one["value"], one["primary"]) for one in answer.json()["identifiers"]] == [("A1", True), ("B2", False)]
    assert desk.get(f"/api/patients/{answer.json()['id']}/").json() == answer.json()
    assert verbs() == ["look at", "register"]  # who reads a patient is in the ledger


def test_an_identifier_belongs_to_one_patient(desk):
    make.patient(ids=[("A1", "LOCAL")])
    answer = post(desk, "patients", ANNA)

    assert (answer.status_code, answer.json()["problem"]) == (409, "conflict")
    assert Patient.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"identifiers": []},
        {"identifiers": [{"value": "A1"}]},
        {"identifiers": [{"value": v, "issuer": "LOCAL", "primary": True} for v in "AB"]},
        {"birth_date": "2999-01-01"},
        {"name": "Mueller\\Anna"},
    ],
)
def test_a_patient_that_could_not_be_filed_is_not_registered(desk, wrong):
    assert post(desk, "patients", ANNA | wrong).status_code == 422
    assert Patient.objects.count() == 0


def test_entering_takes_the_power_to_create_orders():
    front = signed_in(make.user("frontdesk"))
    patient, procedure = str(make.patient().pk), str(make.procedure().pk)
    generated = {"patient": patient, "procedure": procedure}
    entered = {"patient": patient, "accession_number": "ACC77", "description": "CT", "origin": "entered"}
    answers = [post(front, "patients", ANNA), post(front, "orders", generated), post(front, "orders", entered)]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert Order.objects.count() == 0
