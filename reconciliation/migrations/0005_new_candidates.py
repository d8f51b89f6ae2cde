"""What brings a study back to the top of the queue, what touches its proposals, and what a policy matched."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def stand_where_they_stood(apps, schema_editor):
    apps.get_model("reconciliation", "Study").objects.update(queued_at=models.F("received_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0002_messages'),
        ('policies', '0004_matching'),
        ('reconciliation', '0004_uids'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Lookout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('through', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='StudyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=80)),
            ],
        ),
        migrations.RemoveIndex(
            model_name='study',
            name='queue_by_state',
        ),
        migrations.RemoveIndex(
            model_name='study',
            name='queue_by_source',
        ),
        migrations.RemoveIndex(
            model_name='study',
            name='queue_newest_first',
        ),
        migrations.AddField(
            model_name='mapping',
            name='by_policy',
            field=models.CharField(blank=True, help_text='The policy that chose, and who approved it. Empty: a person chose.', max_length=250),
        ),
        migrations.AddField(
            model_name='study',
            name='for_a_person',
            field=models.BooleanField(default=False, help_text='A person undid a decision about it: it is never matched without one again.'),
        ),
        migrations.AddField(
            model_name='study',
            name='judged_at',
            field=models.DateTimeField(help_text='When the policy of its source was asked to match it.', null=True),
        ),
        migrations.AddField(
            model_name='study',
            name='new_candidate_at',
            field=models.DateTimeField(help_text='Since when a candidate waits that nobody saw.', null=True),
        ),
        migrations.AddField(
            model_name='study',
            name='proposed_with',
            field=models.CharField(blank=True, help_text='Digest of the domains and weights that its proposals were made with.', max_length=16),
        ),
        migrations.AddField(
            model_name='study',
            name='queued_at',
            field=models.DateTimeField(default=django.utils.timezone.now, help_text='Its place in the queue: when it came, or got a new candidate.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='study',
            name='touched_at',
            field=models.DateTimeField(help_text='When a change was seen that its proposals may not know.', null=True),
        ),
        migrations.RunPython(stand_where_they_stood, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='study',
            index=models.Index(fields=['state', '-queued_at', '-id'], name='queue_by_state'),
        ),
        migrations.AddIndex(
            model_name='study',
            index=models.Index(fields=['source', '-queued_at', '-id'], name='queue_by_source'),
        ),
        migrations.AddIndex(
            model_name='study',
            index=models.Index(fields=['-queued_at', '-id'], name='queue_newest_first'),
        ),
        migrations.AddField(
            model_name='studykey',
            name='study',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='keys', to='reconciliation.study'),
        ),
        migrations.AddConstraint(
            model_name='studykey',
            constraint=models.UniqueConstraint(fields=('key', 'study'), name='a_key_touches_a_study_once'),
        ),
    ]
