"""Recorded consents as FHIR R4: shape, search, who may read, and refusals as OperationOutcome."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from policies.models import LedgerLine, Power
from reconciliation import withdrawal
from reconciliation.models import Consent, Study
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    client = APIClient()
    client.force_login(make.user("auditor", grants=[(Power.VIEW, None, None)]))
    return client


@pytest.fixture
def study():
    return make.study("cleared")


def read(client, consent):
    answer = client.get(f"/fhir/Consent/{consent.key}")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/fhir+json; charset=utf-8")
    return answer.json()


def test_a_consent_has_what_r4_requires(client, study):
    found = read(client, study.consent)
    identifier = study.local_patient.identifier()

    assert (found["resourceType"], found["id"], found["status"]) == ("Consent", str(study.consent.key), "active")
    assert found["scope"]["coding"][0]["code"] == "patient-privacy"
    assert found["category"][0]["coding"][0]["code"] == "59284-0"
    assert found["patient"]["identifier"] == {"assigner": {"display": "LOCAL"}, "value": identifier.value}
    assert found["dateTime"] == f"{timezone.localdate():%Y-%m-%d}"
    assert found["policyRule"]["coding"][0]["code"] == "OPTIN"
    assert found["performer"] == [{"type": "Patient", "display": "The patient"}]


def test_what_is_permitted_names_purpose_period_and_study(client, study):
    provision = read(client, study.consent)["provision"]

    assert (provision["type"], [one["code"] for one in provision["purpose"]]) == ("permit", ["TREAT"])
    (data,) = provision["data"]
    assert data["meaning"] == "instance"
    assert data["reference"]["identifier"]["value"] == f"urn:oid:{study.study_instance_uid}"


def test_an_issuer_that_has_an_oid_is_named_by_it(client, study):
    make.authority("LOCAL", universal_id="1.2.3", universal_id_type="ISO", local=True)

    assert read(client, study.consent)["patient"]["identifier"]["system"] == "urn:oid:1.2.3"


def test_no_value_is_empty(client, study):
    """FHIR has no empty strings, arrays or objects."""

    def empties(value):
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            return not value or any(map(empties, inner))
        return value in ("", None)

    assert not empties(read(client, study.consent))


@pytest.mark.parametrize(
    "changed", [{"until": timezone.localdate() - timedelta(days=2)}, {"basis": "treatment", "given_by": ""}]
)
def test_what_has_ended_is_inactive_and_what_rests_on_treatment_is_said_in_words(client, study, changed):
    Consent.objects.update(**changed)
    found = read(client, study.consent)

    assert found["status"] == ("inactive" if "until" in changed else "active")
    assert ("coding" in found["policyRule"]) == ("until" in changed)


def test_a_withdrawn_consent_is_inactive_from_then_on(client, study):
    withdrawal.withdraw(study.consent, by=make.user("desk"), reason="No more", given_by="Anna")
    found = read(client, study.consent)

    assert found["status"] == "inactive"
    assert found["provision"]["period"]["end"] == found["meta"]["lastUpdated"]


def test_a_scan_is_told_of_and_not_handed_out(client, study):
    columns = {"digest": "a" * 64, "media_type": "application/pdf", "size": 7, "kept_at": timezone.now()}
    Consent.objects.update(scan=study.consent_evidence.create(**columns, kept_by=make.user("desk")))
    attachment = read(client, study.consent)["sourceAttachment"]

    assert (attachment["contentType"], attachment["size"]) == ("application/pdf", 7)
    assert {"data", "url"}.isdisjoint(attachment)


@pytest.mark.parametrize("token", ["{value}", "LOCAL|{value}", "urn:oid:1.2.3|{value}", "other name|{value}"])
def test_the_consents_of_a_patient_are_found_by_identifier(client, study, token):
    make.authority("LOCAL", "Other Name", universal_id="1.2.3", universal_id_type="ISO", local=True)
    token = token.format(value=study.local_patient.identifier().value)
    make.study("cleared", PatientID="OUT-2", PatientName="Novak^Eva", to=make.order(make.patient("Novak^Eva")))
    found = client.get("/fhir/Consent", {"patient": token}).json()
    posted = client.post("/fhir/Consent/_search", {"patient": token}).json()

    assert (found["resourceType"], found["type"], found["total"]) == ("Bundle", "searchset", 1)
    assert found["entry"][0]["resource"]["id"] == str(study.consent.key)
    assert found["entry"][0]["fullUrl"] == f"http://testserver/fhir/Consent/{study.consent.key}"
    assert posted == found


def test_consents_of_a_record_that_was_merged_away_are_found_under_the_one_that_is_left(client, study):
    survivor = make.patient(ids=[("MRN-LEFT", "LOCAL")])
    make.merge(study.local_patient, survivor)

    assert client.get("/fhir/Consent", {"patient": "LOCAL|MRN-LEFT"}).json()["total"] == 1


def test_another_issuers_same_number_is_another_patient(client, study):
    token = f"ELSEWHERE|{study.local_patient.identifier().value}"

    assert client.get("/fhir/Consent", {"patient": token}).json() == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
    }


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/fhir/Consent", 422, "invalid"),
        ("/fhir/Consent?patient=", 422, "invalid"),
        ("/fhir/Consent?date=2026", 422, "invalid"),
        ("/fhir/Consent/7d3bd1bc-4a3e-4d5c-9a67-1f6c2b0f8a11", 404, "not-found"),
    ],
)
def test_a_refusal_is_an_operation_outcome(client, address, status, code):
    answer = client.get(address, headers={"Accept": "text/html"})

    assert (answer.status_code, answer["Content-Type"]) == (status, "application/fhir+json; charset=utf-8")
    assert (answer.json()["resourceType"], answer.json()["issue"][0]["code"]) == ("OperationOutcome", code)


def test_nobody_signed_in_reads_nothing(study):
    answer = APIClient().get(f"/fhir/Consent/{study.consent.key}")

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (401, "login")


def test_a_consent_for_studies_of_elsewhere_is_not_there(study):
    lee = APIClient()
    lee.force_login(make.user("lee", grants=[(Power.VIEW, make.source("Elsewhere"), None)]))
    value = study.local_patient.identifier().value

    assert lee.get(f"/fhir/Consent/{study.consent.key}").status_code == 404
    assert lee.get("/fhir/Consent", {"patient": value}).json()["total"] == 0


def test_reading_is_in_the_ledger(client, study):
    read(client, study.consent)

    assert LedgerLine.objects.get(verb="read consent").subject_key == str(study.pk)


def test_a_search_takes_a_constant_number_of_queries(client, study, django_assert_max_num_queries):
    for _ in range(4):
        Consent.objects.create(
            **{name: getattr(study.consent, name) for name in ("study", "patient", "basis", "given_on", "recorded_by")},
            recorded_at=timezone.now(),
        )
    value = study.local_patient.identifier().value
    with django_assert_max_num_queries(25):
        assert client.get("/fhir/Consent", {"patient": value}).json()["total"] == 5
    assert Study.objects.count() == 1
