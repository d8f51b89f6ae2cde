"""The whole workflow without the browser, as the desk and a releasing officer."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from reconciliation import delivery, intake, lease, matching, workflow
from reconciliation.models import Delivery, Study
from tests import make
from tests.reconciliation.test_intake import again

pytestmark = pytest.mark.django_db
CONSENT = {"basis": "patient", "given_by": "The patient", "scope": ["care"], "evidence": "Form 12"}


def signed_in(user) -> APIClient:
    """With a token, as a program would."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


@pytest.fixture
def desk():
    return signed_in(make.user("desk"))


@pytest.fixture
def officer():
    return signed_in(make.user("releaser"))


def post(client, path, /, **body):
    return client.post(f"/api/{path}", body, format="json")


def test_a_study_walks_from_held_to_released_as_the_contract_says(desk, officer):
    order, rule, pacs, study = make.order(), make.rule(), make.destination(), make.study()
    here = f"studies/{study.pk}"
    assert desk.get("/api/studies/?state=held").json()["results"][0]["id"] == str(study.pk)
    assert post(desk, f"{here}/lease/").json()["lease"]["mine"] is True
    mapped = post(desk, f"{here}/map/", order=str(order.pk), intent="reference").json()
    assert mapped["study"]["state"] == "mapped"
    assert "AccessionNumber" in {change["path"] for change in mapped["changes"]}
    cleared = post(desk, f"{here}/clear/", consent=CONSENT, retention=str(rule.pk), overrides=[])
    assert (cleared.status_code, cleared.json()["state"]) == (200, "cleared")
    released = post(officer, f"{here}/release/", destinations=[str(pacs.pk)], version=cleared.json()["version"])
    assert released.json()["state"] == "released"
    [on_its_way] = desk.get(f"/api/{here}/deliveries/").json()["results"]
    assert (on_its_way["state"], on_its_way["destination"]["name"]) == ("queued", "PACS")
    lines = desk.get(f"/api/{here}/history/").json()["results"]
    verbs = [line["verb"] for line in lines if line["subject"] == "study"]
    assert [verb for verb in verbs if verb != "look at"] == ["release", "clear", "map", "settle", "receive"]


def test_an_import_without_an_order_maps_to_the_patient(desk):
    patient, study = make.patient(), make.study()
    answer = post(desk, f"studies/{study.pk}/map/", patient=str(patient.pk), intent="reference").json()

    assert answer["study"]["local"]["patient"]["id"] == str(patient.pk)
    assert answer["study"]["local"]["order"] is None


def test_unmap_reject_and_reinstate_lead_back_to_held(officer):
    study, reason = make.study("mapped"), make.reason()
    here = f"studies/{study.pk}"

    assert post(officer, f"{here}/unmap/", reason="Wrong order").json()["state"] == "held"
    rejected = post(officer, f"{here}/reject/", reason=reason.code, comment="Told the sender.").json()
    assert rejected["rejected_for"]["code"] == reason.code
    assert post(officer, f"{here}/reinstate/", comment="A mistake").json()["state"] == "held"


def test_settle_ends_the_waiting(desk):
    study = make.received()

    assert post(desk, f"studies/{study.pk}/settle/").json()["state"] == "held"


def test_a_preview_shows_the_changes_and_stores_nothing(desk):
    order, study = make.order(), make.study()
    shown = desk.get(f"/api/studies/{study.pk}/preview/?order={order.pk}").json()["changes"]

    now = Study.objects.get(pk=study.pk)
    assert {change["group"] for change in shown} >= {"patient", "order", "provenance"}
    assert (now.state, now.version, now.mappings.count()) == ("held", study.version, 0)


def test_the_changes_of_a_mapping_can_be_read_later(desk):
    study = make.study("mapped")
    told = desk.get(f"/api/studies/{study.pk}/changes/").json()

    assert told["mapping"]["order"] == str(study.order_id)
    assert told["changes"] == study.mapping.changes


def test_proposals_carry_their_evidence_runner_up_and_margin(desk):
    order = make.order()
    study = make.study()
    first = desk.get(f"/api/studies/{study.pk}/proposals/").json()["results"][0]

    assert first["order"]["id"] == str(order.pk)
    assert {"score", "class", "margin", "runner_up", "ambiguous"} <= set(first)
    assert {"field", "agreement", "incoming", "local", "rule"} <= set(first["evidence"][0])


def test_an_order_that_came_after_the_study_is_proposed_to_whoever_looks(desk):
    study = make.study()
    matching.propose(study)
    order = make.order()
    found = desk.get(f"/api/studies/{study.pk}/proposals/").json()["results"]

    assert str(order.pk) in {one["order"]["id"] for one in found if one["order"]}


@pytest.mark.django_db(transaction=True)
def test_proposals_answer_all_who_ask_at_once():
    make.order()
    study, user = make.received(), make.user("desk")
    intake.settle(study)

    def ask(_):
        try:
            return signed_in(user).get(f"/api/studies/{study.pk}/proposals/").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(8))) == {200}


def test_a_study_shows_what_came_what_stands_open_and_which_steps_lead_on(desk):
    study = make.study(PatientIdentityRemoved="YES", BurnedInAnnotation="YES")
    shown = desk.get(f"/api/studies/{study.pk}/").json()

    assert shown["as_received"]["patient_id"] == "OUT-7781"
    assert shown["counts"] == {"series": 1, "instances": 1, "duplicates": 0, "bytes": study.size}
    assert {step["verb"]: bool(step["why_not"]) for step in shown["offered"]} == {"map": False, "reject": True}
    assert {finding["code"]: finding["open"] for finding in shown["findings"]} == {
        "deidentified": True,
        "burned_in": False,
    }


def test_every_step_that_a_person_may_take_has_an_address(officer):
    verbs = {verb for verb, step in workflow.MOVES.items() if step.power}
    states = ("receiving", "held", "mapped", "cleared", "rejected")
    offered = [s for state in states for s in officer.get(f"/api/studies/{make.study(state).pk}/").json()["offered"]]

    assert {step["verb"] for step in offered} == verbs
    assert all(step["url"].endswith(f"/{step['verb']}/") for step in offered)


def test_a_lease_is_given_back_and_anothers_stays(desk, officer):
    study = make.study()
    lease.take(study, by=make.user("releaser"))
    here = f"/api/studies/{study.pk}/lease/"

    assert desk.delete(here).json()["lease"]["holder"] == "Releaser"
    assert officer.delete(here).json()["lease"] is None


def test_a_lease_is_taken_over_with_a_reason(desk):
    study = make.study()
    lease.take(study, by=make.user("releaser"))

    assert post(desk, f"studies/{study.pk}/lease/", reason="She went home").json()["lease"]["mine"] is True


def test_a_finding_is_overridden_by_code_and_reason(officer):
    make.rule()
    study = make.study("mapped")
    study.findings.create(code="odd", severity="override", sentence="Odd.")
    here = f"studies/{study.pk}/clear/"

    assert post(officer, here, consent=CONSENT).status_code == 409
    cleared = post(officer, here, consent=CONSENT, overrides=[{"code": "odd", "reason": "Known scanner"}]).json()
    assert cleared["state"] == "cleared"


def test_another_retention_rule_needs_a_reason(officer):
    make.rule(priority=1)
    longer, study = make.rule(name="Longer", period="P9Y"), make.study("mapped")
    here = f"studies/{study.pk}/clear/"

    assert post(officer, here, consent=CONSENT, retention=str(longer.pk)).status_code == 422
    cleared = post(officer, here, consent=CONSENT, retention=str(longer.pk), retention_reason="A trial").json()
    assert cleared["retention"]["name"] == "Longer"


def test_the_same_destination_named_twice_is_one_delivery(officer):
    study, pacs = make.study("cleared"), str(make.destination().pk)

    assert post(officer, f"studies/{study.pk}/release/", destinations=[pacs, pacs]).status_code == 200
    assert study.deliveries.count() == 1


def test_a_refused_delivery_is_sent_again_by_who_may_release(desk, officer):
    study = make.study("released")
    claimed = delivery.claim(study.deliveries.get().pk)
    Delivery.objects.filter(pk=claimed.pk).update(state="refused", problem="Unknown AE title", lease_until=None)

    assert post(desk, f"deliveries/{claimed.pk}/retry/").status_code == 403
    assert post(officer, f"deliveries/{claimed.pk}/retry/").json()["state"] == "queued"


def test_uids_that_cannot_stay_are_decided_with_the_mapping(desk, officer):
    ds, order = make.dataset(), make.order()
    study = make.received(ds, again(ds, SeriesDescription="Altered"))
    for step in make._STEPS["held"]:
        step(study, None)
    here, to = f"studies/{study.pk}", {"order": str(order.pk), "intent": "reference", "doubled": "both"}
    shown = officer.get(f"/api/{here}/preview/", {"order": order.pk, "doubled": "both"}).json()
    refused, unknown = post(desk, f"{here}/map/", **to), post(officer, f"{here}/map/", **to | {"doubled": "neither"})
    mapped = post(officer, f"{here}/map/", **to, shown=shown["shown"]).json()

    assert (refused.status_code, unknown.status_code) == (403, 422)
    assert len(shown["uids"]["objects"]) == 1
    assert mapped["uids"] == shown["uids"] == desk.get(f"/api/{here}/changes/").json()["uids"]
    [settled] = [one for one in mapped["study"]["findings"] if one["code"] == "same_uid_other_content"]
    assert (settled["open"], settled["severity"]) == (False, "block")
