"""The media door: reads a disc, folder, zip or single file into the spool and says what became of each file."""

import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from pydicom.uid import MediaStorageDirectoryStorage

from policies.models import Source
from reconciliation import intake, stores
from reconciliation.dicom import media
from reconciliation.dicom.arrival import Door, Origin, looks_like_dicom
from reconciliation.dicom.spool import Submission

HEAD = 132 + 64  # bytes that tell whether a file may be DICOM
CHUNK = 1 << 20
CONTENTS = MediaStorageDirectoryStorage.encode()  # every disc has one: it is no reason for an alarm
NO_OBJECT = "This is the table of contents of the disc (DICOMDIR). All files are read, whatever it lists."


class Command(BaseCommand):
    help = "Import a disc, folder, zip or single file; one line a file, then a summary."

    def add_arguments(self, parser):
        parser.add_argument("path", type=Path)
        parser.add_argument("--source", default="", help="Name of the source; may be left out when there is only one.")
        parser.add_argument("--note", default="", help="Intake note for the reconciliation staff.")
        parser.add_argument("--label", default="", help="What is written on the disc.")
        parser.add_argument("--user", default="", help="Who reads the disc.")
        parser.add_argument("--json", action="store_true", help="One JSON object a line.")

    def handle(self, path: Path, **options):
        if not path.exists():
            raise CommandError(f"There is nothing at {path}.")
        self.as_json = options["json"]
        self.counts = Counter()
        facts = {name: options[name] for name in ("user", "note", "label")}
        origin = Origin(door=Door.MEDIA, source=str(source(options["source"]).pk), **facts)
        spool = stores.spool()
        with spool.open(origin) as submission, claimed(spool, submission.key):
            for found in media.walk(path):
                self.receive(submission, found)
            submission.close()
            for outcome in intake.index_claimed(spool, submission.key):
                self.tell(**{k: v for k, v in asdict(outcome).items() if k != "number"})
        self.summarise(submission.key)

    def receive(self, submission: Submission, found: media.Found) -> None:
        """Spool one file, or say at once why it does not go on. Never stops at a bad file."""
        if found.problem:
            return self.tell(path=found.name, outcome="rejected", reason=found.problem)
        try:
            with found.open() as file:
                head = file.read(HEAD)
                if not looks_like_dicom(head):
                    return self.tell(path=found.name, outcome="not_dicom", reason="This is not a DICOM file.")
                if CONTENTS in head:
                    return self.tell(path=found.name, outcome="not_dicom", reason=NO_OBJECT)
                with submission.part(name=found.name) as part:
                    part.write(head)
                    while chunk := file.read(CHUNK):
                        part.write(chunk)
                    part.commit()
        except (OSError, ValueError) as problem:
            self.tell(path=found.name, outcome="rejected", reason=f"This file could not be read: {problem}")

    def tell(self, *, path, outcome, reason="", sop_instance_uid="", study_instance_uid=""):
        self.counts[outcome] += 1
        if self.as_json:
            uids = {"sop_instance_uid": sop_instance_uid, "study_instance_uid": study_instance_uid}
            self.stdout.write(json.dumps({"path": path, "outcome": outcome, "reason": reason, **uids}))
        else:
            self.stdout.write(f"{outcome:10} {path}  {reason}".rstrip())

    def summarise(self, key: str) -> None:
        if self.as_json:
            self.stdout.write(json.dumps({"submission": key, "files": self.counts.total(), **self.counts}))
        else:
            self.stdout.write(f"{self.counts.total()} files: {', '.join(f'{n} {o}' for o, n in self.counts.items())}")
        if self.counts["rejected"]:
            raise CommandError(f"{self.counts['rejected']} files could not be taken in.")


def source(name: str) -> Source:
    """The source of this name; without a name, the only active one."""
    active = Source.objects.filter(active=True)
    found = list(active.filter(name=name) if name else active[:2])
    if len(found) == 1:
        return found[0]
    names = ", ".join(active.values_list("name", flat=True)) or "none yet; a manager can add them"
    raise CommandError(f"Say which source this comes from with --source. Known ones: {names}.")


class claimed:
    """Hold the claim on a submission that has just been opened, waiting for an intake that is looking at it."""

    def __init__(self, spool, key: str):
        self.spool, self.key = spool, key

    def __enter__(self):
        while True:
            self.claim = self.spool.claim(self.key)
            if self.claim.__enter__():
                return self
            self.claim.__exit__(None, None, None)
            time.sleep(0.05)

    def __exit__(self, *failure):
        return self.claim.__exit__(*failure)
