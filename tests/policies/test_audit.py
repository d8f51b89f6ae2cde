import pytest
from django.db import DatabaseError, connection, transaction

from policies import audit
from policies.models import LedgerLine

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


@pytest.mark.parametrize("deed", ["update", "delete"])
def test_the_database_refuses_to_change_a_line(deed):
    audit.record("Lee", "map", "study", key="a")
    lines = LedgerLine.objects.all()

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        lines.update(actor="Kim") if deed == "update" else lines.delete()


def test_verify_names_a_line_that_was_changed_behind_the_triggers():
    audit.record("Lee", "map", "study", key="a")
    forged = audit.record("Lee", "clear", "study", key="a")
    audit.record("Lee", "release", "study", key="a")
    with connection.cursor() as cursor:
        drop_triggers(cursor)
        cursor.execute("UPDATE policies_ledgerline SET actor = 'Kim' WHERE id = %s", [forged.pk])

    assert f"Line {forged.pk} " in audit.verify()


def test_verify_notices_that_the_newest_line_is_missing():
    audit.record("Lee", "map", "study", key="a")
    gone = audit.record("Lee", "clear", "study", key="a")
    with connection.cursor() as cursor:
        drop_triggers(cursor)
        cursor.execute("DELETE FROM policies_ledgerline WHERE id = %s", [gone.pk])

    assert "newest line is missing" in audit.verify()


def drop_triggers(cursor) -> None:
    if connection.vendor == "sqlite":
        cursor.execute("DROP TRIGGER ledger_no_update")
        cursor.execute("DROP TRIGGER ledger_no_delete")
    else:
        cursor.execute("ALTER TABLE policies_ledgerline DISABLE TRIGGER ALL")
