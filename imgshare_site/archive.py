"""A small archive for the demo: takes C-STORE from this portal alone, and files each object under its UIDs.

Objects come in through the same reception as at the front door: complete and fsynced in a spool of the archive's own
before they are answered. Filing is a rename, so an archive that is killed files the rest when it starts again.
"""

import logging
from pathlib import Path

from django.conf import settings

from policies.rules.values import is_uid
from reconciliation.dicom import header, scp
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.dicom.spool import Arrival, Spool

log = logging.getLogger(__name__)

AE_TITLE = "ARCHIVE"
INCOMING, UNFILED = "incoming", "unfiled"


class Archive:
    """`<root>/<StudyInstanceUID>/<SOPInstanceUID>.dcm`; an object that comes again takes the place of the first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = Spool(root / INCOMING, minimum_free=settings.MINIMUM_FREE_BYTES)

    def serve(self, *, host: str, port: int) -> scp.DoorServer:
        """Open its door in threads of its own; `shutdown()` of what comes back closes it."""
        listener = scp.Listener(ae_title=AE_TITLE, host=host, port=port)
        return scp.serve(listener, spool=self.spool, admit=admit, refused=refused)

    def file_all(self) -> int:
        """File whatever is whole; the number of objects. One bad submission never stops the others."""
        filed = 0
        for key in self.spool.keys():
            try:
                filed += self._file(key)
            except OSError:
                log.exception("Submission %s could not be filed; it stays in the spool", key)
        return filed

    def _file(self, key: str) -> int:
        over = not self.spool.is_open(key)  # asked first: what comes after this look is for the next one
        arrivals = self.spool.whole(key)
        for arrival in arrivals:
            place = self._place(key, arrival)
            place.parent.mkdir(parents=True, exist_ok=True)
            arrival.path.replace(place)
        if over:
            self.spool.sweep_parts(key)
            self.spool.drop(key)
        return len(arrivals)

    def _place(self, key: str, arrival: Arrival) -> Path:
        """Where an object goes. What a sender wrote becomes a path only when it is a UID, digits and dots."""
        try:
            found = header.read(arrival.path)
        except header.Unreadable:
            found = header.Header()
        if is_uid(found.StudyInstanceUID) and is_uid(found.SOPInstanceUID):
            return self.root / found.StudyInstanceUID / f"{found.SOPInstanceUID}.dcm"
        log.warning("Object %s of submission %s has no valid UIDs; it is kept unfiled", arrival.number, key)
        return self.root / UNFILED / f"{key}-{arrival.number}.dcm"


def admit(caller: scp.Caller) -> Origin:
    """This portal, and nobody else."""
    if caller.calling_title != settings.AE_TITLE:
        raise scp.Unknown(f"'{caller.calling_title}' is not the portal of this archive.")
    return Origin(door=Door.DIMSE, calling_title=caller.calling_title, address=caller.address)


def refused(caller: scp.Caller, why: str) -> None:
    log.warning("Refused %s from %s: %s", caller.calling_title, caller.address, why)
