"""The ledger only grows: triggers refuse to change or delete a line, on SQLite and on PostgreSQL."""

from django.db import migrations

SQLITE = [
    f"""CREATE TRIGGER ledger_no_{verb} BEFORE {verb} ON policies_ledgerline
        BEGIN SELECT RAISE(ABORT, 'The ledger is append-only.'); END"""
    for verb in ("update", "delete")
]
POSTGRESQL = [
    """CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'The ledger is append-only.'; END $$""",
    """CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON policies_ledgerline
       FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()""",
    """CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON policies_ledgerline
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()""",
]


def protect(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def begin_chain(apps, schema_editor):
    apps.get_model("policies", "LedgerHead").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("policies", "0001_initial")]
    operations = [migrations.RunPython(protect), migrations.RunPython(begin_chain)]
