"""What proves a delivery. Destinations that are there stay as they were: accepted is enough."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('policies', '0002_ledger'),
    ]

    operations = [
        migrations.AddField(
            model_name='destination',
            name='associations',
            field=models.PositiveSmallIntegerField(default=1, help_text="How many connections one delivery may use at a time. Ask the archive's administrator.", validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(16)]),
        ),
        migrations.AddField(
            model_name='destination',
            name='commitment_patience',
            field=models.PositiveIntegerField(default=3600, help_text='Seconds that it may take to report a commitment; then it is asked again.', validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='destination',
            name='credentials',
            field=models.CharField(blank=True, help_text="The NAME of the environment variable that holds the credentials for DICOMweb: 'user:password', or 'Bearer' and a token. The secret itself is never entered here.", max_length=64, validators=[django.core.validators.RegexValidator('^IMGSHARE_CREDENTIALS_[A-Z0-9_]+$', 'Name an environment variable that begins with IMGSHARE_CREDENTIALS_.')]),
        ),
        migrations.AddField(
            model_name='destination',
            name='proof',
            field=models.CharField(choices=[('none', 'None: accepted is enough'), ('count', 'Count: the archive is asked again for every object'), ('commitment', 'Commitment: the archive commits itself to every object, then they are counted')], default='none', help_text='What must be seen before a study counts as delivered. Choose Count if it cannot commit.', max_length=12),
        ),
        migrations.AlterField(
            model_name='destination',
            name='proof',
            field=models.CharField(choices=[('none', 'None: accepted is enough'), ('count', 'Count: the archive is asked again for every object'), ('commitment', 'Commitment: the archive commits itself to every object, then they are counted')], default='commitment', help_text='What must be seen before a study counts as delivered. Choose Count if it cannot commit.', max_length=12),
        ),
        migrations.AddField(
            model_name='destination',
            name='protocol',
            field=models.CharField(choices=[('dimse', 'DICOM (C-STORE)'), ('stow', 'DICOMweb (STOW-RS)')], default='dimse', max_length=8),
        ),
        migrations.AddField(
            model_name='destination',
            name='query_ae_title',
            field=models.CharField(blank=True, help_text='If the archive answers queries under another title, at the same host and port.', max_length=16, validators=[django.core.validators.RegexValidator('^(?! )[\\x20-\\x5b\\x5d-\\x7e]{1,16}(?<! )$', 'An AE title has 1 to 16 characters, no backslash.')], verbose_name='AE title for C-FIND'),
        ),
        migrations.AddField(
            model_name='destination',
            name='query_url',
            field=models.CharField(blank=True, help_text='Where objects are counted by DICOMweb. Empty: the STOW-RS address, or else C-FIND.', max_length=255, validators=[django.core.validators.RegexValidator('^https?://[A-Za-z0-9.\\[\\]:-]+(/[A-Za-z0-9._~/-]*)?$', 'An address like https://archive.example/dicom-web, without a query and without a password.')], verbose_name='QIDO-RS address'),
        ),
        migrations.AddField(
            model_name='destination',
            name='stow_url',
            field=models.CharField(blank=True, help_text='For DICOMweb: the address before /studies, like https://archive.example/dicom-web.', max_length=255, validators=[django.core.validators.RegexValidator('^https?://[A-Za-z0-9.\\[\\]:-]+(/[A-Za-z0-9._~/-]*)?$', 'An address like https://archive.example/dicom-web, without a query and without a password.')], verbose_name='STOW-RS address'),
        ),
        migrations.AlterField(
            model_name='destination',
            name='ae_title',
            field=models.CharField(blank=True, help_text='Its reports of storage commitment must come under this title too.', max_length=16, validators=[django.core.validators.RegexValidator('^(?! )[\\x20-\\x5b\\x5d-\\x7e]{1,16}(?<! )$', 'An AE title has 1 to 16 characters, no backslash.')], verbose_name='AE title'),
        ),
        migrations.AlterField(
            model_name='destination',
            name='host',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ae_title__gt', ''), ('host__gt', ''), ('protocol', 'dimse')), models.Q(('protocol', 'stow'), ('stow_url__gt', '')), _connector='OR'), name='a_destination_has_an_address', violation_error_message='DICOM needs an AE title and a host; DICOMweb needs a STOW-RS address.'),
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('proof', 'commitment'), _negated=True), models.Q(('ae_title__gt', ''), ('host__gt', '')), _connector='OR'), name='commitment_needs_an_ae_title', violation_error_message='Storage commitment is asked for by DICOM: give an AE title and a host.'),
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.CheckConstraint(condition=models.Q(('associations__gte', 1), ('associations__lte', 16)), name='associations_are_one_to_sixteen', violation_error_message='Use 1 to 16 connections at a time.'),
        ),
        migrations.AddConstraint(
            model_name='destination',
            constraint=models.CheckConstraint(condition=models.Q(('commitment_patience__gte', 1)), name='patience_is_a_time', violation_error_message='A report takes at least a second.'),
        ),
    ]
