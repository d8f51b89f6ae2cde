"""Threats to a session: it is stolen, left open, guessed, forged (T12, T13), or its person looks at too much (T15)."""

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.usersessions.models import UserSession
from django.conf import settings as site
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client
from rest_framework.authtoken.models import Token

from imgshare_site import identities, quota, sittings
from policies.models import LedgerLine, User
from policies.problems import Denied
from tests import make

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def user() -> User:
    made = make.user("desk")
    made.set_password(PASSWORD)
    made.save()
    return made


def signed_in(name: str = "desk", password: str = PASSWORD, **kwargs) -> Client:
    client = Client(**kwargs)
    client.post("/login/", {"login": name, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def ledger(verb: str):
    return LedgerLine.objects.filter(verb=verb)


def later(client: Client, seconds: float, *, clock: str) -> None:
    """As if a clock of the session had been set so many seconds ago."""
    session = client.session
    session[clock] = time.time() - seconds
    session.save()


def test_signing_in_and_out_is_in_the_ledger(user):
    client = signed_in()
    assert is_in(client)
    client.post("/logout/")

    assert not is_in(client)
    assert [ledger(verb).get().actor_key for verb in ("sign in", "sign out")] == [str(user.pk)] * 2
    assert ledger("sign in").get().address == "127.0.0.1"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(user):
    cookie = signed_in().cookies[site.SESSION_COOKIE_NAME]

    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert site.SESSION_COOKIE_SECURE == site.HTTPS


def test_a_session_that_somebody_planted_does_not_become_mine(user):
    client = Client()
    planted = client.session
    planted["x"] = 1
    planted.save()
    client.cookies[site.SESSION_COOKIE_NAME] = planted.session_key
    client.post("/login/", {"login": "desk", "password": PASSWORD})

    assert is_in(client)
    assert client.session.session_key != planted.session_key
    assert not type(planted)().exists(planted.session_key)


def test_a_session_is_dead_elsewhere_after_the_password_was_changed(user):
    here, elsewhere = signed_in(), signed_in()
    new = {"oldpassword": PASSWORD, "password1": "another long one", "password2": "another long one"}
    assert here.post("/account/password/", new).status_code == 302

    assert is_in(here)
    assert not is_in(elsewhere)


def test_a_disabled_person_is_out_at_once_with_page_and_token(user):
    client, token = signed_in(), Token.objects.create(user=user)
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert not is_in(client)
    assert Client().get("/api/me/", HTTP_AUTHORIZATION=f"Token {token}").status_code == 401
    assert not is_in(signed_in())


def test_a_token_may_no_more_than_its_person():
    token = Token.objects.create(user=make.user("frontdesk"))
    answer = Client().post(f"/api/studies/{make.study('held').pk}/settle/", HTTP_AUTHORIZATION=f"Token {token}")

    assert answer.status_code == 403


def test_the_browser_forgets_its_pages_at_signing_out(user):
    assert signed_in().post("/logout/")["Clear-Site-Data"] == '"cache"'


def test_a_session_without_a_sign_ends_and_the_ledger_says_why(user):
    client = signed_in()
    assert is_in(client)
    later(client, site.IDLE_SECONDS + 1, clock=sittings.SEEN)

    assert not is_in(client)
    assert ledger("session ended").get().reason == "no sign of its person"


def test_what_an_open_page_asks_by_itself_is_no_sign(user):
    client = signed_in()
    assert is_in(client)
    later(client, site.IDLE_SECONDS - 5, clock=sittings.SEEN)

    assert client.get("/session/", headers={"X-Background": "1"}).json()["seconds"] <= 5
    assert client.get("/session/", headers={"X-Background": "1"}).json()["seconds"] <= 5
    assert client.get("/session/").json()["seconds"] > 60


def test_nobody_stays_longer_than_a_working_day(user):
    client = signed_in()
    assert is_in(client)
    later(client, site.SESSION_SECONDS + 1, clock=sittings.BEGUN)

    assert not is_in(client)


def test_an_open_page_whose_session_has_ended_is_told_so(user):
    client = signed_in()
    assert is_in(client)
    later(client, site.IDLE_SECONDS + 1, clock=sittings.SEEN)
    answer = client.get("/news/", headers={"HX-Request": "true"}, follow=True)

    assert "session has ended" in answer.content.decode()


def test_a_person_ends_their_sessions_elsewhere(user):
    here, elsewhere = signed_in(), signed_in()
    here.post("/account/sessions/")

    assert (is_in(here), is_in(elsewhere)) == (True, False)
    assert ledger("session ended").count() == 1


def test_the_administrator_ends_a_session(user):
    client, admin = signed_in(), Client()
    admin.force_login(User.objects.create_superuser("root", password=PASSWORD))
    row = UserSession.objects.get(user=user)
    assert admin.get(f"/admin/usersessions/usersession/{row.pk}/change/").status_code == 200
    admin.post(f"/admin/usersessions/usersession/{row.pk}/delete/", {"post": "yes"})

    assert not is_in(client)
    assert ledger("session ended").get().actor_key != str(user.pk)


def test_a_failed_sign_in_is_in_the_ledger_but_never_what_was_typed(user):
    signed_in(password="wrong")
    signed_in("my password by mistake", "x")

    lines = [(line.subject_key, line.subject_label) for line in ledger("failed sign-in").order_by("id")]
    assert lines == [(str(user.pk), str(user)), ("an unknown name", "an unknown name")]


def test_guessing_is_stopped_for_every_process(user):
    for _ in range(5):
        signed_in(password="wrong")
    refused = Client().post("/login/", {"login": "desk", "password": PASSWORD})

    assert "Too many attempts" in refused.content.decode()
    assert site.CACHES["default"]["BACKEND"].endswith("DatabaseCache")


def with_app(user: User) -> str:
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def test_a_second_factor_is_asked_for_at_every_door(user):
    secret = with_app(user)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    asked = client.post("/login/?next=/admin/", {"login": "desk", "password": PASSWORD})

    assert asked.url.startswith("/account/second-factor/code/")
    assert client.get("/admin/").status_code == 302
    client.post(asked.url, {"code": "000000"})
    assert ledger("failed sign-in").count() == 1
    client.post(asked.url, {"code": code(secret)})
    assert client.get("/admin/").status_code == 200


def test_who_needs_a_second_factor_and_has_none_is_led_to_it_and_nowhere_else(user, settings):
    settings.MFA_REQUIRED = ["Reconciliation"]
    client = signed_in()

    assert client.get("/").url == "/account/second-factor/app/"
    assert client.get("/api/studies/").status_code == 403
    assert client.get("/account/second-factor/app/").url.startswith("/account/again/")  # who are you, once more
    with_app(user)
    assert is_in(client)


def test_a_second_factor_is_set_up_only_by_who_has_just_proved_themselves(user, django_capture_on_commit_callbacks):
    client = signed_in()
    later(client, 0, clock=sittings.SEEN)
    asked = client.get("/account/second-factor/app/")
    assert asked.url.startswith("/account/again/")
    page = client.post(asked.url, {"password": PASSWORD, "next": "/account/second-factor/app/"}, follow=True)
    secret = page.context["form"].secret
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/account/second-factor/app/", {"code": code(secret)})

    assert Authenticator.objects.filter(user=user).count() == 2  # the app and recovery codes
    assert ledger("set up second factor").exists()


def test_a_person_who_needs_none_is_not_asked(user, settings):
    settings.MFA_REQUIRED = ["staff", "Auditors"]

    assert is_in(signed_in())


@pytest.mark.parametrize("limit", ["VIEWS_PER_MINUTE", "VIEWS_PER_DAY"])
def test_who_opens_more_than_anybody_reads_is_stopped_and_named_once(user, settings, limit):
    setattr(settings, limit, 3)
    client, study = signed_in(), make.study()
    answers = [client.get(f"/studies/{study.pk}/").status_code for _ in range(5)]

    assert answers == [200, 200, 200, 429, 429]
    assert client.get(f"/api/studies/{study.pk}/").status_code == 429
    assert ledger("many views").count() == 1


def test_who_says_that_a_page_asked_by_itself_is_stopped_too(user, settings):
    settings.VIEWS_PER_MINUTE = 3
    client, study = signed_in(), make.study()
    by_itself = {"X-Background": "1"}
    polled = [client.get(f"/studies/{study.pk}/deliveries/", headers=by_itself).status_code for _ in range(9)]
    opened = [client.get(f"/studies/{study.pk}/", headers=by_itself).status_code for _ in range(4)]

    assert (set(polled), opened) == ({302}, [200, 200, 200, 429])


def test_ten_pictures_count_as_one_view(user, settings):
    settings.VIEWS_PER_MINUTE = 1
    for _ in range(10):
        quota.count(user, weight=quota.PICTURE)

    with pytest.raises(quota.TooMany):
        quota.count(user)


def test_who_signs_in_by_the_hospital_gets_the_account_of_that_name_if_it_has_no_password(user):
    mine = User(username="lee")
    mine.set_unusable_password()
    mine.save()

    assert identities.owner({"preferred_username": "lee"}) == mine
    for name in ("desk", "nobody", ""):
        with pytest.raises(Denied):
            identities.owner({"preferred_username": name})


def test_the_hospital_makes_an_account_only_when_the_settings_say_so(settings):
    settings.OIDC_CREATE = True
    made = identities.owner({"preferred_username": "new", "given_name": "Nia"})

    assert (made.username, made.has_usable_password(), made.groups.count()) == ("new", False, 0)


def test_groups_of_the_hospital_are_those_that_exist_here(user):
    Group.objects.get_or_create(name="Auditors")
    identities.take_groups(user, ["Auditors", "Domain Users"])

    assert [group.name for group in user.groups.all()] == ["Auditors"]
    assert ledger("change groups").get().detail["new"] == ["Auditors"]
