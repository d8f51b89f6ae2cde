import pytest
from django.http import Http404

from policies.models import Power
from policies.problems import Invalid
from reconciliation import lease, queue
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk():
    return make.user("desk")


def shown(user, **filters):
    return set(queue.studies(user, filters).values_list("pk", flat=True))


def test_one_sees_the_studies_of_ones_own_sources_only():
    here, there = make.source("Here"), make.source("There")
    mine, other = make.study(of=here), make.study(of=there)
    lee = make.user("lee", grants=[(Power.VIEW, here, None)])

    assert shown(lee) == {mine.pk}
    with pytest.raises(Http404):
        queue.get(lee, other.pk)


def test_filters_narrow_the_queue(desk):
    held, cleared = make.study(), make.study("cleared")

    assert shown(desk, state="held") == {held.pk}
    assert shown(desk, state="open") == {held.pk, cleared.pk}
    assert shown(desk, modality="MR") == set()
    assert shown(desk, source=str(held.source_id), modality="CT") == {held.pk, cleared.pk}


def test_mine_are_those_that_i_have_open(desk):
    mine = make.study()
    make.study()
    lease.take(mine, by=desk)

    assert shown(desk, mine="1") == {mine.pk}


@pytest.mark.parametrize("words", ["müller", "anna mueller", "OUT-7781", "F-1"])
def test_search_finds_by_name_identifier_and_accession_number(desk, words):
    study = make.study()
    make.study(PatientName="Schmidt^Karl", PatientID="K1", AccessionNumber="G-2")

    assert shown(desk, q=words) == {study.pk}


def test_a_filter_that_does_not_exist_is_refused(desk):
    with pytest.raises(Invalid, match="no state 'lost'"):
        queue.studies(desk, {"state": "lost"})


def test_pages_show_each_row_once_even_when_all_came_at_the_same_time(desk):
    studies = [make.received().pk for _ in range(7)]
    Study.objects.update(received_at=make_now(), queued_at=make_now())
    seen, cursor = [], ""
    while True:
        page = queue.page(queue.studies(desk, {}), cursor=cursor, by="queued_at", size=3)
        seen += [row.pk for row in page.rows]
        cursor = page.next
        if not cursor:
            break

    assert sorted(seen) == sorted(studies)


def make_now():
    return Study.objects.latest("received_at").received_at


def test_a_damaged_cursor_is_refused_with_a_sentence(desk):
    with pytest.raises(Invalid, match="first page"):
        queue.page(queue.studies(desk, {}), cursor="nonsense")


def test_next_is_the_one_that_waits_longest_and_that_nobody_has_open(desk):
    first, second, third = (make.study() for _ in range(3))
    lease.take(first, by=make.user("lee", group="Reconciliation"))

    assert queue.next_of(desk, third) == second


def test_search_finds_by_our_own_numbers_and_names_too(desk):
    order = make.order(make.patient("Schmidt^Karl", ids=[("MRN77", "LOCAL")]), accession_number="OURS1")
    mapped = make.study("mapped", to=order)
    make.study()

    for words in ("OURS1", "MRN77", "schmidt"):
        assert shown(desk, q=words) == {mapped.pk}


def test_studies_whose_delivery_is_in_trouble_can_be_listed(desk):
    refused, delayed, fine = (make.study("released") for _ in range(3))
    refused.deliveries.update(state="refused", problem="Unknown AE.")
    delayed.deliveries.update(attempts=2)

    assert {s.pk: s.trouble for s in queue.studies(desk, {"late": "1"})} == {
        refused.pk: "refused",
        delayed.pk: "delayed",
    }
    assert queue.studies(desk, {}).get(pk=fine.pk).trouble == ""
