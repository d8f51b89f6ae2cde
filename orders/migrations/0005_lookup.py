"""What other systems are asked for, and when a worklist last showed an order."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0004_outbound")]

    operations = [
        migrations.CreateModel(
            name="Lookup",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("by", models.CharField(help_text="Who asked, or the portal.", max_length=150)),
                (
                    "due_at",
                    models.DateTimeField(
                        help_text="When the systems are to be asked; empty: not any more.", null=True
                    ),
                ),
                ("lease_until", models.DateTimeField(null=True)),
                ("asked_at", models.DateTimeField(help_text="When they were asked last.", null=True)),
                (
                    "answers",
                    models.JSONField(
                        default=list, help_text="By system: how much it knew, or why it said nothing."
                    ),
                ),
                (
                    "news",
                    models.BooleanField(
                        default=False, help_text="Whether anything was not known here before."
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["due_at"], name="orders_look_due_at_idx")]},
        ),
        migrations.AddField(
            model_name="order",
            name="seen_at",
            field=models.DateTimeField(editable=False, help_text="When a worklist last showed it.", null=True),
        ),
    ]
