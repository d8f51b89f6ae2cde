"""What changes on our side while pages are open, in Chromium: merges, late orders; and the managers' rehearsal."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from policies.models import User
from policies.roles import install
from reconciliation import tasks
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def order(page):
    return make.order(make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")]))


def test_a_merge_while_a_study_is_open_is_told_and_mapped_again_in_one_step(page, sign_in, order, axe):
    study = make.study("mapped", to=order)
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/")
    page.get_by_role("radio", name="Consent of the patient").check()
    page.get_by_label("Given by").fill("Anna Mueller")

    make.merge(order.patient, make.patient("Mueller-Schneider^Anna", ids=[("MRN2", "LOCAL")]))

    expect(page.locator("#told")).to_contain_text("was merged into Mueller-Schneider Anna")
    expect(page.get_by_label("Given by")).to_have_value("Anna Mueller")
    axe(page)
    page.get_by_role("link", name="Load it again").click()
    axe(page)
    page.get_by_role("button", name="Map again to MUELLER-SCHNEIDER, Anna").click()
    expect(page.locator(".result")).to_contain_text("Mapped again to MUELLER-SCHNEIDER, Anna")
    study.refresh_from_db()
    assert study.local_patient.name == "Mueller-Schneider^Anna"


def test_a_merge_of_a_candidate_is_told_at_a_held_study(page, sign_in, order):
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/")
    make.merge(order.patient, make.patient("Mueller-Schneider^Anna"))

    expect(page.locator("#told")).to_contain_text("was merged into")


def test_a_late_order_comes_to_the_top_marked_until_it_is_opened(page, sign_in, axe):
    waits = make.study("held")
    make.study("held", PatientName="Nguyen^Van", PatientBirthDate="19800101", PatientID="")
    at = timezone.now() - timedelta(hours=5)
    Study.objects.filter(pk=waits.pk).update(received_at=at, queued_at=at)
    make.order()
    tasks.sweep()
    sign_in(page, make.user("desk"))
    page.goto("/")

    expect(page.locator("tbody tr").first).to_contain_text("new candidate")
    expect(page.locator("#count-new")).to_have_text("1")
    axe(page)
    page.get_by_role("link", name="MUELLER, Anna").click()
    expect(page.locator("#lease")).to_contain_text("Yours until")
    page.goto("/")
    expect(page.locator("#count-new")).to_have_text("0")


def test_a_rehearsal_is_read_in_the_administration(page, sign_in, order):
    make.authority("GENERAL HOSPITAL")
    policy = make.policy(automatic=False, approved_by=None, approved_at=None)
    make.study("rejected")
    make.study("mapped", to=order)
    nguyen = make.order(make.patient("Nguyen^Van", birth_date=None))
    make.study("mapped", to=nguyen, PatientName="Nguyen^Van", PatientID="N-1")
    install()
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    sign_in(page, User.objects.get(username="manager"))
    page.goto(f"/admin/policies/matchingpolicy/{policy.pk}/change/")
    page.get_by_role("link", name="Rehearse it on past studies").click()

    result = "it would have matched 2, of which 1 differ from what people decided, and left 1 to people."
    expect(page.locator("#content")).to_contain_text(result)
    page.get_by_role("link", name="CT 2004-01-19").first.click()
    expect(page.locator("#title")).to_contain_text("MUELLER, Anna")
