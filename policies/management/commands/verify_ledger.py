"""Walk the chain of the ledger and name the first line that does not fit."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from policies import anchors, audit
from policies.models import LedgerLine
from policies.problems import Invalid


class Command(BaseCommand):
    help = "Check the chain of the ledger; ends with an error that names the first broken line."

    def add_arguments(self, parser):
        parser.add_argument(
            "--anchors", type=Path, metavar="FILE", help="Also check the anchors of a file kept outside."
        )

    def handle(self, **options):
        noted = self._read(options["anchors"]) if options["anchors"] else []
        count = LedgerLine.objects.count()
        broken = audit.verify(told=self._told if options["verbosity"] > 1 else lambda line: None)
        if broken := broken or anchors.verify(noted):
            audit.found(audit.PORTAL, broken, line=count)
            raise CommandError(broken)
        checked = f", {len(noted)} anchors" if noted else ""
        self.stdout.write(f"{count} lines{checked}, the chain holds.")

    def _told(self, line: int) -> None:
        self.stdout.write(f"up to line {line}")

    def _read(self, path: Path) -> list[anchors.Noted]:
        try:
            return anchors.read(path)
        except (OSError, Invalid) as problem:
            raise CommandError(f"The anchors cannot be read: {problem}") from problem
