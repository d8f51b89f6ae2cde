"""Write the keys of all patients anew: after patients were written in bulk, or when the rules of the keys changed."""

from django.core.management.base import BaseCommand

from orders.models import Patient, PatientKey


class Command(BaseCommand):
    help = "Bring the keys by which patients are found up to date with their names and birth dates."

    def handle(self, **options):
        for patient in Patient.objects.order_by("pk").iterator(chunk_size=2000):
            PatientKey.keep(patient)
        self.stdout.write(f"{Patient.objects.count()} patients.")
