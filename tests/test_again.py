"""A sign-in grows old: what is most dangerous asks once more who it is, and nothing typed is lost (T12)."""

import time
import uuid

import pytest
from django.test import Client
from rest_framework.authtoken.models import Token

from policies.models import SecondPerson, User
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
OLD = 31 * 60


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


def signed_in(user: User, *, ago: float = 0) -> Client:
    client = Client()
    client.post("/login/", {"login": user.username, "password": PASSWORD})
    return aged(client, ago)


def aged(client: Client, ago: float) -> Client:
    session = client.session
    session["account_authentication_methods"] = [
        {**one, "at": time.time() - ago} for one in session["account_authentication_methods"]
    ]
    session.save()
    return client


GUARDED = [
    "/admin/policies/grant/add/",
    "/admin/policies/secondperson/add/",
    "/admin/policies/destination/add/",
    "/admin/policies/user/add/",
    "/admin/auth/group/add/",
    "/admin/policies/policyversion/import/",
]


@pytest.mark.parametrize("page", GUARDED)
def test_a_form_of_what_is_dangerous_asks_before_it_is_shown(root, page):
    asked = signed_in(root, ago=OLD).get(page)

    assert asked.url.startswith("/account/again/?next=%2Fadmin%2F")
    assert signed_in(root).get(page).status_code == 200


@pytest.mark.parametrize("page", ["/admin/", "/admin/policies/grant/", "/admin/policies/retentionrule/add/", "/"])
def test_nothing_else_asks(root, page):
    assert signed_in(root, ago=OLD).get(page).status_code == 200


def test_who_says_who_they_are_goes_on_to_the_form(root):
    client = signed_in(root, ago=OLD)
    asked = client.get("/admin/policies/grant/add/")
    then = client.post("/account/again/", {"password": PASSWORD, "next": "/admin/policies/grant/add/"})

    assert asked.url.endswith("next=%2Fadmin%2Fpolicies%2Fgrant%2Fadd%2F")
    assert then.url == "/admin/policies/grant/add/"
    assert client.get(then.url).status_code == 200


def test_what_was_typed_is_sent_again_after_saying_who_one_is(root):
    client, typed = signed_in(root, ago=OLD), {"power": "release", "active": "on"}
    refused = client.post("/admin/policies/secondperson/add/", typed)
    assert refused.status_code == 403
    assert "nothing is lost" in refused.content.decode()
    assert not SecondPerson.objects.exists()

    client.post("/account/again/", {"password": PASSWORD, "next": "/account/again/confirmed/"})
    client.post("/admin/policies/secondperson/add/", typed)  # as the browser does on reload
    assert SecondPerson.objects.get().power == "release"


def test_who_only_looks_is_not_asked():
    manager = make.user("manager")
    manager.is_staff = True
    manager.set_password(PASSWORD)
    manager.save()
    grant = manager.groups.get().grants.first()
    page = signed_in(manager, ago=OLD).get(f"/admin/policies/grant/{grant.pk}/change/")

    assert page.status_code == 200


def test_the_limit_is_a_setting(root, settings):
    settings.REAUTHENTICATE_ADMIN_SECONDS = 0

    assert signed_in(root, ago=OLD).get("/admin/policies/grant/add/").status_code == 200


@pytest.mark.parametrize("step", ["submit", "approve"])
def test_a_draft_over_rest_is_no_way_round(root, step):
    address = f"/api/policy/drafts/{uuid.uuid4()}/{step}/"

    assert "fresh sign-in" in signed_in(root, ago=OLD).post(address).json()["detail"]
    assert signed_in(root).post(address).status_code == 404


# --- at the desk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def officer() -> User:
    made = make.user("releaser")
    made.set_password(PASSWORD)
    made.save()
    return made


def release(client: Client, study: Study, **kwargs):
    said = {"to": make.destination().pk, "version": study.version}
    return client.post(f"/studies/{study.pk}/release/", said, **kwargs)


def test_a_release_asks_only_where_the_settings_say_so(officer, data_dir):
    assert release(signed_in(officer, ago=OLD), make.study("cleared")).status_code == 302
    assert Study.objects.get().state == "released"


def test_a_release_waits_until_its_person_has_said_who_they_are(officer, data_dir, settings):
    settings.REAUTHENTICATE_RELEASE_SECONDS = 300
    study, client = make.study("cleared"), signed_in(officer, ago=301)
    refused = release(client, study, headers={"HX-Request": "true"})
    assert (refused.status_code, refused["HX-Retarget"]) == (403, "#refusal")
    assert Study.objects.get().state == "cleared"

    client.post("/account/again/", {"password": PASSWORD, "next": "/account/again/confirmed/"})
    release(client, study, headers={"HX-Request": "true"})
    assert Study.objects.get().state == "released"


def test_a_session_over_rest_is_asked_too_and_a_token_is_not(officer, data_dir, settings):
    settings.REAUTHENTICATE_RELEASE_SECONDS = 300
    study, body = make.study("cleared"), {"destinations": [str(make.destination().pk)]}
    address = f"/api/studies/{study.pk}/release/"
    refused = signed_in(officer, ago=301).post(address, body, content_type="application/json")
    assert (refused.status_code, "fresh sign-in" in refused.json()["detail"]) == (403, True)

    token = {"authorization": f"Token {Token.objects.create(user=officer)}"}
    assert Client().post(address, body, content_type="application/json", headers=token).status_code == 200


def test_who_has_no_password_is_sent_to_where_they_sign_in(settings, data_dir):
    settings.REAUTHENTICATE_RELEASE_SECONDS = 300
    client, lee = Client(), make.user("lee", group="Releasing officers")
    lee.set_unusable_password()
    lee.save()
    client.force_login(lee)
    session = client.session
    session["begun"] = time.time() - 400
    session["seen"] = time.time()
    session.save()
    refused = release(client, make.study("cleared"))

    assert "/account/again/elsewhere/?next=" in refused.content.decode()
