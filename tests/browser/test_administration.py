"""The administration as managers use it: by topic, by keyboard, in light and dark."""

import pytest
from playwright.sync_api import expect

from policies.models import Organisation, User
from tests import make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


@pytest.fixture
def manager(page, sign_in):
    user = make.user("manager")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    sign_in(page, User.objects.get(pk=user.pk))
    return user


@pytest.fixture
def partners():
    general = Organisation.objects.create(name="General Hospital Trust", contact="Image desk", phone="555 0100")
    source = make.source("General Hospital", organisation=general)
    source.systems.create(ae_title="GENERAL_CT2", network="10.1.2.0/24")
    return {"source": source, "destination": make.destination(port=1), "retentionrule": make.rule()}


def both_schemes(page, axe) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        axe(page)


def test_the_index_is_by_topic_and_shows_only_what_a_manager_may_see(page, manager, axe):
    page.goto("/admin/")

    topics = page.locator(".topic h2").all_text_contents()
    assert topics[0] == "Partners"
    assert {"Retention", "Mapping and matching", "Orders and HL7"} <= set(topics)
    expect(page.get_by_role("link", name="Sources", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Users", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Groups", exact=True)).to_have_count(0)
    both_schemes(page, axe)


def test_a_page_is_found_by_typing_and_opened_with_enter(page, manager):
    page.goto("/admin/")
    field = page.get_by_label("Find a page")
    field.fill("released go")

    expect(page.locator(".page:visible")).to_have_count(1)
    field.press("Enter")
    page.wait_for_url("**/policies/destination/")


@pytest.mark.parametrize("model", ["source", "destination", "retentionrule"])
def test_the_pages_of_a_partner_are_accessible(page, manager, partners, axe, model):
    page.goto(f"/admin/policies/{model}/{partners[model].pk}/change/")
    both_schemes(page, axe)
    page.goto(f"/admin/policies/{model}/")
    both_schemes(page, axe)


def test_a_destination_is_tested_by_a_button_and_the_answer_is_in_words(page, manager, partners, axe):
    page.goto(f"/admin/policies/destination/{partners['destination'].pk}/change/")
    page.get_by_role("button", name="Test as stored").click()

    expect(page.locator(".messagelist")).to_contain_text("Nobody listens at 127.0.0.1:1")
    both_schemes(page, axe)
