"""The table of the cache that all processes share; made here, so that no set-up has a step of its own for it."""

from django.core.management import call_command
from django.db import migrations


def make(apps, schema_editor):
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [("policies", "0012_coercion")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
