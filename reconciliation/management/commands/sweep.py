"""The minute hand, once: settle, propose, send what is due."""

import json

from django.core.management.base import BaseCommand

from reconciliation import tasks


class Command(BaseCommand):
    help = "Settle quiet studies, renew stale proposals, send due deliveries; once."

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, **options):
        done = tasks.sweep()
        words = ", ".join(f"{count} {what}" for what, count in done.items())
        self.stdout.write(json.dumps(done) if options["json"] else words)
