"""Two persons at the desk, and an emergency, in Chromium."""

import os

import pytest
from playwright.sync_api import expect

from policies.models import Power, SecondPerson
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.usefixtures("data_dir")


def picture(page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_one_person_asks_and_another_one_approves(page, sign_in, axe):
    SecondPerson.objects.create(power=Power.RELEASE)
    make.destination(offered=True)
    study = make.study("cleared")
    sign_in(page, make.user("releaser"))
    page.goto(f"/studies/{study.pk}/")
    expect(page.locator("#lease")).to_contain_text("Yours until")
    picture(page, "ask")
    page.get_by_role("button", name="Ask for release").click()
    expect(page.locator(".result")).to_contain_text("Asked for.")
    expect(page.locator(".bar")).to_contain_text("another person must approve it")
    picture(page, "asked")

    sign_in(page, make.user("second", group="Releasing officers"))
    page.goto("/?state=cleared")
    expect(page.locator("tbody")).to_contain_text("waits for a second person")
    picture(page, "queue")
    page.goto(f"/studies/{study.pk}/")
    expect(page.locator("#lease")).to_contain_text("Yours until")
    picture(page, "approve")
    axe(page)
    page.get_by_role("button", name="Approve release").click()
    expect(page.locator(".result")).to_contain_text("Released to PACS. 1 delivery waiting.")
    assert Study.objects.get(pk=study.pk).released_by.username == "second"


def test_a_study_is_opened_in_an_emergency_and_that_is_reviewed(page, sign_in, axe):
    study = make.study("held")
    there = make.source("There")
    powers = [(Power.VIEW, there, None), (Power.RECONCILE, there, None), (Power.EMERGENCY, None, None)]
    sign_in(page, make.user("lee", grants=powers))
    page.goto("/emergency/")
    picture(page, "emergency")
    axe(page)
    page.get_by_label("Study Instance UID").fill(study.patient_id)
    page.get_by_label("What is the emergency?").fill("Stroke, the patient is in the shock room")
    page.get_by_role("button", name="Open in an emergency").click()
    expect(page.locator(".emergency")).to_contain_text("Opened in an emergency until")
    picture(page, "opened")

    sign_in(page, make.user("auditor"))
    page.goto("/emergencies/")
    picture(page, "emergencies")
    axe(page)
    page.get_by_label("What did you find?").fill("Justified")
    page.get_by_role("button", name="Mark as reviewed").click()
    expect(page.locator("tbody")).to_contain_text("Justified")
