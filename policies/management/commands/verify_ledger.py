"""Walk the chain of the ledger and name the first line that does not fit."""

from django.core.management.base import BaseCommand, CommandError

from policies import audit
from policies.models import LedgerLine


class Command(BaseCommand):
    help = "Check the chain of the ledger; ends with an error that names the first broken line."

    def handle(self, **options):
        if broken := audit.verify():
            raise CommandError(broken)
        self.stdout.write(f"{LedgerLine.objects.count()} lines, the chain holds.")
