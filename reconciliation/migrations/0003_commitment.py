"""Proof of delivery: requests for commitment, and what was committed, failed and counted."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('policies', '0003_proof'),
        ('reconciliation', '0002_minute_hand'),
    ]

    operations = [
        migrations.CreateModel(
            name='Commitment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_uid', models.CharField(max_length=64, unique=True)),
                ('objects_asked', models.PositiveIntegerField()),
                ('asked_at', models.DateTimeField()),
                ('taken', models.BooleanField(default=False, help_text='The destination answered that it will report.')),
                ('answered_at', models.DateTimeField(null=True)),
                ('committed', models.PositiveIntegerField(default=0)),
                ('failed', models.PositiveIntegerField(default=0)),
            ],
            options={
                'ordering': ['-asked_at'],
            },
        ),
        migrations.AddField(
            model_name='deliveredinstance',
            name='committed_at',
            field=models.DateTimeField(help_text='When it reported that it keeps this object.', null=True),
        ),
        migrations.AddField(
            model_name='deliveredinstance',
            name='counted_at',
            field=models.DateTimeField(help_text='When this object was found there by a query.', null=True),
        ),
        migrations.AddField(
            model_name='deliveredinstance',
            name='failure',
            field=models.PositiveIntegerField(help_text='Failure Reason (0008,1197) of its last report.', null=True),
        ),
        migrations.AddField(
            model_name='delivery',
            name='looks',
            field=models.PositiveIntegerField(default=0, help_text='How often its proof was looked for.'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='misses',
            field=models.PositiveSmallIntegerField(default=0, help_text='Counts in a row that missed objects.'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='rounds',
            field=models.PositiveSmallIntegerField(default=0, help_text='How often lost objects were sent again.'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='sent_at',
            field=models.DateTimeField(help_text='When the destination had accepted every object, last.', null=True),
        ),
        migrations.AlterField(
            model_name='deliveredinstance',
            name='status',
            field=models.PositiveIntegerField(help_text='C-STORE status, or the reason given by STOW-RS; empty when no answer came.', null=True),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='state',
            field=models.CharField(choices=[('queued', 'Waiting to be sent'), ('sending', 'Being sent'), ('sent', 'Sent, proof awaited'), ('delivered', 'Delivered'), ('refused', 'Refused: a person must act')], default='queued', max_length=12),
        ),
        migrations.AddConstraint(
            model_name='deliveredinstance',
            constraint=models.CheckConstraint(condition=models.Q(('failure__isnull', True), ('committed_at__isnull', True), _connector='OR'), name='a_failure_is_no_commitment'),
        ),
        migrations.AddConstraint(
            model_name='deliveredinstance',
            constraint=models.CheckConstraint(condition=models.Q(('accepted', True), models.Q(('committed_at__isnull', True), ('counted_at__isnull', True)), _connector='OR'), name='only_what_was_accepted_is_proven'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'sent'), _negated=True), ('sent_at__isnull', False), _connector='OR'), name='sent_means_when'),
        ),
        migrations.AddField(
            model_name='commitment',
            name='delivery',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='commitments', to='reconciliation.delivery'),
        ),
    ]
