import re

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from policies import audit
from policies.models import LedgerHead, LedgerLine
from policies.problems import Invalid
from tests import make
from tests.conftest import triggers_lifted

pytestmark = pytest.mark.django_db


def test_a_line_says_who_what_why_and_from_where():
    token = audit.whence.set("10.0.0.7")
    line = audit.record("Lee", "reject", "study", key="k1", reason="Not ours.", detail={"code": "x"})
    audit.whence.reset(token)

    assert (line.actor, line.verb, line.subject_key, line.reason, line.address) == (
        "Lee",
        "reject",
        "k1",
        "Not ours.",
        "10.0.0.7",
    )


def test_each_line_carries_the_digest_of_the_one_before():
    first, second = audit.record("Lee", "map", "study", key="a"), audit.record("Lee", "clear", "study", key="a")

    assert second.previous == first.digest
    assert audit.verify() == ""


def test_nobody_fills_the_ledger_with_one_reason():
    with pytest.raises(Invalid, match="4000 characters"):
        audit.record(make.user("desk"), "reject", "study", key="k1", reason="x" * 4001)

    assert not LedgerLine.objects.exists()


@pytest.mark.parametrize("deed", ["update", "delete"])
def test_the_database_refuses_to_change_a_line(deed):
    audit.record("Lee", "map", "study", key="a")
    lines = LedgerLine.objects.all()

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        lines.update(actor="Kim") if deed == "update" else lines.delete()


@pytest.mark.parametrize(
    "columns", [{"line": 1}, {"digest": "0" * 64}, {"line": 3, "digest": "0" * 64}], ids=["back", "digest", "on"]
)
def test_the_database_refuses_to_move_the_head_by_hand(columns):
    audit.record("Lee", "map", "study", key="a")
    audit.record("Lee", "clear", "study", key="a")

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerHead.objects.update(**columns)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerHead.objects.all().delete()


def test_the_database_refuses_a_line_that_does_not_follow_the_newest():
    line = audit.record("Lee", "map", "study", key="a")
    line.pk, line.digest = line.pk + 1, "0" * 64

    with pytest.raises(DatabaseError, match="does not follow"), transaction.atomic():
        line.save(force_insert=True)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no TRUNCATE")
@pytest.mark.parametrize("table", ["ledgerline", "ledgerhead", "ledgeranchor"])
def test_the_database_refuses_to_truncate(table):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE policies_{table}")


COLUMNS = {
    "at": "'2020-01-01 00:00:00+00'",
    "actor": "'Kim'",
    "actor_key": "'9'",
    "verb": "'unmap'",
    "subject": "'order'",
    "subject_key": "'b'",
    "subject_label": "'other'",
    "study_key": "''",
    "reason": "'none'",
    "detail": """'{"a": 2}'""",
    "address": "'::1'",
    "previous": "''",
    "digest": "'0'",
    "form": "1",
    "id": "7",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_verify_names_a_line_of_which_any_column_was_changed(column):
    for number in range(3):
        audit.record("Lee", "map", "study", key="a", detail={"study": "s", "n": number})
    with triggers_lifted(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE policies_ledgerline SET {column} = {COLUMNS[column]} WHERE id = 2")  # noqa: S608

    assert re.match(r"Line 2 ", audit.verify())


def test_verify_names_the_lines_that_are_missing_in_the_middle():
    for number in range(5):
        audit.record("Lee", "map", "study", key=f"{number}")
    with triggers_lifted():
        LedgerLine.objects.filter(pk__in=[2, 3]).delete()

    assert audit.verify() == "Lines 2 to 3 are missing before line 4."


def test_lines_of_the_first_form_are_still_verified_and_found_when_changed():
    """Before the migration a line had neither number nor study in its digest."""
    with triggers_lifted():
        previous = ""
        for number in (1, 4):  # a sequence leaves gaps
            old = LedgerLine(pk=number, at=timezone.now(), actor="Lee", verb="map", subject="study", previous=previous)
            old.digest = previous = audit.digest(old)
            old.save(force_insert=True)
        LedgerHead.objects.update(line=4, digest=previous)
    audit.record("Lee", "clear", "study", key="a")

    assert audit.verify() == ""
    with triggers_lifted():
        LedgerLine.objects.filter(pk=1).update(study_key="s")
    assert audit.verify().startswith("Line 1 ")


def test_the_chain_is_walked_in_stretches_each_from_the_last_line_on():
    for number in range(5):
        audit.record("Lee", "map", "study", key=f"{number}")

    assert audit.walk(0, limit=3) == (3, "", False)
    assert audit.walk(3, limit=3) == (5, "", True)


def test_looking_again_within_a_quarter_of_an_hour_adds_no_line():
    user, study = make.user(), make.study()
    for _ in range(3):
        audit.looked(user, study)
    audit.looked(make.user("releaser"), study)

    looks = LedgerLine.objects.filter(verb="look at")
    assert [(line.actor_key, line.study_key) for line in looks.order_by("id")] == [
        (str(user.pk), str(study.pk)),
        (str(make.user("releaser").pk), str(study.pk)),
    ]


def test_the_history_of_a_study_holds_what_was_done_to_its_order_and_link():
    study = make.study("released")
    lines = audit.history(study, study.order_id)

    assert {"study", "patient"} <= set(lines.values_list("subject", flat=True))
    audit.record("Lee", "cancel order", study.order)
    assert lines.first().verb == "cancel order"


def test_verify_names_a_line_that_was_changed_behind_the_triggers():
    audit.record("Lee", "map", "study", key="a")
    forged = audit.record("Lee", "clear", "study", key="a")
    audit.record("Lee", "release", "study", key="a")
    with triggers_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE policies_ledgerline SET actor = 'Kim' WHERE id = %s", [forged.pk])

    assert f"Line {forged.pk} " in audit.verify()


def test_verify_notices_that_the_newest_line_is_missing():
    audit.record("Lee", "map", "study", key="a")
    gone = audit.record("Lee", "clear", "study", key="a")
    with triggers_lifted(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM policies_ledgerline WHERE id = %s", [gone.pk])

    assert "newest line is missing" in audit.verify()
