"""The database refuses to delete an object under a legal hold on any record that was merged with its patient's.

The trigger of before knew the very record alone. This one follows merges, and so it names the table of patients: on
SQLite a later change of that table (which Django makes anew and renames) says `PRAGMA legacy_alter_table=ON` first and
`OFF` after it. A test shows that this is enough.
"""

from django.db import migrations

DECISION = """reconciliation_series s JOIN reconciliation_deletion d ON d.study_id = s.study_id
    WHERE s.id = OLD.series_id AND d.state = 'deleting'"""
LIVE = "reconciliation_legalhold h WHERE h.lifted_at IS NULL"
UPWARDS = "JOIN orders_patient p ON p.id = below.id WHERE p.merged_into_id IS NOT NULL"
# Two records are one patient when following the merges from both leads to the same one.
ALLOWED = f"""EXISTS (SELECT 1 FROM {DECISION} AND NOT EXISTS (SELECT 1 FROM {LIVE} AND h.study_id = d.study_id))
    AND NOT EXISTS (
        WITH RECURSIVE
        theirs(id) AS (
            SELECT d.patient_id FROM {DECISION} AND d.patient_id IS NOT NULL
            UNION SELECT p.merged_into_id FROM theirs below {UPWARDS}),
        held(id) AS (
            SELECT h.patient_id FROM {LIVE} AND h.patient_id IS NOT NULL
            UNION SELECT p.merged_into_id FROM held below {UPWARDS})
        SELECT 1 FROM theirs JOIN held ON held.id = theirs.id)"""
WORDS = "No object is deleted without an approved decision, or under a legal hold."
SQLITE = [
    "DROP TRIGGER no_object_goes_unapproved",
    f"""CREATE TRIGGER no_object_goes_unapproved BEFORE DELETE ON reconciliation_instance
        WHEN NOT ({ALLOWED}) BEGIN SELECT RAISE(ABORT, '{WORDS}'); END""",
]
POSTGRESQL = [
    f"""CREATE OR REPLACE FUNCTION no_object_goes_unapproved() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NOT ({ALLOWED}) THEN RAISE EXCEPTION '{WORDS}'; END IF; RETURN OLD; END $$"""
]


def protect(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0017_archives_to_tell"), ("orders", "0007_apart")]
    operations = [migrations.RunPython(protect, migrations.RunPython.noop)]
