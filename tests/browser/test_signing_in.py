"""Signing in, the pages of one's account, and a session that ends while a page is open."""

import re
import time

import pytest
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.sessions.models import Session
from django.core.cache import cache

from tests import make

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def desk():
    cache.clear()
    user = make.user("desk")
    user.set_password(PASSWORD)
    user.save()
    return user


def enter(page, password=PASSWORD):
    page.goto("/login/")
    page.keyboard.type("desk")
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_ones_account_can_be_used_by_everybody(page, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto("/login/")
    axe(page)
    enter(page, "wrong")
    page.get_by_role("alert").get_by_text("do not fit").wait_for()
    axe(page)
    enter(page)
    page.wait_for_url("/")
    for where in ["/account/second-factor/", "/account/sessions/", "/account/password/", "/account/second-factor/app/"]:
        page.goto(where)
        axe(page)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Set up").wait_for()
    axe(page)
    secret = page.locator(".raw").inner_text()
    page.get_by_label(re.compile("Code")).fill(code(secret))
    page.get_by_role("button", name="Set up").click()
    page.wait_for_url("**/codes/")
    axe(page)
    page.goto("/account/second-factor/app/remove/")
    axe(page)


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def test_going_back_after_signing_out_shows_nobody_the_page(page):
    study = make.study()
    enter(page)
    page.wait_for_url("/")
    page.goto(f"/studies/{study.pk}/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/**")
    page.go_back()
    page.wait_for_url("**/login/**")

    assert page.get_by_role("heading", name="Sign in").is_visible()


def test_who_leaves_the_desk_is_warned_and_can_stay(page, settings, sign_in, desk):
    settings.IDLE_SECONDS = 9
    sign_in(page, desk)
    page.goto("/")
    page.get_by_role("button", name="Stay signed in").click()

    page.get_by_role("alertdialog").wait_for(state="hidden")
    assert page.goto("/submissions/").ok


def test_a_page_that_nobody_uses_goes_to_the_sign_in(page, settings, sign_in, desk):
    settings.IDLE_SECONDS = 6
    sign_in(page, desk)
    page.goto("/submissions/")
    page.wait_for_url("**/login/?next=/submissions/")


def test_what_was_typed_outlives_the_session_and_can_be_sent_after_signing_in_again(page, sign_in, desk, complaints):
    complaints.expect("403")  # the lease that an open page renews
    study = make.study("mapped")
    sign_in(page, desk)
    page.goto(f"/studies/{study.pk}/")
    field = page.locator("main [name=evidence]").first
    field.evaluate("field => { field.closest('details')?.setAttribute('open', ''); field.value = 'Typed with care'; }")
    Session.objects.all().delete()
    page.evaluate("document.getElementById('ending').show(); window.dispatchEvent(new Event('focus'))")
    page.get_by_text("in the new window").wait_for()
    sign_in(page, desk)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.get_by_role("alertdialog").wait_for(state="hidden")

    assert field.input_value() == "Typed with care"


def test_no_page_of_ours_can_be_framed(page, complaints, live_server):
    complaints.expect("frame-ancestors")
    complaints.expect("X-Frame-Options")
    complaints.expect("frame")
    page.goto("/login/")
    page.evaluate("document.body.append(Object.assign(document.createElement('iframe'), { src: '/login/', id: 'f' }))")
    time.sleep(0.5)

    assert page.frames[-1].url != f"{live_server.url}/login/"
