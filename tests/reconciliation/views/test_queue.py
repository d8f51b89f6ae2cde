"""The queue page: what waits, in lines and pages, and what is searched for."""

from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from reconciliation import lease
from tests import make
from tests.reconciliation.views.browsing import text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def test_words_searched_for_never_get_into_an_address(desk):
    study = make.study("held", PatientName="Nobody^Here")
    make.patient("Haddad^Amina")

    response = desk.post(reverse("candidates", args=[study.pk]), {"words": "Haddad, Amina"})
    page = text(desk.get(response.url))

    assert "haddad" not in response.url.lower()
    assert "HADDAD, Amina" in page


def test_a_search_of_another_session_is_not_repeated(desk, releaser):
    make.study("held")
    response = desk.post(reverse("search"), {"words": "Mueller"})
    token = parse_qs(urlsplit(response.url).query)["search"][0]

    mine = text(desk.get(reverse("queue"), {"search": token}))
    theirs = text(releaser.get(reverse("queue"), {"search": token}))

    assert 'value="Mueller"' in mine
    assert 'Mueller"' not in theirs
    assert "another session" in theirs


def test_the_queue_shows_a_study_in_a_line(desk):
    make.study("held")

    page = text(desk.get(reverse("queue")))

    for said in ("MUELLER, Anna", "1961-03-04", "OUT-7781", "General Hospital", "no candidate"):
        assert said in page


QUEUE_QUERIES = 7  # session, person, grants, counts, rows, findings, sources


def test_the_queue_asks_as_many_questions_for_many_rows_as_for_few(desk, django_assert_num_queries):
    make.study("held")
    desk.get(reverse("queue"))
    with django_assert_num_queries(QUEUE_QUERIES):
        desk.get(reverse("queue"))
    for n in range(5):
        make.study("held", PatientIdentityRemoved="YES", PatientID=f"OUT-{n}")
    with django_assert_num_queries(QUEUE_QUERIES):
        desk.get(reverse("queue"))


def test_pages_of_the_queue_follow_each_other_without_a_gap(desk, monkeypatch):
    monkeypatch.setattr("reconciliation.queue.page.__kwdefaults__", {"cursor": "", "by": "received_at", "size": 2})
    keys = {make.study("held", PatientID=f"OUT-{n}").pk for n in range(5)}

    seen, address = [], reverse("queue")
    for _ in count():
        response = desk.get(address)
        page = response.context["page"]
        seen += [study.pk for study in page.rows]
        if not page.next:
            break
        address = f"{reverse('queue')}?after={page.next}"

    assert len(seen) == 5
    assert set(seen) == keys


def test_news_counts_what_came_after_the_newest_row(desk):
    make.study("held")
    since = desk.get(reverse("queue")).context["since"]
    make.study("held", PatientID="OUT-2")

    part = text(desk.get(reverse("news"), {"since": since}))

    assert "<b>1</b> new" in part


def test_the_next_study_is_the_one_that_waits_longest(desk):
    first, second = make.study("held"), make.study("held", PatientID="OUT-2")

    assert desk.get(reverse("next"), {"state": "held"}).url == reverse("study", args=[first.pk])
    lease.take(first, by=make.user("lee", group="Reconciliation"))
    assert desk.get(reverse("next"), {"state": "held"}).url == reverse("study", args=[second.pk])
    assert desk.get(reverse("next"), {"state": "mapped"}).url == reverse("queue")
