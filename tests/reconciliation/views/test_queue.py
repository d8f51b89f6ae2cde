"""The queue page: what waits, in lines and pages, and what is searched for."""

from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from reconciliation import lease
from reconciliation.models import Delivery, Study
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


def test_a_study_leads_back_to_the_list_that_it_was_opened_from(desk):
    study = make.study("held")
    response = desk.post(reverse("search"), {"words": "Mueller", "state": "held", "modality": "CT"})
    desk.get(response.url)

    page = text(desk.get(reverse("study", args=[study.pk])))
    query = urlsplit(response.url).query

    assert f'href="/?{query.replace("&", "&amp;")}">‹' in page


def test_the_queue_shows_a_study_in_a_line(desk):
    make.study("held")

    page = text(desk.get(reverse("queue")))

    for said in ("MUELLER, Anna", "1961-03-04", "OUT-7781", "General Hospital", "no candidate"):
        assert said in page


QUEUE_QUERIES = 8  # session, person, grants, counts, not arrived, rows, findings, sources


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


def test_a_study_that_was_mapped_shows_to_whom(desk):
    order = make.order(make.patient("Haddad^Amina"))
    make.study("mapped", to=order)

    row = text(desk.get(reverse("queue"))).split("<tbody>")[1]

    assert "<b>HADDAD, Amina</b>" in row
    assert order.accession_number in row
    assert 'class="match' not in row


def test_what_has_not_arrived_has_a_tab_of_its_own(desk):
    make.study("released")
    fine = text(desk.get(reverse("queue"), {"state": "released", "late": "1"}))
    Delivery.objects.update(state="refused", problem="No room.")

    page = text(desk.get(reverse("queue"), {"state": "released", "late": "1"}))

    assert "No delivery is refused or delayed." in fine
    assert "delivery refused" in page
    assert 'aria-current="page"' in page.split("Not arrived")[0].rsplit("<a", 1)[1]
    assert 'id="count-late">1<' in page


def test_a_birth_date_that_is_none_is_shown_as_received(desk):
    study = make.study("held")
    Study.objects.filter(pk=study.pk).update(patient_birth_date="19611331")

    page = text(desk.get(reverse("queue")))

    assert ">19611331</span>" in page
    assert "not a date" in page
