"""The pages of record quality and of the rules of what is written, as people see them."""

import os
from pathlib import Path

import pytest
from django.urls import reverse

from policies.models import CoercionRule, QualityRule, User
from reconciliation import release
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


def seen(page, name: str) -> None:
    """A picture for whoever wants to look at it."""
    if folder := os.environ.get("IMGSHARE_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture
def troubled():
    """A study kept apart, one with a proposed rejection, and one that was rejected."""
    reason = make.reason("incomplete")
    QualityRule.objects.create(
        code="detector-id", kind="required", attribute="DetectorID", modality="MR", severity="warn"
    )
    QualityRule.objects.create(
        code="birth-date",
        kind="required",
        attribute="PatientBirthDate",
        severity="override",
        follows="reject",
        reason=reason,
    )
    QualityRule.objects.create(
        code="study-id", kind="pattern", attribute="StudyID", accepted="[A-Z]*", severity="warn", follows="segregate"
    )
    apart, sound = make.study(StudyID="17"), make.study(StudyID="A17", PatientBirthDate="")
    rejected = make.study(of=make.source("City Clinic"), StudyID="A1", PatientBirthDate="")
    release.reject(rejected, reason=reason, by=make.user("releaser"))
    return apart, sound, rejected


def test_numbers_letters_and_what_is_kept_apart_are_accessible(page, sign_in, axe, troubled):
    rejected = troubled[2]
    sign_in(page, make.user("manager"))
    page.goto("/quality/")
    seen(page, "quality")
    axe(page)
    page.get_by_role("row", name="City Clinic").get_by_role("link").first.click()
    seen(page, "found")
    assert page.locator("table.queue tbody tr").count() == 1
    page.goto(f"/studies/{rejected.pk}/letters/")
    seen(page, "letter")
    axe(page)
    page.goto("/?state=open&segregated=1")
    seen(page, "apart")
    axe(page)
    assert page.locator("table.queue tbody tr").count() == 1
    assert page.locator("#count-segregated").inner_text() == "1"


def test_a_proposed_rejection_stands_ready(page, sign_in, troubled):
    sign_in(page, make.user("releaser"))
    page.goto(f"/studies/{troubled[1].pk}/")
    page.get_by_text("Reject…").click()
    seen(page, "reject")
    assert page.locator("select[name=reason] option:checked").inner_text() == "These are not our patient's images."


def test_a_purpose_that_a_rule_asks_for_shows_its_changes(page, sign_in):
    CoercionRule.objects.create(
        name="Read here", kind="label", attribute="StudyDescription", how="prefix", text="OUTSIDE", intent="read"
    )
    order = make.order()
    study = make.study()
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/?choice=order:{order.pk}")
    page.get_by_label("To be read here").check()
    page.get_by_text("Policy: Read here.").wait_for()
    seen(page, "purpose")
    page.get_by_role("button", name="Map", exact=True).click()
    page.get_by_text("Mapped to").first.wait_for()
    study.refresh_from_db()
    assert study.state == "mapped"


def test_a_study_read_for_others_is_chosen_by_its_number(page, sign_in):
    source = make.source("City Clinic", category="teleradiology")
    CoercionRule.objects.create(
        name="CC", kind="prefix", text="CC-", issuer="LOCAL", source=source, category="teleradiology"
    )
    study = make.study(of=source)
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/")
    seen(page, "prefix")
    page.get_by_role("button", name="CC-OUT-7781").click()
    page.get_by_text("Import without an order").first.wait_for()
    seen(page, "prefix-chosen")


def test_managers_try_a_draft(page, sign_in):
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    draft = CoercionRule.objects.create(
        name="Outside", kind="label", attribute="StudyDescription", how="prefix", text="FOREIGN", active=False
    )
    make.study()
    sign_in(page, make.user("manager"))
    page.goto(reverse("admin:policies_coercionrule_change", args=[draft.pk]))
    page.get_by_label("Text:", exact=True).fill("OUTSIDE")
    page.get_by_label("Active").check()
    page.get_by_label("Study:", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_text("OUTSIDE CT CHEST").wait_for()
    assert page.evaluate("document.activeElement.id") == "tryout"
    assert CoercionRule.objects.get().text == "FOREIGN"
    seen(page, "try")
    page.goto(reverse("admin:policies_qualityrule_add"))
    seen(page, "rule")
    page.goto(reverse("admin:policies_qualityrule_changelist"))
    seen(page, "rules")
