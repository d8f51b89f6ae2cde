"""All policies as one file: written for review, and read back as versions with who and why."""

import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from policies import exchange
from policies.models import User
from policies.problems import Problem


class Command(BaseCommand):
    help = "Export the policies as YAML, or import such a file. FILE '-' is standard output or input."

    def add_arguments(self, parser):
        parser.add_argument("deed", choices=["export", "import"])
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="Only say what an import would change.")
        parser.add_argument("--by", metavar="USER", default="", help="Who imports: the versions carry this name.")
        parser.add_argument("--why", default="", help="Why: kept with every version.")

    def handle(self, *, deed, file, **options):
        if deed == "export":
            text = exchange.exported()
            self.stdout.write(text, ending="") if file == "-" else Path(file).write_text(text, encoding="utf-8")
            return
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        try:
            self._compare(text)
            if not options["dry_run"]:
                self._import(text, by=options["by"], why=options["why"])
        except Problem as refusal:
            raise CommandError(str(refusal)) from None

    def _compare(self, text: str) -> None:
        changes = exchange.compared(text)
        for one in changes:
            self.stdout.write(f"{one.deed} {one.kind} '{one.wanted.title}'")
            for name, old, new in one.differences if one.deed == "changed" else ():
                self.stdout.write(f"  {name}: '{old}' becomes '{new}'")
        self.stdout.write(f"{len(changes)} differences.")

    def _import(self, text: str, *, by: str, why: str) -> None:
        user = User.objects.filter(username=by, is_active=True).first()
        if user is None:
            raise CommandError("Say with --by who imports the policies: the name of an active account.")
        for draft in exchange.imported(text, by=user, why=why):
            self.stdout.write(f"{draft.title}: {draft.get_state_display().lower()}")
