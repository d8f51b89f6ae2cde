"""Versions and drafts of the rules. Versions are written once: triggers refuse to change or delete them."""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone

KINDS = [
    *("source", "destination", "assigningauthority", "authorityalias", "procedure", "procedurerule", "retentionrule"),
    *("matchingpolicy", "matchingweight", "reason", "grant", "organisation", "sourcesystem", "consentrule", "qualityrule"),
]
SQLITE = [
    f"""CREATE TRIGGER version_no_{verb} BEFORE {verb} ON policies_policyversion
        BEGIN SELECT RAISE(ABORT, 'Versions are append-only.'); END"""
    for verb in ("update", "delete")
]
POSTGRESQL = [
    """CREATE FUNCTION versions_are_append_only() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'Versions are append-only.'; END $$""",
    """CREATE TRIGGER version_no_change BEFORE UPDATE OR DELETE ON policies_policyversion
       FOR EACH ROW EXECUTE FUNCTION versions_are_append_only()""",
    """CREATE TRIGGER version_no_truncate BEFORE TRUNCATE ON policies_policyversion
       FOR EACH STATEMENT EXECUTE FUNCTION versions_are_append_only()""",
]


def protect(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def begin(apps, schema_editor):
    """What is there is version 1: nobody knows what it said before."""
    now, versions = timezone.now(), apps.get_model("policies", "PolicyVersion").objects
    for kind in KINDS:
        for row in apps.get_model("policies", kind).objects.all():
            said = {"title": str(getattr(row, "name", row.pk))[:250], "columns": columns(row), "why": "Was there before."}
            key = {"kind": f"policies.{kind}", "key": str(row.pk), "number": 1}
            versions.create(**key, **said, made_at=now, effective_from=now)


def columns(row):
    return {field.attname: plain(field, row) for field in row._meta.concrete_fields if not field.primary_key}


def plain(field, row):
    value = getattr(row, field.attname)
    return value if value is None or type(value) in (bool, int, float, str, list, dict) else field.value_to_string(row)


class Migration(migrations.Migration):

    dependencies = [
        ("policies", "0013_cache"),
    ]

    operations = [
        migrations.CreateModel(
            name='PolicyDraft',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=64)),
                ('key', models.CharField(help_text='Of the rule, also of one that does not exist yet.', max_length=64)),
                ('title', models.CharField(max_length=250)),
                ('columns', models.JSONField(help_text='Empty: the rule is to be deleted.', null=True)),
                ('based_on', models.PositiveIntegerField(default=0, help_text='The version it was written from. 0: a new rule.')),
                ('made_at', models.DateTimeField(auto_now_add=True)),
                ('why', models.TextField()),
                ('effective_from', models.DateTimeField(blank=True, help_text='Empty: at once.', null=True)),
                ('needs_approval', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('submitted', 'Waits for approval'), ('approved', 'Waits for its day'), ('in force', 'In force'), ('withdrawn', 'Withdrawn')], default='draft', max_length=12)),
                ('approved_at', models.DateTimeField(null=True)),
                ('problem', models.TextField(blank=True, help_text='Why it could not come into force.')),
                ('approved_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('made_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-made_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(('approved_by__isnull', True), models.Q(('approved_by', models.F('made_by')), _negated=True), _connector='OR'), name='nobody_approves_their_own_draft'), models.CheckConstraint(condition=models.Q(models.Q(('needs_approval', True), ('state__in', ['approved', 'in force']), _negated=True), models.Q(('approved_at__isnull', False), ('approved_by__isnull', False)), _connector='OR'), name='what_needs_approval_has_it')],
            },
        ),
        migrations.CreateModel(
            name='PolicyVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(help_text='The model, like policies.source.', max_length=64)),
                ('key', models.CharField(max_length=64)),
                ('number', models.PositiveIntegerField()),
                ('title', models.CharField(help_text='As it was called then.', max_length=250)),
                ('columns', models.JSONField(help_text='Empty: the rule was deleted.', null=True)),
                ('made_at', models.DateTimeField()),
                ('why', models.TextField(blank=True)),
                ('effective_from', models.DateTimeField(db_index=True)),
                ('approved_at', models.DateTimeField(null=True)),
                ('approved_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('made_by', models.ForeignKey(help_text='Empty: the portal itself.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(fields=('kind', 'key', 'number'), name='a_version_is_numbered_once'), models.CheckConstraint(condition=models.Q(('approved_by__isnull', True), ('made_by__isnull', True), models.Q(('approved_by', models.F('made_by')), _negated=True), _connector='OR'), name='nobody_approves_their_own_version')],
            },
        ),
        migrations.RunPython(protect, migrations.RunPython.noop),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
