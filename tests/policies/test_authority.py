from datetime import date

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from policies import authority
from policies.models import Grant, Power
from policies.problems import Denied
from tests import make

pytestmark = pytest.mark.django_db


def test_without_a_grant_nothing_may_be_done():
    assert authority.why_not(make.user("stranger"), Power.RELEASE) == "Your role may not release studies."


def test_a_grant_for_one_source_says_nothing_of_another():
    here, there = make.source("Here"), make.source("There")
    lee = make.user("lee", grants=[(Power.RECONCILE, here, None)])

    assert authority.why_not(lee, Power.RECONCILE, source=here) == ""
    assert "from There" in authority.why_not(lee, Power.RECONCILE, source=there)


def test_a_release_can_be_limited_to_a_destination():
    pacs, research = make.destination("PACS"), make.destination("Research")
    lee = make.user("lee", grants=[(Power.RELEASE, None, pacs)])

    assert authority.why_not(lee, Power.RELEASE, source=make.source(), destination=pacs) == ""
    assert "to Research" in authority.why_not(lee, Power.RELEASE, source=make.source(), destination=research)


def test_source_and_destination_must_come_from_the_same_grant():
    here, there, pacs, vna = (
        make.source("Here"),
        make.source("There"),
        make.destination("PACS"),
        make.destination("VNA"),
    )
    lee = make.user("lee", grants=[(Power.RELEASE, here, pacs), (Power.RELEASE, there, vna)])

    assert "to VNA" in authority.why_not(lee, Power.RELEASE, source=here, destination=vna)


def test_whoever_works_on_a_source_may_view_it_but_an_auditor_of_the_ledger_may_not():
    here = make.source("Here")
    lee, eve = (
        make.user("lee", grants=[(Power.REJECT, here, None)]),
        make.user("eve", grants=[(Power.AUDIT, None, None)]),
    )

    assert here in authority.scope(lee, Power.VIEW)
    assert not authority.scope(eve, Power.VIEW)


def test_a_person_who_left_may_do_nothing():
    lee = make.user("desk")
    lee.is_active = False

    with pytest.raises(Denied):
        authority.require(lee, Power.RECONCILE)


def test_a_superuser_holds_no_power_over_studies_by_that_alone():
    admin = make.user("root")
    admin.is_superuser = True

    assert authority.why_not(admin, Power.RELEASE)


def _all_columns(**columns):
    group, _ = Group.objects.get_or_create(name="Somebody")
    return Grant(**{"group": group, "power": Power.RELEASE} | columns)


@pytest.mark.parametrize("limit", [{}, {"source": "Here"}, {"modality": "CT"}, {"destination": "PACS"}])
def test_a_grant_is_given_once_whatever_is_empty_in_it(limit):
    made = {"source": make.source, "destination": make.destination}
    columns = {name: made[name](value) if name in made else value for name, value in limit.items()}
    _all_columns(**columns).save()

    with pytest.raises(ValidationError, match="has this grant already"):
        _all_columns(**columns).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        _all_columns(**columns).save()
    _all_columns(**columns | {"intent": "read"}).save()


def test_a_grant_that_ends_before_it_begins_is_none():
    with pytest.raises(ValidationError, match="lies before the first"):
        _all_columns(valid_from=date(2026, 2, 1), valid_until=date(2026, 1, 31)).full_clean()
