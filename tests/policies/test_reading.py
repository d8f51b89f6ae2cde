"""What is exported from the ledger is safe to open and says how far it goes."""

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
