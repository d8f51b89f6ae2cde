"""The button that asks other systems, its answers on the page, and the same by REST."""

import pytest
from django.urls import reverse

from orders.models import Lookup, Worklist
from tests import make
from tests.reconciliation.views.browsing import post, signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
ANSWERS = [
    {"system": "RIS", "problem": "", "people": 0, "orders": 2, "new": 3, "notes": []},
    {
        "system": "EMR",
        "problem": "EMR has not answered within 5 seconds.",
        "people": 0,
        "orders": 0,
        "new": 0,
        "notes": [],
    },
]
BUTTON = "Ask worklist and demographics"


@pytest.fixture
def worklist() -> Worklist:
    return Worklist.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=1, patience=1)


def page(client, study) -> str:
    return text(client.get(reverse("study", args=[study.pk])))


def test_the_button_is_there_for_those_who_may_and_where_somebody_can_be_asked(desk):
    study = make.study()
    assert BUTTON not in page(desk, study)

    Worklist.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=1)
    assert BUTTON in page(desk, study)
    assert BUTTON not in page(signed_in(make.user("auditor")), study)


def test_without_scripts_the_button_is_a_form_and_the_page_says_what_goes_on(desk, worklist):
    study = make.study()

    assert post(desk, "lookup", study).status_code == 302
    assert "Asking worklist and demographics" in page(desk, study)


def test_the_page_says_what_each_system_said(desk, worklist):
    study = make.study()
    Lookup.objects.filter(pk=study.pk).update(answers=ANSWERS, asked_at=study.received_at, due_at=None, news=True)
    said = page(desk, study)

    assert "<b>RIS</b>: 2 orders" in said
    assert "EMR has not answered within 5 seconds." in said


def test_candidates_come_with_the_last_answer_and_a_choice_stays(desk, worklist):
    order = make.order(make.patient())
    study = make.study()
    Lookup.objects.filter(pk=study.pk).update(answers=ANSWERS, asked_at=study.received_at, due_at=None)
    asked = {"choice": f"order:{order.pk}"}
    said = text(desk.get(reverse("answers", args=[study.pk]), asked, headers={"HX-Request": "true"}))

    assert 'id="cards" hx-swap-oob="innerHTML"' in said
    assert f'value="order:{order.pk}"' in said
    assert " checked" in said


def test_by_rest_it_is_asked_for_and_its_answers_are_read(desk, worklist):
    study = make.study()
    Lookup.objects.filter(pk=study.pk).update(answers=ANSWERS, due_at=None, asked_at=study.received_at)
    address = f"/api/studies/{study.pk}/lookup/"

    assert desk.get(address).json()["answers"] == ANSWERS
    assert desk.post(address).json()["is_open"] is True


def test_by_rest_a_refusal_is_a_sentence(desk):
    answer = desk.post(f"/api/studies/{make.study().pk}/lookup/")

    assert (answer.status_code, answer.json()["problem"]) == (409, "conflict")
    assert "A manager can add" in answer.json()["detail"]
