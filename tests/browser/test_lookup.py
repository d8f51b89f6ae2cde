"""Worklist and demographics asked from the desk: the page goes on, and what is found appears in it."""

import re

import pytest
from playwright.sync_api import expect

from orders.models import DemographicsSource, Worklist
from policies.models import AssigningAuthority
from reconciliation import asking
from tests import make
from tests.wire import worklists
from tests.wire.conftest import a_free_port
from tests.wire.test_worklist import running

pytestmark = pytest.mark.usefixtures("data_dir")


def test_what_is_found_appears_while_the_page_is_open(page, sign_in, axe, tmp_path):
    AssigningAuthority.objects.create(namespace_id="LOCAL", local=True)
    other = make.order(make.patient("Mueller^Anne"), description="Chest X-ray")
    study = make.study("held")
    DemographicsSource.objects.create(name="EMR", host="127.0.0.1", port=a_free_port(), patience=2)
    sign_in(page, make.user("desk"))
    with running(worklists.WlmSCPFS, tmp_path) as peer:
        worklists.item(peer.folder, 1)
        Worklist.objects.create(name="RIS", ae_title=peer.ae_title, host="127.0.0.1", port=peer.port, patience=2)
        page.goto(f"/studies/{study.pk}/")
        page.get_by_role("radio", name=re.compile(other.accession_number)).check()
        page.get_by_role("button", name="Ask worklist and demographics").click()
        expect(page.locator("#lookup")).to_contain_text("Asking worklist and demographics")
        axe(page)
        asking.ask(study.pk)  # as the worker does

    expect(page.locator("#lookup")).to_contain_text("something new")
    expect(page.locator("#lookup")).to_contain_text("EMR at 127.0.0.1")
    expect(page.locator("#cards")).to_contain_text("WL0001")
    expect(page.get_by_role("radio", name=re.compile(other.accession_number))).to_be_checked()
    axe(page)


def test_where_nothing_is_chosen_the_page_waits_without_a_complaint(page, sign_in):
    study = make.study("held")
    Worklist.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=a_free_port(), patience=1)
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/")
    with page.expect_response("**/answers/**"):
        page.get_by_role("button", name="Ask worklist and demographics").click()
    asking.ask(study.pk)

    expect(page.locator("#lookup")).to_contain_text("nothing new")
    expect(page.locator("#lookup")).to_contain_text("Nobody listens")
