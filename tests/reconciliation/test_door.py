import pytest
from django.db import DatabaseError

from policies.models import LedgerLine, Source
from reconciliation.dicom import scp
from reconciliation.management.commands.storescp import Refusals, Sources
from tests import make

pytestmark = pytest.mark.django_db


def caller(title="GENERAL_HOSPITAL", address="10.0.0.1", *shown):
    return scp.Caller(title, "IMGSHARE", address, *shown)


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
    sources.read()

    def down(*args, **kwargs):
        raise DatabaseError("no connection")

    monkeypatch.setattr(Source.objects, "filter", down)
    assert sources.admit(caller()).source == str(source.pk)


def test_a_source_may_have_several_senders():
    source = make.source("General Hospital")
    source.systems.create(ae_title="CT2", network="10.0.0.0/24")
    source.systems.create(ae_title="MR1", certificate="mr1.general.example")
    sources = Sources()

    shown = (("mr1.general.example",), "ab" * 32)
    callers = [caller(), caller("CT2"), caller("MR1", "10.9.9.9", *shown)]
    assert {sources.admit(one).source for one in callers} == {str(source.pk)}
    with pytest.raises(scp.Unknown, match="showed no certificate"):
        sources.admit(caller("MR1"))


def test_a_sender_that_is_turned_away_does_not_come_in_as_a_destination():
    make.source("General Hospital", address="10.0.0.9", ae_title="ARCHIVE")
    make.destination(ae_title="ARCHIVE")
    with pytest.raises(scp.Unknown, match="not its address"):
        Sources().admit(caller("ARCHIVE"))


def test_a_refused_caller_is_in_the_ledger():
    Refusals().write(caller("STRANGER"), "Not known.")

    line = LedgerLine.objects.get(verb="refuse association")
    assert (line.subject_key, line.reason, line.detail["address"]) == ("STRANGER", "Not known.", "10.0.0.1")


def test_a_caller_that_keeps_coming_is_in_the_ledger_once_a_minute():
    refusals, now = Refusals(), [0.0]
    refusals.sparing.clock = lambda: now[0]
    for at in (0, 1, 59, 61):
        now[0] = at
        refusals.write(caller(f"STRANGER{at}"), "Not known.")
    refusals.write(caller("STRANGER", "10.0.0.2"), "Not known.")

    said = LedgerLine.objects.filter(verb="refuse association").order_by("pk").values_list("detail", flat=True)
    told = [(one["address"], one.get("refused_before")) for one in said]
    assert told == [("10.0.0.1", None), ("10.0.0.1", 2), ("10.0.0.2", None)]
