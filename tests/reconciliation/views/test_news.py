"""An open study page asks for news: what changed of what it shows is told once, and nothing else."""

import re

import pytest
from django.urls import reverse

from reconciliation import tasks
from tests import make
from tests.reconciliation.views.browsing import post, signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def open_page(desk):
    """Opens the page of a study; calling what it gives asks for news as that page would."""

    def open_page(study):
        html = desk.get(reverse("study", args=[study.pk])).content.decode()
        seen = re.findall(r'name="seen" value="([^"]+)"', html)
        return lambda: desk.post(reverse("study_news", args=[study.pk]), {"seen": seen})

    return open_page


def test_nothing_is_told_while_nothing_changed(open_page):
    order, study = make.order(), make.study("held")
    ask = open_page(study)
    order.patient.save(update_fields=["changed_at"])  # the same said again

    assert ask().status_code == 204


@pytest.mark.parametrize("state", ["held", "mapped", "cleared"])
def test_a_merge_is_told_with_who_into_whom_and_by_what(open_page, state):
    order = make.order()
    study = make.study(state, to=order)
    ask = open_page(study)
    make.merge(order.patient, make.patient("Mueller-Schneider^Anna"))

    answer = ask()
    assert answer.status_code == 286
    assert "Mueller Anna, 1961-03-04 was merged into Mueller-Schneider Anna" in text(answer)
    assert "by ADT^A40 0815" in text(answer)


@pytest.mark.parametrize("state", ["held", "mapped"])
def test_a_cancelled_order_and_a_changed_patient_are_told(open_page, state):
    order = make.order()
    ask = open_page(make.study(state, to=order))
    order.status = "cancelled"
    order.save()
    type(order.patient).objects.update(sex="O")

    said = text(ask())
    assert f"The order {order} was cancelled." in said
    assert "Mueller Anna, 1961-03-04 has changed." in said


def test_a_new_candidate_is_told(open_page):
    ask = open_page(make.study("held"))
    make.order()
    tasks.sweep()

    assert "There is a new candidate." in text(ask())


def test_news_are_for_those_who_may_see_the_study():
    study = make.study("held")
    stranger = signed_in(make.user("lee"))

    assert stranger.post(reverse("study_news", args=[study.pk]), {"seen": []}).status_code in (403, 404)


def test_a_damaged_question_is_answered_with_silence(desk):
    study = make.study("held")
    said = {"seen": ["", "patient", "patient:x:y", "order:1", "candidate", "patient::"]}

    assert desk.post(reverse("study_news", args=[study.pk]), said).status_code == 204


def test_the_page_of_a_merged_patient_offers_to_map_again(desk):
    study = make.study("mapped")
    make.merge(study.local_patient, make.patient("Mueller-Schneider^Anna"))
    page = text(desk.get(reverse("study", args=[study.pk])))
    assert "Map again to MUELLER-SCHNEIDER, Anna" in page

    post(desk, "map_again", study)

    study.refresh_from_db()
    assert study.local_patient.name == "Mueller-Schneider^Anna"
