import pytest
from django.db import DatabaseError

from policies.models import LedgerLine, Source
from reconciliation.dicom import scp
from reconciliation.management.commands.storescp import Sources, refused
from tests import make

pytestmark = pytest.mark.django_db


def caller(title="GENERAL_HOSPITAL", address="10.0.0.1"):
    return scp.Caller(title, "IMGSHARE", address)


def test_a_known_source_is_let_in_under_its_own_name():
    source = make.source("General Hospital")

    assert Sources().admit(caller()).source == str(source.pk)


def test_an_unknown_title_is_refused():
    with pytest.raises(scp.Unknown, match="'STRANGER' is no AE title"):
        Sources().admit(caller("STRANGER"))


def test_a_source_that_calls_from_elsewhere_is_refused():
    make.source("General Hospital", address="10.0.0.9")
    with pytest.raises(scp.Unknown, match="not its address"):
        Sources().admit(caller())


def test_an_inactive_source_is_refused_from_the_next_call_on():
    make.source("General Hospital")
    sources = Sources()
    sources.admit(caller())
    Source.objects.update(active=False)

    with pytest.raises(scp.Unknown):
        sources.admit(caller())


def test_the_door_stays_open_while_the_database_is_down(monkeypatch):
    source = make.source("General Hospital")
    sources = Sources()
    sources.by_title()

    def down(*args, **kwargs):
        raise DatabaseError("no connection")

    monkeypatch.setattr(Source.objects, "filter", down)
    assert sources.admit(caller()).source == str(source.pk)


def test_a_refused_caller_is_in_the_ledger():
    refused(caller("STRANGER"), "Not known.")

    line = LedgerLine.objects.get(verb="refuse association")
    assert (line.subject_key, line.reason, line.detail["address"]) == ("STRANGER", "Not known.", "10.0.0.1")
