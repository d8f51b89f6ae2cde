"""UIDs that change on the way out, and which of two contents goes; a finding that blocks may be settled."""

from django.db import migrations, models
from django.db.models import OuterRef, Q, Subquery


def as_received(apps, schema_editor):
    """Until now every object went out under the UID that it came with."""
    instances = apps.get_model("reconciliation", "Instance").objects.filter(pk=OuterRef("instance"))
    delivered = apps.get_model("reconciliation", "DeliveredInstance")
    delivered.objects.update(sop_instance_uid=Subquery(instances.values("sop_instance_uid")[:1]))


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0003_commitment")]

    operations = [
        migrations.AddField(
            "study", "signed", models.BooleanField(default=False, help_text="An object carries digital signatures.")
        ),
        migrations.AddField(
            "instance",
            "nth",
            models.PositiveSmallIntegerField(
                default=1, help_text="Which content under its SOP Instance UID this is, in the order of arrival."
            ),
        ),
        migrations.AddField(
            "mapping",
            "uids",
            models.JSONField(default=dict, help_text="New UIDs by old ones, and objects that stay here."),
        ),
        migrations.AddField(
            "deliveredinstance",
            "sop_instance_uid",
            models.CharField(default="", help_text="Under which the destination has it.", max_length=128),
            preserve_default=False,
        ),
        migrations.RunPython(as_received, migrations.RunPython.noop),
        migrations.RemoveConstraint("finding", "an_override_has_who_when_and_why"),
        migrations.AddConstraint(
            "finding",
            models.CheckConstraint(
                name="an_override_has_who_when_and_why",
                condition=Q(overridden_by__isnull=True, overridden_at__isnull=True, override_reason="")
                | Q(
                    overridden_by__isnull=False,
                    overridden_at__isnull=False,
                    override_reason__gt="",
                    severity__in=["block", "override"],
                ),
            ),
        ),
    ]
