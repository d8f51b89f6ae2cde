import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("reconciliation", "0013_quality"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Approval',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('verb', models.CharField(max_length=16)),
                ('version', models.PositiveIntegerField(help_text="The study's when it was asked for.")),
                ('what', models.JSONField(default=dict, help_text='What exactly was asked for: {"destinations": [key, ...]}.')),
                ('state', models.CharField(choices=[('waiting', 'Waits for a second person'), ('approved', 'Approved'), ('declined', 'Declined'), ('withdrawn', 'Withdrawn by who asked'), ('void', 'Void: the study changed')], default='waiting', max_length=12)),
                ('asked_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('asked_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('study', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='approvals', to='reconciliation.study')),
            ],
            options={
                'ordering': ['-asked_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'waiting')), fields=('study', 'verb'), name='one_deed_of_a_kind_waits'), models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['approved', 'declined']), _negated=True), models.Q(('decided_by', models.F('asked_by')), _negated=True), _connector='OR'), name='nobody_is_their_own_second_person'), models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['approved', 'declined']), _negated=True), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False)), _connector='OR'), name='a_second_decision_says_who_and_when')],
            },
        ),
        migrations.CreateModel(
            name='EmergencyAccess',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('reason', models.TextField()),
                ('opened_at', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('told_at', models.DateTimeField(help_text='When the alarm had been sent.', null=True)),
                ('reviewed_at', models.DateTimeField(null=True)),
                ('comment', models.TextField(blank=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='emergencies', to=settings.AUTH_USER_MODEL)),
                ('reviewed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('study', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='emergencies', to='reconciliation.study')),
            ],
            options={
                'verbose_name': 'emergency access',
                'verbose_name_plural': 'emergency accesses',
                'ordering': ['-opened_at', '-id'],
                'indexes': [models.Index(fields=['by', 'until'], name='emergencies_of_a_person'), models.Index(fields=['-opened_at', '-id'], name='emergencies_newest_first')],
                'constraints': [models.CheckConstraint(condition=models.Q(('reason__gt', '')), name='an_emergency_has_a_reason'), models.CheckConstraint(condition=models.Q(models.Q(('reviewed_at', None), ('reviewed_by', None)), models.Q(('comment__gt', ''), ('reviewed_at__isnull', False), ('reviewed_by__isnull', False)), _connector='OR'), name='a_review_says_who_when_and_what'), models.CheckConstraint(condition=models.Q(('reviewed_by', None), models.Q(('reviewed_by', models.F('by')), _negated=True), _connector='OR'), name='nobody_reviews_their_own_emergency')],
            },
        ),
    ]
