"""Who sends by the web: what is stored about clients, and whom it leads to."""

import pytest
from django.core.exceptions import ValidationError

from policies.callers import sent_by
from policies.models import StowClient, User
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


def test_a_caller_with_an_ae_title_is_one_of_the_dicom_door():
    source = make.source(ae_title="CT", address="10.1.2.3")
    source.systems.create(ae_title="MR", network="10.1.0.0/16")

    assert [sent_by(Shown(title, "10.1.2.3"))[0] for title in ("CT", "MR", "US")] == [source, source, None]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"ae_title": "CT", "address": "10.1.2.3"}, "General Hospital"),
        ({"account": "api", "address": "10.1.2.3", "certificate": "AB:" * 31 + "AB"}, "General Hospital"),
        ({"ae_title": "CT", "address": "10.9.9.9"}, "called from 10.9.9.9, which is not its address"),
        ({"ae_title": "CT", "account": "api", "address": "10.1.2.3"}, "nobody shows both"),
    ],
)
def test_managers_ask_who_somebody_would_be(shown, said, client):
    source = make.source(ae_title="CT", address="10.1.2.3")
    source.clients.create(account="api", certificate="ab" * 32)
    client.force_login(User.objects.create_superuser("root"))

    assert said in client.get("/admin/policies/source/try/", shown).content.decode()
