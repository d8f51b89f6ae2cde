"""Outcomes reach the database in batches; none that was told is lost, and none is written for another worker."""

import pytest
from django.db.models import F

from reconciliation import delivery, outcomes
from reconciliation.dicom.scu import Outcome
from reconciliation.models import DeliveredInstance, Delivery, Instance
from reconciliation.outcomes import Outcomes, Overtaken
from tests import make

pytestmark = pytest.mark.django_db
OBJECTS = 4


@pytest.fixture
def claimed() -> Delivery:
    first = make.dataset()
    study = make.received(first, *[make.dataset(StudyInstanceUID=first.StudyInstanceUID) for _ in range(OBJECTS - 1)])
    for step in make._STEPS["released"]:
        step(study, None)
    return delivery.claim(study.deliveries.get().pk)


def told(status: int | None = 0) -> list[Outcome]:
    keys = Instance.objects.order_by("pk").values_list("pk", flat=True)
    return [Outcome(str(key), status, "", accepted=status == 0) for key in keys]


def uids() -> dict[str, str]:
    return {str(one.pk): one.sop_instance_uid for one in Instance.objects.all()}


def test_a_batch_is_written_when_it_is_full(claimed, monkeypatch):
    monkeypatch.setattr(outcomes, "AT_ONCE", 3)
    said = Outcomes(claimed, uids())
    written = []
    for outcome in told():
        said.tell(outcome)
        written.append(DeliveredInstance.objects.filter(accepted=True).count())

    assert written == [0, 0, 3, 3]


def test_nothing_waits_longer_than_it_may(claimed, monkeypatch):
    monkeypatch.setattr(outcomes, "SECONDS", 0)
    said = Outcomes(claimed, uids())
    said.tell(told()[0])

    assert DeliveredInstance.objects.count() == 1


def test_a_batch_takes_few_queries_whatever_its_size(claimed, django_assert_max_num_queries):
    said = Outcomes(claimed, uids())
    for outcome in told():
        said.tell(outcome)

    with django_assert_max_num_queries(5):  # the lease, those told before, those told now, a savepoint around
        said.keep()


def test_what_is_told_again_replaces_what_was_told_and_counts(claimed):
    for status in (None, 0xA700, 0):
        said = Outcomes(claimed, uids())
        for outcome in told(status):
            said.tell(outcome)
        said.keep()

    rows = set(DeliveredInstance.objects.values_list("status", "accepted", "attempts"))
    assert rows == {(0, True, 3)}


def test_nothing_is_written_for_a_delivery_that_another_worker_has(claimed):
    said = Outcomes(claimed, uids())
    said.tell(told()[0])
    Delivery.objects.update(attempts=F("attempts") + 1)

    with pytest.raises(Overtaken):
        said.keep()
    assert DeliveredInstance.objects.count() == 0


def test_the_lease_is_renewed_while_nothing_is_told(claimed, settings):
    Delivery.objects.update(lease_until=None)
    settings.DELIVERY_LEASE_SECONDS = 0
    Outcomes(claimed, uids()).idle()

    claimed.refresh_from_db()
    assert claimed.lease_until is not None
