"""Give wounded objects to the guarded reader, for as long as one likes."""

import tempfile
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from reconciliation.dicom import fuzz
from reconciliation.dicom.reader import Reader


class Command(BaseCommand):
    help = "Wound real objects and read them: none may hang, and none may kill its reader."

    def add_arguments(self, parser):
        parser.add_argument("seeds", nargs="+", type=Path, help="Objects, or folders of objects.")
        parser.add_argument("--seconds", type=float, default=60)
        parser.add_argument("--first", type=int, default=0, help="The number of the first wounded object.")

    def handle(self, seeds, **options):
        files = [file for seed in seeds for file in ([seed] if seed.is_file() else sorted(seed.rglob("*")))]
        reader = Reader()
        try:
            with tempfile.TemporaryDirectory(prefix="imgshare-fuzz-") as folder:
                found = fuzz.fuzz(
                    [file for file in files if file.is_file()],
                    Path(folder),
                    seconds=options["seconds"],
                    reader=reader,
                    first=options["first"],
                )
        finally:
            reader.close()
        self.stdout.write(f"{found.tried} objects, {found.unread} of them unreadable; {found.memory >> 20} MB at most.")
        if not found.clean:
            raise CommandError(
                f"{found.lost} readers died. Too slow: {found.slow}. Stopped their reader: {found.broken}. "
                "The numbers make the same objects again: --first NUMBER."
            )
