from django.db import migrations

from policies.rules import blocking

BATCH = 1000


def write_keys(apps, schema_editor):
    """Patients who were there before they had keys."""
    Patient, PatientKey = (apps.get_model("orders", name) for name in ("Patient", "PatientKey"))
    rows = []
    for patient in Patient.objects.filter(keys=None).iterator(chunk_size=BATCH):
        birth_date = f"{patient.birth_date:%Y%m%d}" if patient.birth_date else ""
        rows += [PatientKey(patient=patient, key=key) for key in sorted(blocking.keys(patient.name, birth_date))]
        if len(rows) > BATCH:
            PatientKey.objects.bulk_create(rows)
            rows = []
    PatientKey.objects.bulk_create(rows)


class Migration(migrations.Migration):
    dependencies = [("orders", "0005_lookup")]

    operations = [migrations.RunPython(write_keys, migrations.RunPython.noop)]
