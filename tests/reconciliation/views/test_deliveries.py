"""What staff see of the proof: how many objects were accepted, committed and found again, and why not more."""

import pytest
from django.urls import reverse
from django.utils import timezone

from reconciliation import delivery
from reconciliation.models import DeliveredInstance, Delivery, Instance
from tests import make
from tests.reconciliation.views.browsing import post, text

pytestmark = pytest.mark.django_db


def sent(proof: str, **said) -> Delivery:
    """A delivery whose destination has accepted its one object and owes the proof."""
    make.destination(proof=proof)
    study = make.study("released")
    one = delivery.claim(study.deliveries.get().pk)
    instance = Instance.objects.get(series__study=study)
    DeliveredInstance.objects.create(
        delivery=one,
        instance=instance,
        sop_instance_uid=instance.sop_instance_uid,
        accepted=True,
        status=0,
        at=timezone.now(),
        **said,
    )
    delivery._finish(one)
    return one


def test_a_study_that_was_sent_and_not_committed_says_so(releaser):
    one = sent("commitment")
    page = text(releaser.get(reverse("study", args=[one.study_id])))

    assert "Sent, proof awaited" in page
    assert "1 of 1 accepted · 0 committed · 0 found again" in page
    assert "Ask again now" in page


def test_a_destination_that_is_only_counted_shows_no_commitment(releaser):
    one = sent("count", counted_at=timezone.now())
    page = text(releaser.get(reverse("study", args=[one.study_id])))

    assert "1 of 1 accepted · 1 found again" in page
    assert "committed" not in page.partition("Deliveries")[2].partition("</section>")[0]


def test_the_interface_tells_the_same(releaser):
    one = sent("commitment", committed_at=timezone.now())
    (row,) = releaser.get(f"/api/studies/{one.study_id}/deliveries/").json()["results"]

    assert (row["state"], row["proof"]) == ("sent", "commitment")
    assert (row["accepted"], row["committed"], row["counted"], row["instances"]) == (1, 1, 0, 1)
    assert row["sent_at"]


def test_a_person_may_have_the_archive_asked_again_now(releaser):
    one = sent("commitment")
    response = post(releaser, "retry", one.study, delivery=one.pk)

    one.refresh_from_db()
    assert (response.status_code < 400, one.state) == (True, "queued")
