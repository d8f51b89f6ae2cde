"""Lists over REST: pages that miss nothing, and as many queries for many rows as for few."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pydicom.uid import generate_uid
from rest_framework.test import APIClient

from orders.models import Order
from reconciliation import queue
from reconciliation.models import Study, Submission, Unreadable
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    client = APIClient()
    client.force_login(make.user("desk"))
    return client


def every(client, path: str) -> list[dict]:
    """All rows, page after page."""
    rows = []
    while path:
        page = client.get(path).json()
        rows += page["results"]
        path = page["next"]
    return rows


def queries(client, path: str) -> int:
    client.get("/api/me/")  # the first request of a session notes when it began
    with CaptureQueriesContext(
        connection,
    ) as caught:
        assert client.get(path).status_code == 200
    return len(caught)


def like(study: Study, number: int) -> None:
    """More rows like this one, received in the same instant."""
    for _ in range(number):
        copy = Study.objects.get(pk=study.pk)
        copy.id, copy.study_instance_uid = uuid.uuid4(), generate_uid()
        copy.save(force_insert=True)
        copy.findings.create(code="odd", severity="override", sentence="Odd.")


def test_pages_hold_every_study_once_though_all_came_at_the_same_instant(desk, monkeypatch):
    like(make.study(), 10)
    monkeypatch.setattr(queue.page, "__kwdefaults__", queue.page.__kwdefaults__ | {"size": 4})
    rows = every(desk, "/api/studies/?state=held")

    assert sorted(row["id"] for row in rows) == sorted(map(str, Study.objects.values_list("pk", flat=True)))


def test_the_next_page_keeps_the_filters(desk, monkeypatch):
    like(make.study(), 3)
    make.received()
    monkeypatch.setattr(queue.page, "__kwdefaults__", queue.page.__kwdefaults__ | {"size": 2})

    assert {row["state"] for row in every(desk, "/api/studies/?state=held")} == {"held"}


def test_ten_and_twenty_studies_take_as_many_queries(desk):
    study = make.study("mapped")
    like(study, 9)
    ten = queries(desk, "/api/studies/")
    like(study, 10)

    assert queries(desk, "/api/studies/") == ten
    assert ten <= 12


def test_ten_and_twenty_submissions_take_as_many_queries(desk):
    def more(number):
        for _ in range(number):
            handed = make.received().submission
            Unreadable.objects.create(submission=handed, number=9, reason="Cut off.", digest="0", size=1)

    more(5)
    five = queries(desk, "/api/submissions/")
    more(5)

    assert queries(desk, "/api/submissions/") == five


def test_ten_and_twenty_orders_take_as_many_queries(desk):
    for _ in range(10):
        make.order()
    ten = queries(desk, "/api/orders/")
    for _ in range(10):
        make.order()

    assert queries(desk, "/api/orders/") == ten


def test_filters_reach_the_queue(desk):
    held, mine = make.study(), make.study()
    desk.post(f"/api/studies/{mine.pk}/lease/")
    found = {query: [row["id"] for row in every(desk, f"/api/studies/?{query}")] for query in FILTERS}

    assert found["mine=true"] == [str(mine.pk)]
    assert set(found["mine=false"]) == set(found["q=anna"]) == set(found["modality=CT"]) == {str(held.pk), str(mine.pk)}
    assert found["class=none&modality=MR"] == []


FILTERS = ["mine=true", "mine=false", "q=anna", "modality=CT", "class=none&modality=MR"]


def test_a_submission_tells_what_it_brought_and_what_could_not_be_read(desk):
    study = make.received(make.dataset(), make.dataset())
    for number in range(30):
        Unreadable.objects.create(
            submission=study.submission, number=number, name="IM1", reason="Cut off.", digest="0", size=1
        )
    [listed] = desk.get("/api/submissions/").json()["results"]
    alone = desk.get(f"/api/submissions/{study.submission_id}/").json()

    assert (listed["number_of_instances"], len(listed["studies"]), listed["number_of_unreadable"]) == (2, 2, 30)
    assert (len(listed["unreadable"]), len(alone["unreadable"])) == (25, 30)
    assert listed["unreadable"][0]["reason"] == "Cut off."


def test_patients_of_one_name_are_on_one_page_each(desk, monkeypatch):
    made = {str(make.patient("Mueller^Anna").pk) for _ in range(5)} | {str(make.patient("Mueller^Berta").pk)}
    monkeypatch.setattr(queue, "PAGE", 2)
    rows = every(desk, "/api/patients/?q=mueller")

    assert len(rows) == 6
    assert {row["id"] for row in rows} == made


def test_the_address_of_the_next_page_names_nobody(desk, monkeypatch):
    for _ in range(3):
        make.patient("Mueller^Anna")
    monkeypatch.setattr(queue, "PAGE", 2)
    following = desk.get("/api/patients/?q=mueller").json()["next"]

    assert "ANNA" not in following.upper()


def test_orders_are_found_by_number_by_patient_and_by_name(desk):
    order, other = make.order(), make.order(make.patient("Zander^Otto"))
    found = [
        [row["id"] for row in every(desk, f"/api/orders/?{query}")]
        for query in (f"q={order.accession_number}", f"patient={other.patient_id}", "q=zander")
    ]

    assert found == [[str(order.pk)], [str(other.pk)], [str(other.pk)]]
    assert len(every(desk, "/api/orders/")) == Order.objects.count() == 2


def test_the_proposed_retention_rule_comes_first_and_is_marked(desk):
    make.rule(name="All", priority=1, modality="MR")
    proposed = make.rule(name="CT", priority=50, modality="CT")
    rows = desk.get(f"/api/retention-rules/?study={make.study('mapped').pk}").json()["results"]

    assert rows[0]["id"] == str(proposed.pk)
    assert [row["proposed"] for row in rows] == [True] + [False] * (len(rows) - 1)


def test_choices_that_are_no_longer_in_use_are_not_offered(desk):
    for made in (make.procedure(), make.rule(), make.reason()):
        type(made).objects.filter(pk=made.pk).update(active=False)

    assert [desk.get(f"/api/{name}/").json()["results"] for name in ("procedures", "retention-rules", "reasons")] == [
        [],
        [],
        [],
    ]


def test_me_says_who_i_am_and_what_i_may_do(desk):
    me = desk.get("/api/me/").json()

    assert (me["username"], me["name"]) == ("desk", "Desk")
    assert {grant["power"] for grant in me["powers"]} == {"stage", "view", "reconcile", "create order"}
    assert Submission.objects.count() == 0
