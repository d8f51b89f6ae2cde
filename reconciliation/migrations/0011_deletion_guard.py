"""The database itself refuses to delete an object without an approved decision, or under a legal hold.

It asks for series, decision and hold only: a trigger that names the table of studies would stand in the way of every
later change of that table on SQLite. And studies that were cleared before keep the rule that they were cleared by.
"""

from django.db import migrations

ALLOWED = """EXISTS (
    SELECT 1 FROM reconciliation_series s JOIN reconciliation_deletion d ON d.study_id = s.study_id
    WHERE s.id = OLD.series_id AND d.state = 'deleting' AND NOT EXISTS (
        SELECT 1 FROM reconciliation_legalhold h
        WHERE h.lifted_at IS NULL AND (h.study_id = d.study_id OR h.patient_id = d.patient_id)))"""
WORDS = "No object is deleted without an approved decision, or under a legal hold."
SQLITE = [
    f"""CREATE TRIGGER no_object_goes_unapproved BEFORE DELETE ON reconciliation_instance
        WHEN NOT {ALLOWED} BEGIN SELECT RAISE(ABORT, '{WORDS}'); END"""
]
POSTGRESQL = [
    f"""CREATE FUNCTION no_object_goes_unapproved() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NOT {ALLOWED} THEN RAISE EXCEPTION '{WORDS}'; END IF; RETURN OLD; END $$""",
    """CREATE TRIGGER no_object_goes_unapproved BEFORE DELETE ON reconciliation_instance
       FOR EACH ROW EXECUTE FUNCTION no_object_goes_unapproved()""",
]


def protect(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def keep_terms(apps, schema_editor):
    """The rules of that time knew a period that ran from the reception, and nothing else that counts after clearance."""
    Study = apps.get_model("reconciliation", "Study")
    for rule in apps.get_model("policies", "RetentionRule").objects.all():
        terms = {"key": str(rule.pk), "name": rule.name, "period": rule.period}
        Study.objects.filter(retention=rule).update(retention_terms=terms)


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0010_expiry"), ("policies", "0008_retention")]
    operations = [
        migrations.RunPython(protect, migrations.RunPython.noop),
        migrations.RunPython(keep_terms, migrations.RunPython.noop),
    ]
