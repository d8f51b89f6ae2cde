"""Who sends by the web: what is stored about clients, and whom it leads to."""

import pytest
from django.core.exceptions import ValidationError

from policies.callers import sent_by
from policies.models import StowClient
from policies.rules.senders import Shown
from tests import make

pytestmark = pytest.mark.django_db


def test_a_client_leads_to_its_source():
    source = make.source()
    source.clients.create(account="api-general", network="10.0.0.0/8")

    assert sent_by(Shown("", "10.1.2.3", account="api-general")) == (source, "")
    assert sent_by(Shown("", "192.0.2.1", account="api-general"))[0] is None


def test_a_client_of_an_inactive_source_is_nobody():
    make.source(active=False).clients.create(account="api-general")

    assert sent_by(Shown("", "10.1.2.3", account="api-general")) == (
        None,
        "'api-general' is no client of an active source.",
    )


def test_an_address_alone_is_no_client():
    with pytest.raises(ValidationError, match="an address alone proves nothing"):
        StowClient(source=make.source(), network="10.1.2.3").full_clean()


def test_a_client_is_entered_once():
    make.source().clients.create(account="api")
    with pytest.raises(ValidationError, match="Another client is known by just this"):
        StowClient(source=make.source("Second"), account="api").full_clean()
