"""A refusal over REST has the right number, a code, and a sentence that somebody can act on."""

import uuid

import pytest
from rest_framework.test import APIClient

from policies import problems
from policies.models import Power
from reconciliation import lease
from reconciliation.models import Study
from reconciliation.views import api
from tests import make

pytestmark = pytest.mark.django_db
CONSENT = {"basis": "patient", "given_by": "The patient", "scope": ["care"], "evidence": "Form 12"}


def signed_in(user, **options) -> APIClient:
    client = APIClient(**options)
    client.force_login(user)
    return client


@pytest.fixture
def desk():
    return signed_in(make.user("desk"))


def refused(answer, status: int, problem: str) -> str:
    """The sentence of a refusal that has this shape."""
    assert answer["Content-Type"] == "application/json"
    assert (answer.status_code, answer.json()["problem"]) == (status, problem)
    return answer.json()["detail"]


def test_the_table_of_refusals_knows_every_problem():
    assert set(api.STATUS) == set(problems.Problem.__subclasses__())


@pytest.mark.parametrize("path", ["/api/studies/", "/api/me/", "/api/no/such/address/"])
def test_who_is_not_signed_in_gets_401_and_never_the_login_page(path):
    answer = APIClient().get(path)

    assert refused(answer, 401, "unauthenticated")
    assert answer["WWW-Authenticate"] == "Token"


def test_a_wrong_token_is_401():
    client = APIClient(HTTP_AUTHORIZATION="Token nonsense")

    refused(client.get("/api/studies/"), 401, "unauthenticated")


def test_a_session_cannot_change_anything_without_its_csrf_token():
    study = make.study()
    client = signed_in(make.user("desk"), enforce_csrf_checks=True)

    assert "CSRF" in refused(client.post(f"/api/studies/{study.pk}/lease/"), 403, "denied")


def test_who_lacks_the_authority_is_told_which(desk):
    answer = desk.post(f"/api/studies/{make.study().pk}/reject/", {"reason": make.reason().code}, format="json")

    assert refused(answer, 403, "denied") == "Your role may not reject studies."


def test_a_step_from_the_wrong_state_is_a_conflict(desk):
    answer = desk.post(f"/api/studies/{make.study().pk}/unmap/", {}, format="json")

    assert "held" in refused(answer, 409, "conflict")


STEPS = {
    "settle": "receiving",
    "map": "held",
    "reject": "held",
    "unmap": "mapped",
    "clear": "mapped",
    "release": "cleared",
    "reinstate": "rejected",
}


@pytest.mark.parametrize(("verb", "state"), STEPS.items())
def test_a_stale_version_is_a_conflict_and_changes_nothing(verb, state):
    make.rule()
    study, officer = make.study(state), signed_in(make.user("releaser"))
    Study.objects.filter(pk=study.pk).update(version=study.version + 1)
    bodies = {
        "map": {"order": str(make.order().pk), "intent": "read"},
        "clear": {"consent": CONSENT},
        "release": {"destinations": [str(make.destination().pk)]},
        "reject": {"reason": make.reason().code},
    }
    body = bodies.get(verb, {}) | {"version": study.version}

    answer = officer.post(f"/api/studies/{study.pk}/{verb}/", body, format="json")
    assert "Look at it again" in refused(answer, 409, "conflict")
    assert Study.objects.get(pk=study.pk).state == state


@pytest.mark.parametrize("verb", ["lease", "map"])
def test_a_lease_conflict_names_the_holder(desk, verb):
    study = make.study()
    lease.take(study, by=make.user("releaser"))
    body = {"order": str(make.order().pk), "intent": "read"} if verb == "map" else {}

    assert "Releaser has this study open" in refused(
        desk.post(f"/api/studies/{study.pk}/{verb}/", body, format="json"), 409, "conflict"
    )


def test_a_body_that_cannot_be_used_names_the_fields(desk):
    body = {"consent": {"basis": "whim", "evidence": "none"}, "overrides": [{"code": "odd"}]}
    answer = desk.post(f"/api/studies/{make.study('mapped').pk}/clear/", body, format="json")

    assert "consent.basis" in refused(answer, 422, "invalid")
    assert set(answer.json()["fields"]) == {"consent.basis", "overrides.0.reason"}


@pytest.mark.parametrize("body", [{"versoin": 3}, {"consent": {"untill": "2030-01-01"}}, {"overrides": [{"why": "x"}]}])
def test_a_field_that_the_call_does_not_know_is_not_ignored(desk, body):
    answer = desk.post(f"/api/studies/{make.study('mapped').pk}/clear/", {"consent": CONSENT} | body, format="json")

    assert "no such field" in refused(answer, 422, "invalid")


@pytest.mark.parametrize("sent", ["[1]", '"text"', "null"])
def test_a_body_that_is_no_object_is_422(desk, sent):
    for path in (f"/api/studies/{make.study().pk}/map/", "/api/orders/"):
        refused(desk.post(path, sent, content_type="application/json"), 422, "invalid")


def test_json_that_is_broken_is_told_so(desk):
    answer = desk.post("/api/orders/", "{", content_type="application/json")

    assert "JSON parse error" in refused(answer, 400, "parse_error")


def test_what_a_verb_refuses_is_422_with_its_sentence(desk):
    answer = desk.post(f"/api/studies/{make.study().pk}/map/", {"intent": "read"}, format="json")

    assert "Choose an order" in refused(answer, 422, "invalid")


@pytest.mark.parametrize(
    "query",
    ["state=hold", "source=x", "class=best", "mine=perhaps", "modality=%22", "colour=red", "cursor=x"],
)
def test_a_wrong_filter_is_never_taken_for_no_filter(desk, query):
    refused(desk.get(f"/api/studies/?{query}"), 422, "invalid")


NOBODY = uuid.UUID(int=0)


@pytest.mark.parametrize("path", [f"studies/{NOBODY}/", "studies/1/", "studies", f"orders/{NOBODY}/", "no/such/"])
def test_what_is_not_there_is_404(desk, path):
    refused(desk.get(f"/api/{path}"), 404, "not_found")


def test_a_method_that_an_address_does_not_know_is_405(desk):
    answer = desk.put("/api/studies/", {}, format="json")

    refused(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]


def test_a_grant_for_one_destination_does_not_open_another():
    pacs, research = make.destination("PACS"), make.destination("Research")
    lee = signed_in(make.user("lee", grants=[(Power.RELEASE, None, pacs)]))
    study = make.study("cleared")
    answer = lee.post(f"/api/studies/{study.pk}/release/", {"destinations": [str(research.pk)]}, format="json")

    assert "Research" in refused(answer, 403, "denied")
