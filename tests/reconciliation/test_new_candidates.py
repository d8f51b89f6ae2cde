"""A candidate that came late brings its study back to the top of the queue, marked, until somebody opens it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from reconciliation import lease, mapping, matching, queue, tasks
from reconciliation.models import Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def waiting(hours: int = 3, **keywords) -> Study:
    study = make.study("held", **keywords)
    at = timezone.now() - timedelta(hours=hours)
    Study.objects.filter(pk=study.pk).update(received_at=at, queued_at=at)
    return Study.objects.get(pk=study.pk)


def on_top() -> Study:
    return queue.studies(make.user("desk"), {"state": "open"}).first()


def test_a_late_order_brings_a_waiting_study_back_to_the_top():
    waits = waiting()
    make.study("held", PatientName="Nguyen^Van", PatientBirthDate="19800101", PatientID="")
    assert on_top() != waits

    make.order()
    tasks.sweep()

    assert on_top() == waits
    assert on_top().new_candidate_at is not None
    assert queue.counts(make.user("desk"))["new"] == 1
    assert [one.pk for one in queue.studies(make.user("desk"), {"new": "1"})] == [waits.pk]
    assert queue.next_of(make.user("desk"), Study(state="held")) == waits


def test_it_stands_where_it_stood_once_somebody_has_opened_it():
    waits = waiting()
    make.order()
    tasks.sweep()

    lease.take(waits, by=make.user("desk"))

    waits.refresh_from_db()
    assert (waits.new_candidate_at, waits.queued_at) == (None, waits.received_at)


def test_who_has_it_open_does_not_take_the_mark_away_by_staying():
    waits, desk = waiting(), make.user("desk")
    lease.take(waits, by=desk)
    make.order()
    tasks.sweep()
    lease.take(waits, by=desk)

    assert waits.new_candidate_at is not None


def test_a_study_just_compared_for_the_first_time_is_no_news():
    make.order()
    make.study("held")

    assert Study.objects.get().new_candidate_at is None


def test_an_order_added_to_a_patient_who_was_proposed_already_is_news():
    patient, waits = make.patient(), waiting()
    waits.refresh_from_db()
    make.order(patient)
    tasks.sweep()

    waits.refresh_from_db()
    assert waits.new_candidate_at is not None


def test_comparing_again_with_the_same_result_is_no_news():
    make.order()
    waits = waiting()
    matching.propose(waits)

    waits.refresh_from_db()
    assert waits.new_candidate_at is None


def test_a_candidate_that_contradicts_is_no_news():
    waits = waiting()
    make.order(make.patient(sex="M"))
    tasks.sweep()

    waits.refresh_from_db()
    assert (waits.best_class, waits.new_candidate_at) == ("conflict", None)


def test_the_mark_goes_when_the_candidate_goes():
    waits, order = waiting(), make.order()
    tasks.sweep()
    type(order).objects.all().delete()
    order.patient.delete()
    matching.propose(waits)

    waits.refresh_from_db()
    assert (waits.new_candidate_at, waits.queued_at) == (None, waits.received_at)


def test_whatever_step_is_taken_the_study_leaves_the_top():
    waits, order = waiting(), make.order()
    tasks.sweep()
    waits.refresh_from_db()
    mapping.apply(waits, by=make.user("desk"), intent="reference", order=order)

    assert (waits.new_candidate_at, waits.queued_at) == (None, waits.received_at)


def test_pages_show_each_study_once_with_new_candidates_on_top():
    desk, studies = make.user("desk"), [waiting(n) for n in range(1, 8)]
    make.order()
    Study.objects.filter(pk__in=[studies[5].pk, studies[2].pk]).update(
        new_candidate_at=timezone.now(), queued_at=timezone.now()
    )
    seen, cursor = [], ""
    while len(seen) < 20:
        page = queue.page(queue.studies(desk, {}), cursor=cursor, by="queued_at", size=3)
        seen += page.rows
        if not (cursor := page.next):
            break

    assert {seen[0].pk, seen[1].pk} == {studies[5].pk, studies[2].pk}
    assert [one.pk for one in seen[2:]] == [one.pk for n, one in enumerate(studies) if n not in (2, 5)]
