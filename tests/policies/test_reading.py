"""The ledger is searched page by page, and what is exported from it is safe to open and says how far it goes."""

import csv
import io
import json

import pytest

from policies import audit, reading
from policies.models import LedgerLine
from tests import make

pytestmark = pytest.mark.django_db


def exported(kind: str) -> str:
    _, pieces = reading.export(reading.Asked(), kind, by=make.user("auditor"), filters={})
    return "".join(pieces)


@pytest.mark.parametrize("reason", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_of_an_export_is_a_formula(reason):
    audit.record("Lee", "reject", "study", key="a", reason=reason)
    first = next(csv.DictReader(io.StringIO(exported("csv").removeprefix("\ufeff"), newline="")))

    assert first["reason"] == f"'{reason}"


def test_an_export_ends_with_its_place_in_the_chain_and_is_a_line_itself():
    audit.record("Lee", "map", "study", key="a")
    records = [json.loads(line) for line in exported("ndjson").splitlines()]
    newest = LedgerLine.objects.first()

    assert (newest.verb, records[-1]["digest"]) == ("export ledger", newest.digest)
    assert [record["verb"] for record in records] == ["map", "end of export"]


def walked(asked: reading.Asked) -> tuple[list[int], int]:
    """The numbers of the lines on all pages, and how many pages there were."""
    found, before, pages = [], 0, 0
    while pages == 0 or before:
        page = reading.page(asked, before=before)
        found, before, pages = found + [line.pk for line in page.lines], page.next, pages + 1
    return found, pages


@pytest.fixture
def many(monkeypatch):
    """Stretches of a few lines, of which one page takes one."""
    monkeypatch.setattr(reading, "PAGE", 3)
    monkeypatch.setattr(reading, "WINDOW", 4)
    for number in range(20):
        actor, verb = ("Lee", "map") if number % 2 else ("Kim", "clear")
        audit.record(actor, verb, "study", key=f"k{number}", reason=f"Reason {number}.")


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, range(20, 0, -1)),
        ({"verb": "map"}, range(20, 0, -2)),
        ({"verb": "map", "actor": "Lee"}, range(20, 0, -2)),
        ({"verb": "map", "actor": "Kim"}, []),
        ({"subject": "k4"}, [5]),
        ({"words": "reason 7."}, [18, 8]),
        ({"words": "nowhere"}, []),
    ],
)
@pytest.mark.parametrize("enough", [0.000001, 60], ids=["hurried", "patient"])
def test_every_line_asked_for_is_on_one_page_however_short_the_stretches(many, monkeypatch, asked, numbers, enough):
    monkeypatch.setattr(reading, "ENOUGH", enough)

    assert walked(reading.Asked(**asked))[0] == list(numbers)


def test_two_filters_that_never_meet_are_one_page_for_who_has_time_and_more_for_who_has_not(many, monkeypatch):
    asked, pages = reading.Asked(verb="map", actor="Kim"), []
    for enough in (60, 0.000001):
        monkeypatch.setattr(reading, "ENOUGH", enough)
        pages.append(walked(asked)[1])

    assert pages == [1, 5]
