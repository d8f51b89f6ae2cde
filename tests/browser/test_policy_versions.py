"""A manager changes a rule in the browser: warned of held studies, asked why, and shown the history."""

import pytest

from policies import versions
from policies.models import RetentionRule, User
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rule(data_dir):
    rule = make.rule(period="P1Y")
    versions.adopt(why="Test.")
    make.study()
    make.study("delivered")
    return rule


@pytest.fixture
def manager(page, sign_in):
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    sign_in(page, make.user("manager"))


def fill(page, rule, period: str) -> None:
    page.goto(f"/admin/policies/retentionrule/{rule.pk}/change/")
    page.get_by_label("Period").fill(period)
    page.get_by_label("Why").fill("The law changed.")


def test_a_change_is_warned_of_saved_and_found_in_the_history(page, rule, manager, axe):
    fill(page, rule, "P5Y")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Affects 1 study held now").wait_for()
    axe(page)
    page.get_by_role("button", name="Save all the same").click()
    page.get_by_text("was changed successfully").wait_for()

    page.goto(f"/admin/policies/retentionrule/{rule.pk}/history/")
    page.get_by_text("Version 2").wait_for()
    axe(page)
    page.get_by_label("Why").fill("It was a mistake.")
    page.get_by_role("button", name="Restore this version").click()
    page.get_by_text("is in force").wait_for()
    assert RetentionRule.objects.get().period == "P1Y"


def test_a_draft_is_kept_rehearsed_and_submitted(page, rule, manager, axe):
    fill(page, rule, "P5Y")
    page.get_by_label("Only a draft").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Rehearse").click()
    page.get_by_text("What it would do to studies").wait_for()
    axe(page)
    assert RetentionRule.objects.get().period == "P1Y"

    page.get_by_role("button", name="Submit").click()
    page.get_by_text("In force.").first.wait_for()
    assert RetentionRule.objects.get().period == "P5Y"


def test_a_file_is_exported_edited_and_looked_at_before_it_counts(page, rule, manager, axe, tmp_path):
    page.goto("/admin/policies/policyversion/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export all policies").click()
    file = tmp_path / "policies.yaml"
    file.write_text(download.value.path().read_text().replace("period: P1Y", "period: P5Y"))
    page.get_by_role("link", name="Import a file").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Why").fill("Reviewed.")
    page.get_by_role("button", name="Show the differences").click()
    page.get_by_text("Changed: retention rule").wait_for()
    axe(page)
    page.get_by_role("button", name="Make 1 change").click()
    page.get_by_text("1 rule was imported").wait_for()
    assert RetentionRule.objects.get().period == "P5Y"
