"""Compare disk, digests, rows and ledger; name every difference and remove nothing."""

import json
from collections import Counter

from django.core.management.base import BaseCommand, CommandError

from reconciliation import inventory

EXPLAINED = "; ".join(f"{kind}: {words}" for kind, words in inventory.KINDS.items())


class Command(BaseCommand):
    help = f"Name every difference between disk, rows and ledger; ends with 0 only when there is none. {EXPLAINED}."

    def add_arguments(self, parser):
        parser.add_argument("--digests", action="store_true", help="Read every byte of the vault again.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options):
        found = []
        for difference in inventory.differences(rehash=options["digests"]):
            found.append(difference)
            if not options["json"]:
                self.stdout.write(f"{difference.kind:9} {difference.sentence}")
        if options["json"]:
            self.stdout.write(json.dumps({"clean": not found, "differences": [one._asdict() for one in found]}))
        if found:
            counts = Counter(one.kind for one in found)
            words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            raise CommandError(f"{len(found)} differences: {words}.")
        if not options["json"]:
            self.stdout.write("Disk, rows and ledger say the same.")
