"""What proofs of deletion said of archives that are still to be told becomes a row for each: a person tells those."""

from django.db import migrations
from django.utils import timezone


def become_rows(apps, schema_editor):
    """Which objects they were is not known in detail any more: no note can be made of them."""
    Note = apps.get_model("reconciliation", "RejectionNote")
    for proof in apps.get_model("reconciliation", "DeletionProof").objects.exclude(to_tell=[]):
        for delivery in proof.study.deliveries.filter(destination__name__in=proof.to_tell):
            Note.objects.get_or_create(
                delivery=delivery,
                title="113039",
                defaults={
                    "study_instance_uid": proof.study_instance_uid,
                    "header": {},
                    "references": [],
                    "said": f"Retention is over by the rule '{proof.deletion.rule['name']}'.",
                    "made_at": proof.made_at,
                    "due_at": timezone.now(),
                    "state": "by hand",
                    "problem": "What was delivered is not known in detail any more: tell it by hand.",
                },
            )


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0016_rejection_notes")]
    operations = [
        migrations.RunPython(become_rows, migrations.RunPython.noop),
        migrations.RemoveField("deletionproof", "to_tell"),
    ]
