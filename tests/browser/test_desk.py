"""The desk in Chromium: the whole walk by keyboard and by mouse, and every page for those who read it differently."""

import re

import pytest
from playwright.sync_api import expect

from policies.models import Power
from reconciliation import lease
from reconciliation.models import Delivery, Study
from tests import make

pytestmark = pytest.mark.usefixtures("data_dir")

STATES = ["receiving", "held", "mapped", "cleared", "released", "delivered", "rejected"]


@pytest.fixture
def policies():
    make.rule()
    make.reason()
    make.procedure()
    make.sequence()
    make.destination(offered=True)


@pytest.fixture
def order(page):
    """An order of the patient whom the outside study shows, and whom General Hospital has named before."""
    return make.order(make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")]))


def address(study) -> str:
    return f"/studies/{study.pk}/"


def leased(page) -> None:
    expect(page.locator("#lease")).to_contain_text("Yours until")
    expect(page.locator(".htmx-added, .htmx-settling")).to_have_count(0)  # what was put in listens by now


def focused(page, selector: str) -> None:
    expect(page.locator(selector).first).to_be_focused()


def test_a_study_is_mapped_cleared_and_released_by_keyboard_alone(page, sign_in, order, policies):
    study = make.study("held")
    keys = page.keyboard
    sign_in(page, make.user("desk"))
    page.goto("/")
    keys.press("j")
    keys.press("Enter")
    leased(page)
    keys.press("1")
    expect(page.locator("#changes")).to_contain_text(order.accession_number)
    keys.press("i")
    keys.press("Space")
    keys.press("Enter")
    expect(page.locator(".result")).to_contain_text(f"MUELLER, Anna (1961-03-04): CT chest {order.accession_number}.")
    focused(page, ".result")
    keys.press("i")
    keys.press("Space")
    keys.press("Tab")
    keys.type("Anna Mueller")
    keys.press("Tab")
    page.locator("[name=evidence]").focus()
    keys.type("Form 12")
    page.get_by_role("button", name="Clear for release").focus()
    keys.press("Enter")
    expect(page.locator(".result")).to_contain_text("Cleared")

    sign_in(page, make.user("releaser"))
    page.goto(address(study))
    leased(page)
    keys.press("i")
    focused(page, "[name=to]")
    keys.press("Enter")
    expect(page.locator(".result")).to_contain_text("Released to PACS. 1 delivery waiting.")

    study.refresh_from_db()
    assert (study.state, study.order, study.intent) == ("released", order, "reference")


def test_a_study_is_mapped_cleared_and_released_by_mouse(page, sign_in, order, policies):
    study = make.study("held")
    sign_in(page, make.user("releaser"))
    page.goto("/")
    page.get_by_role("link", name="MUELLER, Anna").click()
    page.get_by_role("radio", name=re.compile(order.accession_number)).check()
    page.get_by_role("radio", name="To be read here").check()
    page.get_by_role("button", name="Map", exact=True).click()
    page.get_by_role("radio", name="Consent of the patient").check()
    page.get_by_label("Given by").fill("Anna Mueller")
    page.get_by_label("Evidence").fill("Form 12")
    page.get_by_role("button", name="Clear for release").click()
    page.get_by_role("button", name="Release", exact=True).click()
    expect(page.locator(".result")).to_contain_text("Released to PACS.")

    study.refresh_from_db()
    assert (study.state, study.intent) == ("released", "read")


def test_a_refusal_is_read_out_and_nothing_typed_is_lost(page, sign_in, policies, complaints):
    complaints.expect("422")
    study = make.study("mapped")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    leased(page)
    page.get_by_role("radio", name="Consent of the patient").check()
    page.get_by_label("Evidence").fill("Form 12, long and hard to type again")
    page.get_by_role("button", name="Clear for release").click()

    expect(page.get_by_role("alert")).to_contain_text("Say who gave the consent.")
    focused(page, "#refusal")
    expect(page.get_by_label("Evidence")).to_have_value("Form 12, long and hard to type again")


def test_someone_elses_lease_shows_and_is_taken_over_with_a_reason(page, sign_in):
    study, lee = make.study("held"), make.user("lee", group="Reconciliation")
    lease.take(study, by=lee)
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    expect(page.get_by_role("button", name="Map", exact=True)).to_be_disabled()
    page.locator("summary", has_text="Lee has this study open since").click()
    page.get_by_label("Why do you take it over?").fill("Lee has gone home")
    page.get_by_role("button", name="Take over").click()

    leased(page)
    expect(page.get_by_role("button", name="Map", exact=True)).to_be_enabled()


def test_leaving_the_page_gives_the_study_back(page, sign_in):
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    leased(page)
    page.goto("/")
    for _ in range(50):
        study.refresh_from_db()
        if lease.holder(study) is None:
            break
        page.wait_for_timeout(100)

    assert lease.holder(study) is None


def test_keys_rest_while_somebody_types_and_can_be_switched_off(page, sign_in, order):
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    page.keyboard.press("/")
    page.keyboard.type("1?n")
    expect(page.get_by_role("searchbox")).to_have_value("1?n")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_label("Single keys are on").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("1")

    expect(page.locator("[name=choice]:checked")).to_have_count(0)


def test_another_patient_is_found_and_an_order_is_generated(page, sign_in, policies):
    other = make.patient("Haddad^Amina")
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    leased(page)
    page.get_by_role("searchbox").fill("Haddad, Amina")
    page.get_by_role("searchbox").press("Enter")
    focused(page, "#found")
    page.get_by_text("No order fits: generate one").click()
    page.get_by_label("Procedure").select_option(label="Outside CT, import")
    page.get_by_role("button", name="Generate order").click()

    expect(page.locator(".result")).to_contain_text("generated and chosen")
    expect(page.locator("[name=choice]:checked")).to_have_value(f"order:{other.orders.get().pk}")
    assert "Haddad" not in page.url
    study.refresh_from_db()
    assert study.state == "held"


def test_news_wait_at_the_top_and_move_no_row(page, sign_in):
    make.study("held")
    sign_in(page, make.user("desk"))
    page.goto("/")
    make.study("held", PatientID="OUT-2", PatientName="Haddad^Amina")
    page.evaluate("htmx.ajax('GET', document.getElementById('news').getAttribute('hx-get'), {target: '#news'})")

    expect(page.locator("#news")).to_contain_text("1 new")
    expect(page.locator("#count-held")).to_have_text("2")
    expect(page.locator("a.row")).to_have_count(1)
    page.keyboard.press(".")
    expect(page.locator("a.row")).to_have_count(2)


def test_a_refused_delivery_is_sent_again(page, sign_in):
    study = make.study("released")
    Delivery.objects.update(state="refused", attempts=1, problem="The archive has no room.")
    sign_in(page, make.user("releaser"))
    page.goto(address(study))
    expect(page.locator(".ladder")).to_contain_text("The archive has no room.")
    page.get_by_role("button", name="Send again now").click()

    expect(page.locator(".ladder")).to_contain_text("Waiting to be sent")


def test_somebody_signs_in_and_out(page):
    user = make.user("desk")
    user.set_password("a long password")
    user.save()
    page.goto("/")
    page.get_by_label("Name").fill("desk")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Queue")).to_be_attached()
    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def both_schemes(page, axe) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        axe(page)


@pytest.mark.parametrize("state", STATES)
def test_a_study_is_accessible_in_every_state(page, sign_in, axe, order, policies, state):
    study = make.study(state)
    sign_in(page, make.user("releaser"))
    page.goto(address(study))
    if state == "held":
        leased(page)
        page.keyboard.press("1")
        expect(page.locator("#changes")).to_contain_text(order.accession_number)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = !one.matches('.drawer'))")

    both_schemes(page, axe)


def test_a_barred_study_with_findings_is_accessible(page, sign_in, axe, order, policies):
    study, lee = make.study("held", PatientIdentityRemoved="YES"), make.user("lee", group="Reconciliation")
    study.findings.create(code="another_patient", severity="block", sentence="Another patient's.")
    lease.take(study, by=lee)
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    expect(page.locator("#lease")).to_contain_text("Lee has this study open since")

    both_schemes(page, axe)


@pytest.mark.parametrize("where", ["/", "/?state=rejected", "/submissions/", "/unreadable/", "/ledger/", "/login/"])
def test_lists_and_the_sign_in_are_accessible(page, sign_in, axe, order, where):
    make.study("held", BurnedInAnnotation="YES")
    if where != "/login/":
        sign_in(page, make.user("all", grants=[(power, None, None) for power in (Power.RECONCILE, Power.AUDIT)]))
    page.goto(where)

    both_schemes(page, axe)


def test_the_key_sheet_is_accessible(page, sign_in, axe):
    sign_in(page, make.user("desk"))
    page.goto("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()

    both_schemes(page, axe)


@pytest.mark.parametrize("size", [(320, 640), (683, 384)])
def test_a_study_reflows_on_small_screens(page, sign_in, order, size):
    """320 px, and 1366x768 at 200 %: nothing is cut off at the side (WCAG 1.4.10)."""
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(address(study))

    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_control_is_large_enough_to_hit(page, sign_in, order, policies):
    """24 px at least, or as much room around it (WCAG 2.5.8); links in a line of text are exempt."""
    study = make.study("held")
    sign_in(page, make.user("releaser"))
    page.goto(address(study))
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, summary, input:not([type=hidden])")]
           .map(one => one.closest("label") ?? one).filter(one => one.checkVisibility())
           .map(one => [one.textContent.trim().slice(0, 30), one.getBoundingClientRect().height])
           .filter(([, height]) => height < 24)"""
    )

    assert small == []


def test_the_whole_decision_shows_at_once_on_the_smallest_desk(page, sign_in, order):
    """At 1366x768 candidate, first changes and the question are in view, and the page itself does not scroll."""
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    page.keyboard.press("1")
    expect(page.locator("#changes")).to_contain_text(order.accession_number)

    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    for selector in (".card", "#map-form button", "#changes .group"):
        expect(page.locator(selector).first).to_be_in_viewport()


def test_a_change_meanwhile_is_said_on_the_open_page(page, sign_in):
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    leased(page)
    Study.objects.filter(pk=study.pk).update(version=study.version + 1)
    page.evaluate("window.dispatchEvent(new Event('focus'))")

    expect(page.locator("#lease")).to_contain_text("Changed since you opened it.")


def test_a_form_that_opens_takes_the_focus_and_single_keys_rest(page, sign_in):
    study, lee = make.study("held"), make.user("lee", group="Reconciliation")
    make.study("held", PatientID="OUT-2")
    lease.take(study, by=lee)
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    page.locator("summary", has_text="Lee has this study open since").click()
    focused(page, "#lease [name=reason]")
    page.keyboard.type("now please")
    expect(page.locator("#lease [name=reason]")).to_have_value("now please")
    page.locator("#title").focus()
    page.keyboard.type("n")
    page.wait_for_timeout(300)
    assert page.url.endswith(address(study))

    page.keyboard.press("Escape")
    focused(page, "#lease summary")
    page.keyboard.type("n")
    page.wait_for_timeout(300)
    assert page.url.endswith(address(study))


@pytest.mark.parametrize("words", ["Undo the mapping", "Reject"])
def test_the_first_field_of_a_step_has_the_focus(page, sign_in, policies, words):
    study = make.study("mapped")
    sign_in(page, make.user("releaser"))
    page.goto(address(study))
    leased(page)
    page.locator("summary", has_text=words).click()

    focused(page, "details.drawer[open] :is(input:not([type=hidden]), select)")


def test_what_speaks_against_a_choice_is_said_before_and_after(page, sign_in, axe, policies):
    study, order = make.study("held", PatientSex="M"), make.order(make.patient())
    sign_in(page, make.user("desk"))
    page.goto(f"{address(study)}?choice=order:{order.pk}")
    leased(page)
    expect(page.locator("#changes [role=alert]")).to_contain_text("another sex")
    page.get_by_role("radio", name="To be read here").check()
    expect(page.locator("#map-form")).to_contain_text("Needs an override by somebody who may.")
    both_schemes(page, axe)
    page.get_by_role("button", name="Map", exact=True).click()

    expect(page.locator(".decided")).to_contain_text("conflict")
    expect(page.locator(".decided .different").first).to_be_visible()
    expect(page.locator(".findings")).to_contain_text("A releasing officer must override this.")
    expect(page.get_by_role("button", name="Clear for release")).to_be_disabled()
    both_schemes(page, axe)


def test_a_refusal_takes_the_place_of_what_went_well_before(page, sign_in, order, policies, complaints):
    complaints.expect("409")
    study = make.study("held")
    sign_in(page, make.user("desk"))
    page.goto(f"{address(study)}?choice=order:{order.pk}")
    leased(page)
    page.get_by_role("radio", name="To be read here").check()
    page.get_by_role("button", name="Map", exact=True).click()
    expect(page.locator(".result")).to_contain_text("Mapped to MUELLER, Anna")
    expect(page.locator("#lease [name=shown]")).to_have_value("mine")  # its first look is over: no reload any more
    Study.objects.filter(pk=study.pk).update(version=9)
    page.locator("summary", has_text="Undo the mapping").click()
    page.locator(".drawer[open] button").click()

    focused(page, "#refusal")
    expect(page.locator(".result")).to_have_count(0)
    expect(page.locator("#refusal a")).to_have_text("Load the page again")


def test_who_may_not_take_the_next_step_keeps_nobody_out(page, sign_in):
    study = make.study("cleared")
    sign_in(page, make.user("desk"))
    page.goto(address(study))
    expect(page.locator("#lease")).to_contain_text("Read only.")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.wait_for_timeout(500)

    study.refresh_from_db()
    assert study.lease_by is None
    expect(page.locator("summary", has_text="Undo the mapping")).to_be_visible()


def test_a_delivery_that_does_not_arrive_is_seen_in_the_queue_and_on_the_page(page, sign_in, axe):
    study = make.study("released")
    Delivery.objects.update(attempts=3, problem="ARCHIVE does not answer.")
    sign_in(page, make.user("releaser"))
    page.goto("/")
    page.get_by_role("link", name="Not arrived").click()
    expect(page.locator("tr", has_text="MUELLER")).to_contain_text("delivery delayed")
    both_schemes(page, axe)
    page.goto(address(study))
    expect(page.locator(".bar")).to_contain_text("ARCHIVE does not answer. Tried 3 times, again at")
    Delivery.objects.update(state="refused")
    page.evaluate("htmx.ajax('GET', document.getElementById('deliveries').getAttribute('hx-get'), '#deliveries')")

    expect(page.locator(".bar")).to_contain_text("is refused: a person must act")
    both_schemes(page, axe)
