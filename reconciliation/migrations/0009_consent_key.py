import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0008_consent_told")]
    operations = [
        migrations.AlterField(
            model_name="consent",
            name="key",
            field=models.UUIDField(
                default=uuid.uuid4, editable=False, help_text="Its name in addresses.", unique=True
            ),
        ),
        migrations.AlterField(model_name="consent", name="given_on", field=models.DateField()),
    ]
