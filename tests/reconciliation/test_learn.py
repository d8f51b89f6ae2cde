"""`manage.py learn`: the weights of matching from what people confirmed."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from policies.models import LedgerLine, MatchingWeight
from reconciliation import matching
from tests import make

pytestmark = pytest.mark.django_db


def learn(*more):
    out = StringIO()
    call_command("learn", "--json", *more, stdout=out)
    return json.loads(out.getvalue())


def test_too_few_decisions_are_refused_with_a_sentence():
    with pytest.raises(CommandError, match="0 decisions are too few to learn from: 200 are needed"):
        call_command("learn")


def test_a_released_study_teaches_and_nothing_is_written_unasked():
    make.study("released")
    make.study("held")

    found = learn("--least", "1")

    assert found["decisions"] == 1
    assert {"birth_date", "family_name", "given_name", "sex"} <= {row["field"] for row in found["weights"]}
    assert not MatchingWeight.objects.exists()


def test_what_is_saved_is_used_and_in_the_ledger():
    make.study("released")

    learn("--least", "1", "--save")

    row = MatchingWeight.objects.get(field="sex", level="same")
    assert matching.weights().levels["sex"]["same"] == (row.m, row.u)
    assert LedgerLine.objects.latest("pk").verb == "learn"
