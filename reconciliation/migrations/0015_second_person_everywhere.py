"""A second person for deletions and overrides.

SQLite makes a table anew to add a column, and would lose its way in a trigger that names it: the guard of 0011 is taken
down meanwhile, in the same transaction.
"""

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


guard = import_module("reconciliation.migrations.0011_deletion_guard")


def take_down(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER no_object_goes_unapproved")


def put_up(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        guard.protect(apps, schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0007_apart'),
        ('reconciliation', '0014_second_person'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(take_down, put_up),
        migrations.AddField(
            model_name='deletion',
            name='seconded_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='deletion',
            name='seconded_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='deletion',
            name='wants_second',
            field=models.BooleanField(default=False, help_text='Policy wants a second person to agree.'),
        ),
        migrations.AddField(
            model_name='study',
            name='retention_by',
            field=models.ForeignKey(help_text='Who chose another rule than policy proposed.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='deletion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('seconded_at__isnull', True), ('seconded_by__isnull', True)), models.Q(('seconded_at__isnull', False), ('seconded_by__isnull', False), models.Q(('seconded_by', models.F('approved_by')), _negated=True)), _connector='OR'), name='a_deletion_is_agreed_to_by_another_person'),
        ),
        migrations.AddConstraint(
            model_name='deletion',
            constraint=models.CheckConstraint(condition=models.Q(('wants_second', False), models.Q(('state__in', ['deleting', 'done']), _negated=True), ('seconded_by__isnull', False), _connector='OR'), name='nothing_is_deleted_by_one_where_two_are_wanted'),
        ),
        migrations.RunPython(put_up, take_down),
    ]
