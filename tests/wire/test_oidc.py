"""The hospital's own sign-in, spoken with a small OpenID Connect server on loopback."""

import json
import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from policies.models import LedgerLine, User

pytestmark = pytest.mark.django_db


class Server(BaseHTTPRequestHandler):
    claims: dict = {}

    def answer(self) -> None:
        here = f"http://{self.headers['Host']}"
        places = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "userinfo_endpoint": "/userinfo"}
        said = {
            "/.well-known/openid-configuration": {name: here + path for name, path in places.items()},
            "/token": {"access_token": "t", "token_type": "Bearer"},
            "/userinfo": self.claims,
        }[self.path]
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    do_GET = do_POST = answer

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(settings) -> Iterator[type[Server]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        app = {**settings.OIDC_APP, "client_id": "portal", "secret": "s"}
        app["settings"] = {**app["settings"], "server_url": f"http://127.0.0.1:{listening.server_port}"}
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
        settings.OIDC_GROUPS_CLAIM = "groups"
        yield Server
        listening.shutdown()


def sign_in() -> tuple[Client, object]:
    client = Client()
    leads = client.post("/account/oidc/hospital/")
    asked = parse_qs(urlsplit(leads.url).query)
    assert asked["redirect_uri"] == ["http://testserver/account/oidc/hospital/callback/"]
    assert "code_challenge" in asked
    return client, client.get("/account/oidc/hospital/callback/", {"code": "c", "state": asked["state"][0]})


def test_who_has_an_account_without_a_password_is_signed_in_with_their_groups(server):
    User.objects.create_user("lee")
    Group.objects.get_or_create(name="Auditors")
    server.claims = {"sub": "4711", "preferred_username": "lee", "groups": ["Auditors", "Cooks"]}
    assert "Sign in with Hospital account" in Client().get("/login/").content.decode()
    client, answer = sign_in()

    assert answer.url == "/"
    assert client.get("/").status_code == 200
    assert LedgerLine.objects.get(verb="sign in").detail == {"by": ["socialaccount"]}
    server.claims = {"sub": "4711", "preferred_username": "renamed", "groups": []}
    assert sign_in()[0].get("/").status_code == 200  # known by the subject from now on
    assert User.objects.get(username="lee").groups.count() == 0


def test_a_name_that_the_server_gives_to_another_person_opens_no_account_of_the_first(server):
    User.objects.create_user("lee")
    server.claims = {"sub": "4711", "preferred_username": "lee", "groups": []}
    assert sign_in()[0].get("/").status_code == 200
    server.claims = {"sub": "666", "preferred_username": "lee", "groups": []}
    client, answer = sign_in()

    assert answer.status_code == 403
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("name", ["root", "stranger"])
def test_who_has_none_or_one_with_a_password_is_refused_in_words(server, name):
    User.objects.create_superuser("root", password="x")
    server.claims = {"sub": "1", "preferred_username": name}
    client, answer = sign_in()

    assert answer.status_code == 403
    assert "Ask the administrator" in answer.content.decode()
    assert client.get("/").status_code == 302
    assert LedgerLine.objects.filter(verb="failed sign-in").count() == 1


def test_a_server_that_does_not_answer_is_said_in_words(server, settings):
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = "http://127.0.0.1:9"
    answer = Client().post("/account/oidc/hospital/")

    assert "did not answer as it should" in answer.content.decode()


def test_who_must_say_once_more_who_they_are_is_asked_by_the_server(server, settings):
    settings.REAUTHENTICATE_ADMIN_SECONDS = 1800
    made = User.objects.create_superuser("lee")
    server.claims = {"sub": "4711", "preferred_username": "lee"}
    client, _answer = sign_in()
    session = client.session
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": time.time() - 1801}]
    session.save()
    page = client.get("/admin/policies/grant/add/", follow=True).content.decode()
    form = unescape(re.search(r'action="(/account/oidc/hospital/[^"]*)"', page)[1])
    asked = parse_qs(urlsplit(client.post(form).url).query)
    then = client.get("/account/oidc/hospital/callback/", {"code": "c", "state": asked["state"][0]})

    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    assert then.url == "/admin/policies/grant/add/"
    assert client.get(then.url).status_code == 200
    assert not made.has_usable_password()


@pytest.mark.parametrize(
    ("claims", "columns", "led_to_one"),
    [
        ({}, {}, False),
        ({}, {"OIDC_TRUSTED": False}, True),
        ({"amr": ["pwd"]}, {}, True),
        ({"amr": ["pwd", "otp"]}, {"OIDC_TRUSTED": False}, False),
        ({"acr": "silver", "amr": ["mfa"]}, {"OIDC_ACR": ["gold"]}, True),
        ({"acr": "gold"}, {"OIDC_ACR": ["gold"]}, False),
    ],
)
def test_a_second_factor_of_ours_is_asked_of_whom_the_server_did_not_ask(server, settings, claims, columns, led_to_one):
    settings.MFA_REQUIRED = ["all"]
    for name, value in columns.items():
        setattr(settings, name, value)
    lee = User.objects.create_user("lee")
    server.claims = {"sub": "4711", "preferred_username": "lee", **claims}
    client, _answer = sign_in()

    assert not lee.has_usable_password()
    assert (client.get("/").status_code == 302) is led_to_one


def test_what_the_server_said_outlives_the_session_of_somebody_else(server, settings):
    settings.MFA_REQUIRED = ["all"]
    User.objects.create_user("lee")
    server.claims = {"sub": "4711", "preferred_username": "lee", "amr": ["pwd"]}
    client = Client()
    client.force_login(User.objects.create_user("other"))
    asked = parse_qs(urlsplit(client.post("/account/oidc/hospital/").url).query)
    client.get("/account/oidc/hospital/callback/", {"code": "c", "state": asked["state"][0]})

    assert client.get("/").status_code == 302
