"""A security key as the second factor, with Chromium's own virtual one. It answers to pages of ours alone."""

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from playwright.sync_api import expect

from policies.models import LedgerLine
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct horse battery"
KEY = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": False}

# What a browser answers when nobody touches the key.
CANCELLED = "() => { navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError')) }"


@pytest.fixture
def desk():
    cache.clear()
    user = make.user("desk")
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def key(page):
    """A key that is plugged in and touched whenever it blinks."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {**KEY, "isUserVerified": True, "automaticPresenceSimulation": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def enter(page) -> None:
    page.goto("/login/")
    page.get_by_label("Name").fill("desk")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in", exact=True).click()


def added(page, axe) -> None:
    """A key called Blue, beside the recovery codes that come with the first one."""
    enter(page)
    page.wait_for_url(lambda address: "/login/" not in address)
    page.goto("/account/second-factor/keys/add/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name of the key").fill("Blue")
    axe(page)
    page.get_by_role("button", name="Add it").click()
    page.wait_for_url("**/second-factor/codes/")


def test_a_key_is_added_named_and_asked_for_at_the_next_sign_in(page, desk, key, axe):
    added(page, axe)
    page.goto("/account/second-factor/keys/")
    expect(page.locator("tbody")).to_contain_text("Blue")
    axe(page)
    page.get_by_role("button", name="Sign out").click()
    enter(page)
    page.wait_for_url("**/second-factor/code/")
    axe(page)
    page.get_by_role("button", name="Use the security key").click()
    page.wait_for_url("/")

    assert Authenticator.objects.get(type="webauthn").last_used_at
    assert LedgerLine.objects.filter(verb="set up second factor", actor_key=str(desk.pk)).exists()


def test_without_the_key_nobody_gets_in_and_the_page_says_so(page, desk, key, axe):
    added(page, axe)
    page.get_by_role("button", name="Sign out").click()
    enter(page)
    page.wait_for_url("**/second-factor/code/")
    page.evaluate(CANCELLED)
    page.get_by_role("button", name="Use the security key").click()
    expect(page.get_by_text("The key did not answer")).to_be_visible()

    page.goto("/")
    page.wait_for_url("**/login/**")


def test_a_key_is_renamed_and_removed_and_the_ledger_says_so(page, desk, key, axe):
    added(page, axe)
    page.goto("/account/second-factor/keys/")
    page.get_by_role("link", name="Rename Blue").click()
    axe(page)
    page.get_by_label("Name of the key").fill("Red")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Remove Red").click()
    axe(page)
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("You have none yet.")).to_be_visible()

    assert not Authenticator.objects.filter(type="webauthn").exists()
    assert LedgerLine.objects.filter(verb="remove second factor", actor_key=str(desk.pk)).exists()


def test_who_needs_a_second_factor_may_choose_a_key(page, desk, key, settings, axe):
    settings.MFA_REQUIRED = ["Reconciliation"]
    added(page, axe)
    page.goto("/")

    expect(page.locator("tbody, .nothing").first).to_be_visible()
