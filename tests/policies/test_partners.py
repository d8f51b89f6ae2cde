"""Partners: what may be entered of them."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.forms import modelform_factory

from orders.models import Feed
from policies.models import Organisation, Source, SourceSystem, StowClient, User
from policies.partners_admin import ClientForm
from tests import make

pytestmark = pytest.mark.django_db


def test_an_organisation_with_sources_stays():
    trust = Organisation.objects.create(name="General Hospital Trust")
    make.source("General Hospital", organisation=trust)
    with pytest.raises(ProtectedError):
        trust.delete()


def test_a_sender_is_entered_once():
    first, other = make.source("First"), make.source("Second")
    first.systems.create(ae_title="CT", network="10.0.0.1")
    with pytest.raises(IntegrityError), transaction.atomic():
        other.systems.create(ae_title="CT", network="10.0.0.1")


@pytest.mark.parametrize(("columns", "is_fine"), [({}, False), ({"network": "10.0.0.0/24"}, True)])
def test_a_title_of_another_source_needs_more_to_be_known_by(columns, is_fine):
    make.source("First", ae_title="STORESCP")
    system = SourceSystem(source=make.source("Second"), ae_title="STORESCP", **columns)
    if is_fine:
        system.full_clean()
    else:
        with pytest.raises(ValidationError, match="give an address or a network"):
            system.full_clean()


def test_a_first_sender_needs_more_too_where_another_source_has_its_title():
    make.source("First").systems.create(ae_title="STORESCP")
    with pytest.raises(ValidationError, match="known by just this"):
        Source(name="Second", ae_title="STORESCP", issuer="SECOND").full_clean()


def test_what_is_no_network_is_refused():
    with pytest.raises(ValidationError, match="whose last bits are zero"):
        SourceSystem(source=make.source(), ae_title="CT", network="10.0.0.1/24").full_clean()


def test_an_organisation_shows_what_is_its_own_here(client):
    trust = Organisation.objects.create(name="General Hospital Trust")
    make.source("General Hospital", organisation=trust)
    make.destination("Their PACS", organisation=trust)
    Feed.objects.create(name="Their RIS", organisation=trust, sending_facility="GENERAL")
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(f"/admin/policies/organisation/{trust.pk}/change/").content.decode()

    for name, kind in [("General Hospital", "source"), ("Their PACS", "destination, PACS"), ("Their RIS", "feed")]:
        assert f">{name}</a> ({kind})" in page


def test_an_account_that_is_not_here_is_refused_in_the_form():
    form = modelform_factory(StowClient, form=ClientForm, fields=["account"])({"account": "nobody"})

    assert "There is no account" in form.errors["account"][0]
