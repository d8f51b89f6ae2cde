"""What consents of before say in the new columns: whose, given when, and under which key. Apart from the next one:
PostgreSQL alters no table in the transaction that has written its rows."""

import uuid

from django.db import migrations
from django.db.models import OuterRef, Subquery
from django.db.models.functions import TruncDate


def tell(apps, schema_editor):
    Consent, Study = (apps.get_model("reconciliation", name) for name in ("Consent", "Study"))
    theirs = Study.objects.filter(consent=OuterRef("pk")).values("local_patient")[:1]
    Consent.objects.update(given_on=TruncDate("recorded_at"), patient=Subquery(theirs))
    for one in Consent.objects.filter(key=None).only("pk").iterator():
        Consent.objects.filter(pk=one.pk).update(key=uuid.uuid4())


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0007_consent")]
    operations = [migrations.RunPython(tell, migrations.RunPython.noop)]
