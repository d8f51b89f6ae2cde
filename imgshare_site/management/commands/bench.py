"""Print the performance table."""

import json

from django.core.management.base import BaseCommand, CommandError

from imgshare_site import bench


class Command(BaseCommand):
    help = "Measure the portal against named peers, alternating in one run."

    def add_arguments(self, parser):
        parser.add_argument("name", nargs="*", help=f"Which works (all when none is named): {', '.join(bench.WORKS)}")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, name, **options):
        if unknown := set(name) - set(bench.WORKS):
            raise CommandError(f"There is no work '{unknown.pop()}'. Known ones: {', '.join(bench.WORKS)}.")
        rows = bench.run(name, told=(lambda row: None) if options["json"] else self.tell)
        if options["json"]:
            self.stdout.write(json.dumps(bench.as_json(rows)))

    def tell(self, row):
        if isinstance(row, str):
            self.stdout.write(row)
            return
        verdict = "ok" if row.ok else "too slow"
        figures = f"{row.ours:7.3f} / {row.theirs:7.3f} {row.unit} = {row.ratio:5.2f}"
        self.stdout.write(f"{row.work:42} / {row.peer:24} {figures} (at most {row.at_most}) {verdict}")
