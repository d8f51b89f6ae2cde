from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from policies.models import LedgerLine, Power
from policies.problems import Conflict, Denied, Invalid
from reconciliation.models import Delivery, Study
from reconciliation.release import reinstate, reject, release
from tests import make

pytestmark = pytest.mark.django_db


def test_release_takes_a_releasing_officer():
    with pytest.raises(Denied, match="may not release"):
        release(make.study("cleared"), to=[make.destination()], by=make.user("desk"))


def test_release_needs_a_destination():
    with pytest.raises(Invalid, match="at least one destination"):
        release(make.study("cleared"), to=[], by=make.user("releaser"))


def test_release_asks_for_the_authority_toward_each_destination():
    pacs, research = make.destination("PACS"), make.destination("Research")
    lee = make.user("lee", grants=[(Power.RELEASE, None, pacs)])
    study = make.study("cleared")
    with pytest.raises(Denied, match="to Research"):
        release(study, to=[pacs, research], by=lee)

    assert Delivery.objects.count() == 0


def test_a_released_study_has_a_delivery_for_each_destination_and_says_who_and_when():
    study, officer = make.study("cleared"), make.user("releaser")
    release(study, to=[make.destination("PACS"), make.destination("VNA")], by=officer)

    assert (study.state, study.released_by) == ("released", officer)
    assert {delivery.destination.name for delivery in study.deliveries.all()} == {"PACS", "VNA"}


@pytest.mark.django_db(transaction=True)
def test_of_eight_releases_at_once_one_wins():
    study, officer, pacs = make.study("cleared"), make.user("releaser"), make.destination()

    def press(_):
        try:
            release(Study.objects.get(pk=study.pk), to=[pacs], by=officer)
            return "won"
        except Conflict:
            return "conflict"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(press, range(8)))

    assert outcomes == ["conflict"] * 7 + ["won"]
    assert Delivery.objects.count() == 1
    assert LedgerLine.objects.filter(verb="release").count() == 1


@pytest.mark.parametrize(
    ("state", "emptied"),
    [
        ("mapped", {"local_patient": None}),
        ("mapped", {"intent": ""}),
        ("cleared", {"consent": None}),
        ("cleared", {"retention": None}),
        ("released", {"released_by": None}),
        ("released", {"released_at": None}),
        ("rejected", {"rejected_for": None}),
    ],
)
def test_the_database_refuses_a_state_without_its_reasons(state, emptied):
    study = make.study(state)
    with pytest.raises(IntegrityError), transaction.atomic():
        Study.objects.filter(pk=study.pk).update(**emptied)


def test_a_rejection_needs_a_reason_that_is_in_use():
    old = make.reason("old")
    old.active = False
    with pytest.raises(Invalid, match="no longer in use"):
        reject(make.study("held"), reason=old, by=make.user("releaser"))


def test_a_rejection_can_be_taken_back_and_everything_is_decided_anew():
    study, officer = make.study("cleared"), make.user("releaser")
    reject(study, reason=make.reason(), by=officer, comment="Other birth date on the disc.")
    reinstate(study, by=officer, comment="It was the right one.")

    assert (study.state, study.mapping, study.rejected_for) == ("held", None, None)
