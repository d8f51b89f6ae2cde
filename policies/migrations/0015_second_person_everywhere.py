from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('policies', '0014_versions'),
    ]

    operations = [
        migrations.AddField(
            model_name='secondperson',
            name='kind',
            field=models.CharField(blank=True, help_text='Only for setting policy: rules of this kind change when a second person approves. Empty: all.', max_length=40, verbose_name='kind of rule'),
        ),
        migrations.AlterField(
            model_name='secondperson',
            name='power',
            field=models.CharField(choices=[('release', 'release studies'), ('override', 'override findings and change proposed retention'), ('delete', 'approve that studies are deleted'), ('set policy', 'set policy')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='secondperson',
            constraint=models.CheckConstraint(condition=models.Q(('destination', None), ('power__in', ['release', 'override']), _connector='OR'), name='only_what_goes_out_is_asked_by_destination', violation_error_message='Only a release, and what was overridden for it, has a destination.'),
        ),
        migrations.AddConstraint(
            model_name='secondperson',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', ''), models.Q(('power', 'set policy'), _negated=True)), models.Q(('category', ''), ('destination', None), ('intent', ''), ('modality', ''), ('power', 'set policy'), ('source', None)), _connector='OR'), name='policy_is_asked_by_its_kind', violation_error_message='Setting policy is limited by the kind of rule alone, and nothing else has a kind of rule.'),
        ),
    ]
