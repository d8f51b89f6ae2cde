"""The desk in Chromium while an order waits for the number of the order system."""

import pytest
from playwright.sync_api import expect

from orders import outbound
from orders.models import Notice, Order
from policies.models import ProcedureRule
from tests import make

pytestmark = pytest.mark.usefixtures("data_dir")
POLLED = 15_000  # ms: the page asks every five seconds


@pytest.fixture
def study():
    """Of a patient of ours who has no order; the RIS is told of new ones."""
    make.patient()
    make.sequence()
    make.order_system()
    ProcedureRule.objects.create(procedure=make.procedure(), modality="CT")
    return make.study("held")


def generate(page, sign_in, study) -> None:
    sign_in(page, make.user("desk"))
    page.goto(f"/studies/{study.pk}/")
    expect(page.locator("#lease")).to_contain_text("Yours until")
    page.get_by_text("No order fits: generate one").click()
    expect(page.get_by_text("By the procedure map: Outside studies CT.")).to_be_visible()
    page.get_by_role("button", name="Generate order").press("Enter")
    expect(page.locator(".result")).to_contain_text("It can be mapped when its accession number is here.")


def test_the_page_goes_on_by_itself_when_the_number_comes(page, sign_in, study):
    generate(page, sign_in, study)
    page.get_by_label("For reference").check()
    expect(page.locator("#changes")).to_contain_text("This order has no accession number yet.")
    order = Order.objects.get()
    order.accession_number = "A26-9913"
    order.save(update_fields=["accession_number"])
    outbound.heard(order, by="RIS")

    expect(page.locator("#changes")).to_contain_text("A26-9913", timeout=POLLED)
    expect(page.locator(".option").first).to_contain_text("RIS gave it its accession number.")
    page.get_by_role("button", name="Map", exact=True).click()
    expect(page.locator(".result")).to_contain_text("A26-9913")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_refusal_shows_itself_and_the_order_is_cancelled(page, sign_in, study, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    generate(page, sign_in, study)
    Notice.objects.update(state="refused", attempts=1, problem="No such code.")
    expect(page.locator(".option").first).to_contain_text("RIS refuses it: No such code.", timeout=POLLED)
    expect(page.get_by_role("button", name="Send the order again")).to_be_visible()
    axe(page)
    page.get_by_text("Cancel this order").click()
    page.get_by_label("Why?").fill("Not needed")
    page.get_by_label("Why?").press("Enter")

    expect(page.locator(".result")).to_contain_text("is cancelled")
    assert Order.objects.get().status == "cancelled"
