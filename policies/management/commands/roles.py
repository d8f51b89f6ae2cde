"""Make the standard groups with their grants."""

from django.core.management.base import BaseCommand

from policies import roles


class Command(BaseCommand):
    help = "Make the standard groups (front desk, reconciliation, releasing officers, managers, auditors)."

    def handle(self, **options):
        self.stdout.write(", ".join(roles.install()))
