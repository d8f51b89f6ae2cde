"""The ledger says of which study a line is, is searched by day, person and address, and has anchors outside.

A line moves the head of the chain on by itself; every other move of the head is refused.
"""

from django.db import migrations, models
from django.db.models import Max

APPEND = "The ledger is append-only."
SQLITE = [
    # SQLite makes a table anew to add a column: its triggers are gone with the old one.
    *(
        f"""CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON policies_{name}
            BEGIN SELECT RAISE(ABORT, '{APPEND}'); END"""
        for table, name, verb in (
            ("ledger", "ledgerline", "update"),
            ("ledger", "ledgerline", "delete"),
            ("head", "ledgerhead", "delete"),
            ("anchor", "ledgeranchor", "delete"),
        )
    ),
    f"""CREATE TRIGGER anchor_stays BEFORE UPDATE OF day, line, digest, lines ON policies_ledgeranchor
        BEGIN SELECT RAISE(ABORT, '{APPEND}'); END""",
    """CREATE TRIGGER ledger_follows_head AFTER INSERT ON policies_ledgerline BEGIN
        SELECT RAISE(ABORT, 'This line does not follow the newest one of the ledger.') WHERE NOT EXISTS
            (SELECT 1 FROM policies_ledgerhead WHERE id = 1 AND digest = NEW.previous AND line = NEW.id - 1);
        UPDATE policies_ledgerhead SET digest = NEW.digest, line = NEW.id WHERE id = 1; END""",
    f"""CREATE TRIGGER head_follows_ledger BEFORE UPDATE ON policies_ledgerhead
        WHEN NEW.id <> 1 OR NEW.line <> OLD.line + 1 OR NOT EXISTS (SELECT 1 FROM policies_ledgerline
            WHERE id = NEW.line AND digest = NEW.digest AND previous = OLD.digest)
        BEGIN SELECT RAISE(ABORT, '{APPEND}'); END""",
]
POSTGRESQL = [
    """CREATE FUNCTION ledger_follows_head() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE policies_ledgerhead SET digest = NEW.digest, line = NEW.id
            WHERE id = 1 AND digest = NEW.previous AND line = NEW.id - 1;
        IF NOT FOUND THEN RAISE EXCEPTION 'This line does not follow the newest one of the ledger.'; END IF;
        RETURN NEW; END $$""",
    """CREATE TRIGGER ledger_follows_head AFTER INSERT ON policies_ledgerline
       FOR EACH ROW EXECUTE FUNCTION ledger_follows_head()""",
    f"""CREATE FUNCTION head_follows_ledger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.id <> 1 OR NEW.line <> OLD.line + 1 OR NOT EXISTS (SELECT 1 FROM policies_ledgerline
            WHERE id = NEW.line AND digest = NEW.digest AND previous = OLD.digest)
        THEN RAISE EXCEPTION '{APPEND}'; END IF;
        RETURN NEW; END $$""",
    """CREATE TRIGGER head_follows_ledger BEFORE UPDATE ON policies_ledgerhead
       FOR EACH ROW EXECUTE FUNCTION head_follows_ledger()""",
    """CREATE TRIGGER anchor_stays BEFORE UPDATE OF day, line, digest, lines ON policies_ledgeranchor
       FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()""",
    *(
        f"""CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON policies_{name}
            FOR EACH {scope} EXECUTE FUNCTION ledger_is_append_only()"""
        for table, name in (("head", "ledgerhead"), ("anchor", "ledgeranchor"))
        for verb, scope in (("delete", "ROW"), ("truncate", "STATEMENT"))
    ),
]


def number_head(apps, schema_editor):
    newest = apps.get_model("policies", "LedgerLine").objects.aggregate(newest=Max("pk"))["newest"]
    apps.get_model("policies", "LedgerHead").objects.filter(pk=1).update(line=newest or 0)


def protect(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ("policies", "0010_second_person"),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditMessage',
            fields=[
                ('line', models.BigIntegerField(primary_key=True, serialize=False)),
                ('facts', models.JSONField(default=dict, help_text='Study and patient as they were then.')),
                ('due_at', models.DateTimeField()),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('lease_until', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('problem', models.TextField(blank=True)),
            ],
            options={
                'ordering': ['line'],
            },
        ),
        migrations.CreateModel(
            name='LedgerAnchor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(unique=True)),
                ('line', models.BigIntegerField()),
                ('digest', models.CharField(max_length=64)),
                ('lines', models.BigIntegerField(help_text='How many lines there were.')),
                ('mailed_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['day'],
            },
        ),
        migrations.AddField(
            model_name='ledgerhead',
            name='line',
            field=models.BigIntegerField(default=0, help_text='The number of the newest line.'),
        ),
        migrations.AddField(
            model_name='ledgerline',
            name='form',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name='ledgerline',
            name='study_key',
            field=models.CharField(blank=True, default='', help_text='The study that it is about.', max_length=36),
        ),
        migrations.AddIndex(
            model_name='ledgerline',
            index=models.Index(fields=['study_key', '-id'], name='policies_le_study_k_e16c02_idx'),
        ),
        migrations.AddIndex(
            model_name='ledgerline',
            index=models.Index(fields=['actor_key', '-id'], name='policies_le_actor_k_8480cb_idx'),
        ),
        migrations.AddIndex(
            model_name='ledgerline',
            index=models.Index(fields=['actor', '-id'], name='policies_le_actor_462bc7_idx'),
        ),
        migrations.AddIndex(
            model_name='ledgerline',
            index=models.Index(fields=['address', '-id'], name='policies_le_address_c558c2_idx'),
        ),
        migrations.AddIndex(
            model_name='ledgerline',
            index=models.Index(fields=['at'], name='policies_le_at_1e7f93_idx'),
        ),
        migrations.AddIndex(
            model_name='auditmessage',
            index=models.Index(condition=models.Q(('sent_at', None)), fields=['line'], name='policies_audit_unsent'),
        ),
        migrations.RunPython(number_head),
        migrations.RunPython(protect),
    ]
