"""The consent at the desk: one click and one line for most studies, and only the questions that the basis asks."""

import pytest
from playwright.sync_api import expect

from policies import consent
from reconciliation import evidence
from tests import make
from tests.browser.test_desk import leased

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mapped(page, sign_in):
    """The page of a mapped study, at which somebody who may clear it sits."""
    make.rule()
    make.destination()
    consent.install()
    study = make.study("mapped")
    sign_in(page, make.user("releaser"))
    page.goto(f"/studies/{study.pk}/")
    leased(page)
    return study


def test_treatment_is_one_click_and_one_line(page, mapped, axe):
    expect(page.locator(".consenting .asked")).to_contain_text("Treatment suffices here, by rule 'Care'.")
    axe(page)
    page.get_by_role("radio", name="Needed for treatment").check()
    page.get_by_label("Evidence").fill("Referral of today")
    page.get_by_role("button", name="Clear for release").click()
    expect(page.locator(".result")).to_contain_text("Cleared")

    mapped.refresh_from_db()
    assert mapped.consent.by_rule == "Care"


def test_who_gave_it_is_asked_only_where_somebody_did(page, mapped):
    expect(page.get_by_label("Given by")).to_be_hidden()
    page.get_by_role("radio", name="Consent of the patient").check()
    expect(page.get_by_label("Given by")).to_be_visible()
    expect(page.get_by_label("Relation to the patient")).to_be_hidden()
    page.get_by_role("radio", name="Consent of a guardian").check()
    expect(page.get_by_label("Relation to the patient")).to_be_visible()


def test_a_scan_goes_along_and_can_be_downloaded(page, mapped, tmp_path):
    form = tmp_path / "form.pdf"
    form.write_bytes(b"%PDF-1.7\n%%EOF\n")
    page.get_by_role("radio", name="Consent of the patient").check()
    page.get_by_label("Given by").fill("Anna Mueller")
    page.locator("summary", has_text="Form, witness, scan, days").click()
    page.get_by_label("Scan").set_input_files(form)
    page.get_by_role("button", name="Clear for release").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Scanned form").click()

    mapped.refresh_from_db()
    assert download.value.path().read_bytes() == evidence.path(mapped.consent.scan.digest).read_bytes()


def test_a_withdrawal_is_recorded_on_the_page(page, sign_in, axe):
    study = make.study("released")
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/")
    page.locator("summary", has_text="The consent is withdrawn").click()
    page.get_by_label("Who withdraws it?").fill("Anna Mueller")
    page.get_by_label("Why, in their words").fill("No more")
    page.get_by_role("button", name="Record the withdrawal").click()
    expect(page.locator(".withdrawn")).to_contain_text("by Anna Mueller")
    expect(page.locator("#way")).to_contain_text("The consent was withdrawn on")
    axe(page)
