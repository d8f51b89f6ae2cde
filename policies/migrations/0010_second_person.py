import django.db.models.deletion
import django.db.models.functions.comparison
import uuid
from django.db import migrations, models


def give_each_once(apps, schema_editor):
    """SQLite let one grant be given many times where something in it was empty: the first of them stays."""
    columns = ("group", "power", "source", "destination", "modality", "intent", "category")
    seen, grants = set(), apps.get_model("policies", "Grant").objects.order_by("pk")
    for key, *given in grants.values_list("pk", *columns):
        if tuple(given) in seen:
            grants.filter(pk=key).delete()
        seen.add(tuple(given))


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ("policies", "0009_quality"),
    ]

    operations = [
        migrations.CreateModel(
            name='SecondPerson',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('power', models.CharField(choices=[('release', 'release studies')], max_length=16)),
                ('modality', models.CharField(blank=True, help_text='Studies that have it among others, too. Empty: every modality.', max_length=16)),
                ('intent', models.CharField(blank=True, choices=[('reference', 'For reference (a prior, never on a reading list)'), ('read', 'To be read here')], help_text='Empty: every intent.', max_length=16)),
                ('category', models.CharField(blank=True, choices=[('incorporated', 'Incorporated'), ('second opinion', 'Second opinion'), ('teleradiology', 'Teleradiology')], help_text='Empty: every category.', max_length=16)),
                ('active', models.BooleanField(default=True)),
            ],
            options={
                'verbose_name': 'second person',
                'verbose_name_plural': 'second person: where two must agree',
                'ordering': ['power', 'id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='grant',
            name='a_grant_is_given_once',
        ),
        migrations.RunPython(give_each_once, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='grant',
            name='power',
            field=models.CharField(choices=[('stage', 'bring in discs and uploads'), ('view', 'view studies'), ('reconcile', 'reconcile (choose the order, record consent and retention)'), ('create order', 'create reconciliation orders'), ('override', 'override findings and change proposed retention'), ('release', 'release studies'), ('reject', 'reject studies'), ('share', 'share studies with others outside'), ('download', 'download images'), ('recall', 'recall released studies'), ('delete', 'approve that studies are deleted'), ('set policy', 'set policy'), ('approve policy', 'approve policy'), ('grant', 'grant powers to others'), ('audit', 'read the ledger'), ('emergency', 'open a study in an emergency, with a reason and an alarm')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(('valid_from', None), ('valid_until', None), ('valid_until__gte', models.F('valid_from')), _connector='OR'), name='a_grant_ends_after_it_begins', violation_error_message='The last day lies before the first.'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.UniqueConstraint(models.F('group'), models.F('power'), django.db.models.functions.comparison.Coalesce(models.F('source'), models.Value(uuid.UUID('00000000-0000-0000-0000-000000000000'), output_field=models.UUIDField()), output_field=models.UUIDField()), django.db.models.functions.comparison.Coalesce(models.F('destination'), models.Value(uuid.UUID('00000000-0000-0000-0000-000000000000'), output_field=models.UUIDField()), output_field=models.UUIDField()), models.F('modality'), models.F('intent'), models.F('category'), name='a_grant_is_given_once', violation_error_message='This group has this grant already.'),
        ),
        migrations.AddField(
            model_name='secondperson',
            name='destination',
            field=models.ForeignKey(blank=True, help_text='Empty: every destination.', null=True, on_delete=django.db.models.deletion.CASCADE, to='policies.destination'),
        ),
        migrations.AddField(
            model_name='secondperson',
            name='source',
            field=models.ForeignKey(blank=True, help_text='Empty: every source.', null=True, on_delete=django.db.models.deletion.CASCADE, to='policies.source'),
        ),
    ]
