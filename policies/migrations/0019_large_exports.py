from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('policies', '0018_rejection_notes'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='ledgerline',
            options={'ordering': ['-id'], 'permissions': [('export_large', 'Can export very many lines at once')]},
        ),
    ]
