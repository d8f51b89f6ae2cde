"""The study page and REST about orders that an order system is told of."""

import pytest
from django.urls import reverse

from orders import outbound
from orders.models import Notice, Order
from policies.models import ProcedureRule
from reconciliation import ordering
from tests import make
from tests.reconciliation.views.browsing import post, signed_in, text

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def desk():
    return signed_in(make.user("desk"))


@pytest.fixture
def placed():
    """A held study with an order that was placed for it."""
    make.sequence()
    make.order_system()
    make.procedure(modality="CT")
    study = make.study()
    return study, ordering.generate(study, make.patient(), by=make.user("desk"))


def page(client, study, order) -> str:
    return text(client.get(f"{reverse('study', args=[study.pk])}?choice=order:{order.pk}"))


def part(client, study, order, **asked):
    return text(client.get(reverse("told", args=[study.pk, order.pk]), asked, headers=HTMX))


def test_the_proposed_procedure_is_chosen_and_its_origin_shown(desk):
    make.patient()
    procedure = make.procedure()
    ProcedureRule.objects.create(procedure=procedure, modality="CT")
    shown = text(desk.get(reverse("study", args=[make.study().pk])))

    assert f'<option value="{procedure.pk}" selected>' in shown
    assert "By the procedure map: Outside studies CT." in shown


def test_an_order_that_waits_says_what_for(desk, placed):
    shown = page(desk, *placed)

    assert "number awaited" in shown
    assert "This order has no accession number yet. RIS is told of it, since" in shown


def test_a_generated_order_that_waits_is_chosen_and_not_offered_as_done(desk):
    make.sequence()
    make.order_system()
    study, patient = make.study(), make.patient()
    response = post(desk, "generate", study, patient=patient.pk, procedure=make.procedure().pk)

    assert "It can be mapped when its accession number is here." in text(desk.get(response.url))


def test_a_refusal_is_shown_in_its_words_and_can_be_sent_again(desk, placed):
    study, order = placed
    Notice.objects.update(state="refused", attempts=1, problem="No such code.")

    assert "RIS refuses it: No such code. Put right" in page(desk, study, order)
    said = {"notice": order.notices.get().pk}
    assert desk.post(reverse("tell-again", args=[study.pk, order.pk]), said).status_code == 302
    assert order.notices.get().state == "queued"


def test_the_part_asks_again_while_something_is_awaited_and_no_longer(desk, placed):
    assert 'hx-trigger="every 5s"' in part(desk, *placed, seen="queued")
    Notice.objects.update(state="refused", problem="No.")
    assert "every 5s" not in part(desk, *placed, seen="refused")


def test_a_number_that_came_brings_the_changes_of_the_chosen_order(desk, placed):
    study, order = placed
    order.accession_number = "A26-9913"
    order.save(update_fields=["accession_number"])
    outbound.heard(order, by="RIS")
    shown = part(desk, study, order, seen="accepted", choice=f"order:{order.pk}")

    assert f'id="number-{order.pk}" hx-swap-oob="true">A26-9913<' in shown
    assert f"/changes/?choice=order:{order.pk}" in shown
    assert "/changes/" not in part(desk, study, order, seen="accepted", choice="")
    assert "number-" not in part(desk, study, order, seen="answered", choice=f"order:{order.pk}")


def test_an_order_is_cancelled_from_the_page_with_a_reason(desk, placed):
    study, order = placed
    address = reverse("cancel-order", args=[study.pk, order.pk])

    assert desk.post(address, {"reason": ""}).status_code == 422
    assert desk.post(address, {"reason": "Wrong patient"}).status_code == 302
    assert Order.objects.get().status == "cancelled"


@pytest.mark.parametrize("verb", ["tell-again", "cancel-order"])
def test_these_steps_take_a_post_and_the_power(verb, desk, placed):
    study, order = placed
    address = reverse(verb, args=[study.pk, order.pk])
    said = {"notice": order.notices.get().pk, "reason": "No"}

    assert desk.get(address).status_code == 405
    assert signed_in(make.user("frontdesk")).post(address, said).status_code == 403
    assert Order.objects.get().is_open


def test_an_order_of_another_system_is_not_told_of_here(desk):
    study, order = make.study(), make.order()

    assert desk.get(reverse("told", args=[study.pk, order.pk])).status_code == 404


# --- REST ------------------------------------------------------------------------------------------------------------


def call(client, path, body=None):
    return client.post(f"/api/{path}/", body or {}, content_type="application/json")


def test_an_order_for_a_study_gets_the_mapped_procedure_and_shows_what_was_told(desk):
    make.sequence()
    make.order_system()
    make.procedure(modality="CT")
    body = {"patient": str(make.patient().pk), "study": str(make.study().pk)}
    made = call(desk, "orders", body).json()

    assert (made["procedure_code"], made["awaits_number"], made["accession_number"]) == ("OUTCT", True, "")
    (notice,) = made["notices"]
    assert (notice["kind"], notice["state"]) == ("new", "queued")
    assert notice["standing"].startswith("RIS is told of it")


def test_without_a_study_the_procedure_is_named(desk):
    answer = call(desk, "orders", {"patient": str(make.patient().pk)})

    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["procedure"])


def test_mapping_to_an_order_that_waits_is_a_conflict(desk, placed):
    study, order = placed
    answer = call(desk, f"studies/{study.pk}/map", {"order": str(order.pk), "intent": "reference"})

    assert answer.status_code == 409
    assert "no accession number yet" in answer.json()["detail"]


def test_an_order_is_cancelled_over_rest(desk, placed):
    _, order = placed
    answer = call(desk, f"orders/{order.pk}/cancel", {"reason": "Wrong patient"})

    assert (answer.json()["status"], answer.json()["notices"][0]["state"]) == ("cancelled", "withdrawn")
    assert call(desk, f"orders/{order.pk}/cancel", {"reason": "Wrong patient"}).status_code == 409


def test_a_notice_is_sent_again_over_rest(desk, placed):
    notice = placed[1].notices.get()
    Notice.objects.update(state="refused", problem="No.")

    assert call(desk, f"notices/{notice.pk}/retry").json()["state"] == "queued"
    assert call(signed_in(make.user("auditor")), f"notices/{notice.pk}/retry").status_code == 403
