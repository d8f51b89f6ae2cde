"""Print the performance table."""

import json

from django.core.management.base import BaseCommand, CommandError

from imgshare_site import bench
from imgshare_site.bench import matching

COLUMNS = "id, family, given, birth_date, sex, identifier, issuer; only id must be there"
FILES = {
    "left": f"the people received ({COLUMNS})",
    "right": f"the people known ({COLUMNS})",
    "truth": "who is who (left_id, right_id)",
}


class Command(BaseCommand):
    help = "Measure the portal against named peers, alternating in one run."

    def add_arguments(self, parser):
        works = ", ".join(bench.WORKS)
        parser.add_argument(
            "name", nargs="*", help=f"Which works (all when none is named): {works}. Or 'matching', with three files."
        )
        for kind in matching.NEEDED:
            parser.add_argument(f"--{kind}", metavar="CSV", help=f"For 'matching': {FILES[kind]}.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, name, **options):
        if name == ["matching"]:
            return self.match(options)
        if any(options[kind] for kind in matching.NEEDED):
            raise CommandError("Files are given to 'matching' alone: bench matching --left A --right B --truth T")
        if unknown := set(name) - set(bench.WORKS):
            raise CommandError(f"There is no work '{unknown.pop()}'. Known ones: {', '.join(bench.WORKS)}.")
        rows = bench.run(name, told=(lambda row: None) if options["json"] else self.tell)
        if options["json"]:
            self.stdout.write(json.dumps(bench.as_json(rows)))

    def match(self, options):
        """How good the proposals are, for people in files."""
        if missing := [kind for kind in matching.NEEDED if not options[kind]]:
            raise CommandError(f"Give the file with --{missing[0]}: {FILES[missing[0]]}.")
        try:
            found = matching.measure(*(matching.read(options[kind], kind) for kind in matching.NEEDED))
        except matching.Unusable as problem:
            raise CommandError(str(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps(found))
            return
        for name in ("first", "top5", "strong_share"):
            self.stdout.write(f"{name:14} {found[name]:8.2%}")
        self.stdout.write(f"strong_wrong   {found['strong_wrong']:7}\nmedian_ms      {found['median_ms']:7.2f}")

    def tell(self, row):
        if isinstance(row, str):
            self.stdout.write(row)
            return
        verdict = "ok" if row.ok else "too slow"
        figures = f"{row.ours:7.3f} / {row.theirs:7.3f} {row.unit} = {row.ratio:5.2f}"
        self.stdout.write(f"{row.work:42} / {row.peer:24} {figures} (at most {row.at_most}) {verdict}")
