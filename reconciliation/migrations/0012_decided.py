"""What the rules said about a study when it was decided."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("reconciliation", "0011_deletion_guard"),
    ]

    operations = [
        migrations.CreateModel(
            name='Decided',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('topic', models.CharField(max_length=16)),
                ('at', models.DateTimeField()),
                ('facts', models.JSONField()),
                ('key', models.CharField(blank=True, max_length=250)),
                ('words', models.TextField(blank=True)),
                ('study', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='decided', to='reconciliation.study')),
            ],
            options={
                'verbose_name_plural': 'decided',
                'ordering': ['at', 'id'],
            },
        ),
    ]
