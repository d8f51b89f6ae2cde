"""Four eyes: two different persons, the study as the first one saw it, once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from policies.models import Grant, LedgerLine, Power, SecondPerson, User
from policies.problems import Conflict, Denied, Invalid
from reconciliation import approvals, lease, mapping, queue, release
from reconciliation.models import Approval, Delivery, Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def four_eyes():
    return SecondPerson.objects.create(power=Power.RELEASE)


@pytest.fixture
def officers():
    return make.user("releaser"), make.user("second", group="Releasing officers")


@pytest.fixture
def asked(four_eyes, officers):
    """A study for which the first officer has asked."""
    study = make.study("cleared")
    approvals.ask(study, to=[make.destination()], by=officers[0])
    return Study.objects.get(pk=study.pk)


def test_where_one_person_is_enough_a_release_is_a_release(officers):
    study = make.study("cleared")

    assert approvals.request(study, to=[make.destination()], by=officers[0]) is None
    assert study.state == "released"


def test_nobody_releases_alone_where_policy_wants_two(four_eyes, officers):
    with pytest.raises(Conflict, match="wants a second person"):
        release.release(make.study("cleared"), to=[make.destination()], by=officers[0])
    assert not Delivery.objects.exists()


def test_the_second_person_releases_what_the_first_one_asked_for_and_both_are_in_the_ledger(asked, officers):
    first, second = officers
    approvals.approve(asked, by=second)

    line = LedgerLine.objects.get(verb="release", subject_key=str(asked.pk))
    assert (line.actor_key, line.detail["asked_by_key"]) == (str(second.pk), str(first.pk))
    assert (asked.state, asked.released_by) == ("released", second)
    assert [str(one.destination) for one in asked.deliveries.all()] == ["PACS"]


def test_the_same_person_never_approves_nor_declines_what_they_asked_for(asked, officers):
    with pytest.raises(Denied, match="another person must approve"):
        approvals.approve(asked, by=officers[0])
    with pytest.raises(Denied, match="another person must approve"):
        approvals.decline(asked, by=officers[0], reason="no")


@pytest.mark.parametrize("state", ["approved", "declined"])
def test_the_database_refuses_one_person_for_two(asked, officers, state):
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.update(state=state, decided_by=officers[0], decided_at=timezone.now())


def test_who_lacks_the_power_toward_the_destination_is_no_second_person(asked):
    lee = make.user("lee", grants=[(Power.RELEASE, None, make.destination("Research"))])

    with pytest.raises(Denied, match="to PACS"):
        approvals.approve(asked, by=lee)


def test_what_the_first_person_may_no_longer_do_is_not_approved(asked, officers):
    officers[0].groups.clear()

    with pytest.raises(Conflict, match="may not release this study any more"):
        approvals.approve(asked, by=officers[1])


def test_a_decline_needs_a_reason_and_leaves_the_study_cleared(asked, officers):
    with pytest.raises(Invalid):
        approvals.decline(asked, by=officers[1], reason=" ")
    approvals.decline(asked, by=officers[1], reason="Wrong archive")

    assert (Study.objects.get(pk=asked.pk).state, approvals.waiting(asked)) == ("cleared", None)
    assert LedgerLine.objects.filter(verb="decline release", reason="Wrong archive").exists()


def test_a_decline_is_said_where_it_is_asked_again_whoever_took_the_study_over(asked, officers):
    approvals.decline(asked, by=officers[1], reason="Wrong archive")
    lease.take(Study.objects.get(pk=asked.pk), by=make.user("third", group="Releasing officers"))
    lease.take(Study.objects.get(pk=asked.pk), by=officers[0], reason="My turn")
    client = Client()
    client.force_login(officers[0])

    assert "Second declined on" in client.get(f"/studies/{asked.pk}/").content.decode()
    approvals.ask(Study.objects.get(pk=asked.pk), to=[make.destination()], by=officers[0])
    assert approvals.declined(Study.objects.get(pk=asked.pk)) is None


def test_only_who_asked_withdraws(asked, officers):
    with pytest.raises(Denied):
        approvals.withdraw(asked, by=officers[1])
    approvals.withdraw(asked, by=officers[0])

    assert approvals.waiting(asked) is None


def test_a_change_of_the_study_makes_what_was_asked_void(asked, officers):
    mapping.unmap(asked, by=officers[1])

    assert approvals.waiting(asked) is None
    with pytest.raises(Conflict, match="the study has changed"):
        approvals.approve(Study.objects.get(pk=asked.pk), by=officers[1])


def test_a_lease_that_changes_hands_changes_nothing(asked, officers):
    second = officers[1]
    lease.take(asked, by=make.user("third", group="Releasing officers"))
    lease.take(Study.objects.get(pk=asked.pk), by=second, reason="My turn")
    now = Study.objects.get(pk=asked.pk)

    assert now.version > asked.version
    with pytest.raises(Conflict):  # on a page that is older than that
        approvals.approve(asked, by=second)
    approvals.approve(now, by=second)


def test_it_is_asked_for_once(asked, officers):
    with pytest.raises(Conflict, match="asked for this already"):
        approvals.ask(asked, to=[make.destination()], by=officers[1])


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ({"modality": "CT"}, True),
        ({"modality": "MR"}, False),
        ({"intent": "reference"}, True),
        ({"intent": "read"}, False),
        ({"category": "teleradiology"}, False),
        ({"destination": "PACS"}, True),
        ({"destination": "VNA"}, False),
        ({"source": "Elsewhere"}, False),
        ({"active": False}, False),
        ({"power": Power.RECALL}, False),
    ],
)
def test_a_rule_holds_within_its_scope(limits, needed, officers):
    made = {"destination": make.destination, "source": make.source}
    columns = {name: made[name](value) if name in made else value for name, value in limits.items()}
    SecondPerson.objects.create(**{"power": Power.RELEASE} | columns)
    row = approvals.request(make.study("cleared"), to=[make.destination()], by=officers[0])

    assert bool(row) is needed


def test_the_queue_marks_and_finds_what_waits_for_a_second_person(asked, officers):
    make.study("cleared", StudyDescription="ANOTHER")

    assert [one.pk for one in queue.studies(officers[1], {"second": "1"})] == [asked.pk]
    assert sorted(one.waits for one in queue.studies(officers[1], {})) == [False, True]


@pytest.mark.django_db(transaction=True)
def test_of_eight_approvals_at_once_one_wins(four_eyes):
    study, first = make.study("cleared"), make.user("releaser")
    approvals.ask(study, to=[make.destination(), make.destination("VNA")], by=first)
    second = make.user("second", group="Releasing officers")

    def press(_):
        try:
            approvals.approve(Study.objects.get(pk=study.pk), by=User.objects.get(pk=second.pk))
            return "won"
        except Conflict:
            return "conflict"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(press, range(8)))

    assert outcomes == ["conflict"] * 7 + ["won"]
    assert Delivery.objects.count() == 2


def test_a_grant_that_ended_yesterday_releases_nothing(officers):
    Grant.objects.filter(power=Power.RELEASE).update(valid_until=timezone.localdate() - timezone.timedelta(days=1))

    with pytest.raises(Denied, match="ended on"):
        release.release(make.study("mapped"), to=[make.destination()], by=User.objects.get(pk=officers[0].pk))
