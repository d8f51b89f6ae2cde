from datetime import timedelta

import pytest
from django.utils import timezone

from policies.models import LedgerLine
from policies.problems import Conflict, Denied
from reconciliation import lease, release
from reconciliation.models import Study
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def study():
    return make.study("held")


@pytest.fixture
def lee():
    return make.user("lee", group="Reconciliation")


@pytest.fixture
def kim():
    return make.user("kim", group="Releasing officers")


def run_out(study):
    Study.objects.filter(pk=study.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    study.refresh_from_db()


def test_a_lease_says_who_and_until_when(study, lee, settings):
    lease.take(study, by=lee)

    left = study.lease_until - timezone.now()
    assert lease.holder(study) == lee
    assert 0 < left.total_seconds() <= settings.LEASE_SECONDS + 1


def test_another_person_sees_who_has_it(study, lee, kim):
    lease.take(study, by=lee)

    with pytest.raises(Conflict, match="Lee has this study open since"):
        lease.take(study, by=kim)


def test_taking_over_needs_a_reason_and_is_in_the_ledger(study, lee, kim):
    lease.take(study, by=lee)
    lease.take(study, by=kim, reason="Lee has gone home.")

    assert lease.holder(study) == kim
    assert LedgerLine.objects.get(verb="take over").reason == "Lee has gone home."


def test_a_commit_on_a_lost_lease_is_refused(study, lee, kim):
    lease.take(study, by=kim)
    lost = Study.objects.get(pk=study.pk)
    lease.take(study, by=make.user("joe", group="Releasing officers"), reason="Urgent.")

    with pytest.raises(Conflict, match="Joe has this study open"):
        release.reject(lost, reason=make.reason(), by=kim)


def test_it_is_refused_even_after_the_other_has_given_it_back(study, lee, kim):
    lease.take(study, by=kim)
    lost = Study.objects.get(pk=study.pk)
    lease.take(study, by=lee, reason="Urgent.")
    lease.give_back(study, by=lee)

    with pytest.raises(Conflict, match="Somebody else changed this study"):
        release.reject(lost, reason=make.reason(), by=kim)


def test_a_lease_that_ran_out_is_anybodys(study, lee, kim):
    lease.take(study, by=lee)
    run_out(study)
    version = study.version
    lease.take(study, by=kim)

    assert lease.holder(study) == kim
    assert study.version == version + 1


def test_ones_own_lease_is_renewed_without_a_new_version(study, lee):
    lease.take(study, by=lee)
    version, until = study.version, study.lease_until
    run_out(study)
    lease.take(study, by=lee)

    assert study.version == version
    assert study.lease_until >= until


def test_only_ones_own_lease_can_be_given_back(study, lee, kim):
    lease.take(study, by=lee)
    lease.give_back(study, by=kim)
    study.refresh_from_db()
    assert lease.holder(study) == lee


def test_who_may_only_look_takes_no_lease(study):
    with pytest.raises(Denied):
        lease.take(study, by=make.user("frontdesk"))
