"""Procedure rules and rules of a second person are known by what they say: of two that say the same one goes."""

import uuid

import django.db.models.functions.comparison
from django.db import migrations, models
from django.utils import timezone

SAYS = {
    "procedurerule": ["source_id", "modality", "body_part", "words", "code", "scheme"],
    "secondperson": ["power", "source_id", "destination_id", "modality", "intent", "category", "kind"],
}
ORDER = {"procedurerule": ["-active", "priority", "pk"], "secondperson": ["-active", "pk"]}
WHY = "Another rule says the same already."


def join(apps, schema_editor):
    """The first that is active stays, as it was the one that spoke; the others end with a version that says so."""
    for kind, columns in SAYS.items():
        seen = set()
        for row in apps.get_model("policies", kind).objects.order_by(*ORDER[kind]):
            said = tuple(getattr(row, column) for column in columns)
            if said in seen:
                end(apps, kind, row)
                row.delete()
            seen.add(said)


def end(apps, kind, row):
    versions, now = apps.get_model("policies", "PolicyVersion").objects, timezone.now()
    key = {"kind": f"policies.{kind}", "key": str(row.pk)}
    if last := versions.filter(**key).order_by("-number").first():
        said = {"title": last.title, "columns": None, "why": WHY}
        versions.create(**key, **said, number=last.number + 1, made_at=now, effective_from=now)


class Migration(migrations.Migration):

    dependencies = [
        ('policies', '0016_partners'),
    ]

    operations = [
        migrations.RunPython(join, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='procedurerule',
            constraint=models.UniqueConstraint(django.db.models.functions.comparison.Coalesce(models.F('source'), models.Value(uuid.UUID('00000000-0000-0000-0000-000000000000'), output_field=models.UUIDField()), output_field=models.UUIDField()), models.F('modality'), models.F('body_part'), models.F('words'), models.F('code'), models.F('scheme'), name='a_line_of_the_procedure_map_is_drawn_once', violation_error_message='Another line of the procedure map is for just such studies already.'),
        ),
        migrations.AddConstraint(
            model_name='secondperson',
            constraint=models.UniqueConstraint(models.F('power'), django.db.models.functions.comparison.Coalesce(models.F('source'), models.Value(uuid.UUID('00000000-0000-0000-0000-000000000000'), output_field=models.UUIDField()), output_field=models.UUIDField()), django.db.models.functions.comparison.Coalesce(models.F('destination'), models.Value(uuid.UUID('00000000-0000-0000-0000-000000000000'), output_field=models.UUIDField()), output_field=models.UUIDField()), models.F('modality'), models.F('intent'), models.F('category'), models.F('kind'), name='a_second_person_is_asked_by_one_rule', violation_error_message='Another rule asks for a second person for just this already.'),
        ),
    ]
