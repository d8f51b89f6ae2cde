"""Anchors find what the chain alone cannot: that all of it was written anew."""

import smtplib
from datetime import timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from policies import anchors, audit
from policies.models import LedgerAnchor, LedgerHead, LedgerLine
from tests.conftest import triggers_lifted

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.ANCHOR_DIR = tmp_path / "elsewhere"
    return settings.ANCHOR_DIR


def record(count: int) -> None:
    for number in range(count):
        audit.record("Lee", "map", "study", key=f"k{number}")


def write_anew() -> None:
    """Whoever has the database rewrites the first line and every digest that follows, and the head."""
    with triggers_lifted():
        previous = ""
        for line in LedgerLine.objects.order_by("id"):
            line.actor = "Kim" if not previous else line.actor
            line.previous = previous
            line.digest = previous = audit.digest(line)
            line.save()
        LedgerHead.objects.update(digest=previous)


def test_an_anchor_is_made_once_a_day_and_stands_in_the_file_and_the_ledger(folder):
    record(3)

    assert [anchors.keep(), anchors.keep()] == [1, 0]
    [noted] = anchors.read(folder / anchors.FILE)
    third = LedgerLine.objects.get(pk=noted.line)
    assert (noted.lines, noted.digest, third.subject_key) == (3, third.digest, "k2")
    assert LedgerLine.objects.first().verb == "anchor"


def test_an_empty_ledger_has_no_anchor():
    assert anchors.keep() == 0


def test_a_chain_that_was_written_anew_does_not_pass_the_anchors_in_the_table():
    record(5)
    anchors.keep()
    write_anew()

    assert "Line 5 is another than on" in audit.verify()


def test_nor_those_of_the_file_when_the_table_was_emptied_too(folder):
    record(5)
    anchors.keep()
    write_anew()
    with triggers_lifted():
        LedgerAnchor.objects.all().delete()

    assert audit.verify() == ""
    with pytest.raises(CommandError, match="Line 5 is another"):
        call_command("verify_ledger", anchors=folder / anchors.FILE)


def cut_off(count: int, *, head: bool, anchors_too: bool = False) -> None:
    """Whoever has the database deletes the newest lines; a careful one moves the head back and empties the anchors."""
    with triggers_lifted():
        newest = LedgerLine.objects.order_by("-id").values_list("pk", flat=True)[count - 1]
        LedgerLine.objects.filter(pk__gte=newest).delete()
        if head:
            last = LedgerLine.objects.first()
            LedgerHead.objects.update(line=last.pk, digest=last.digest)
        if anchors_too:
            LedgerAnchor.objects.all().delete()


@pytest.mark.parametrize(("head", "said"), [(False, "The newest line is missing"), (True, "Line 9 is missing")])
def test_a_ledger_whose_last_lines_were_deleted_is_found(head, said):
    record(9)
    anchors.keep()
    cut_off(5, head=head)

    assert said in audit.verify()


def test_one_that_was_cut_off_and_has_grown_again_is_found():
    record(9)
    anchors.keep()
    cut_off(5, head=True)
    record(8)

    assert "Line 9 is another than on" in audit.verify()


def test_one_that_was_cut_off_with_head_and_anchors_is_found_by_the_file(folder):
    record(9)
    anchors.keep()
    cut_off(5, head=True, anchors_too=True)

    assert audit.verify() == ""
    with pytest.raises(CommandError, match="Line 9 is missing, which was there"):
        call_command("verify_ledger", anchors=folder / anchors.FILE)
    assert LedgerLine.objects.first().verb == "find ledger broken"


def test_a_ledger_that_takes_no_line_any_more_is_told_all_the_same(caplog):
    record(3)
    with triggers_lifted():
        LedgerHead.objects.all().delete()

    with pytest.raises(CommandError, match="The head of the chain is missing"):
        call_command("verify_ledger")
    assert "The ledger is broken" in caplog.text


def test_a_chain_that_holds_passes_the_file(folder):
    record(5)
    anchors.keep()
    said = StringIO()
    call_command("verify_ledger", anchors=folder / anchors.FILE, stdout=said)

    assert "6 lines, 1 anchors, the chain holds." in said.getvalue()


def test_a_folder_that_is_away_costs_no_anchor(folder):
    record(1)
    folder.write_text("not a folder")
    anchors.keep()
    folder.unlink()
    anchors.keep()

    assert len(anchors.read(folder / anchors.FILE)) == 1


def test_a_file_that_was_cut_short_goes_on_in_a_line_of_its_own(folder):
    record(1)
    LedgerAnchor.objects.create(day=timezone.localdate() - timedelta(days=1), line=1, digest="d", lines=1)
    anchors.keep()
    path = folder / anchors.FILE
    path.write_text(path.read_text()[:-10])
    anchors.export()

    assert path.read_text().splitlines()[-1] == str(LedgerAnchor.objects.last())


def test_an_anchor_is_mailed_once_and_again_only_after_a_failure(settings, monkeypatch):
    settings.ANCHOR_MAIL = ["auditor@hospital.example"]
    record(1)
    with monkeypatch.context() as down:
        down.setattr(anchors, "send_mail", _no_server)
        anchors.keep()
    anchors.keep()
    anchors.keep()

    assert [LedgerAnchor.objects.get().digest in message.body for message in mail.outbox] == [True]


def _no_server(*_):
    raise smtplib.SMTPServerDisconnected


@pytest.mark.parametrize("deed", ["update", "delete"])
def test_the_database_refuses_to_change_an_anchor(deed):
    record(1)
    anchors.keep()
    rows = LedgerAnchor.objects.all()

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.update(digest="x") if deed == "update" else rows.delete()
