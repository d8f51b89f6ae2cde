"""Mapping and storing by STOW-RS, against a DICOM sender of ready files to the same archive."""

import os
from functools import partial
from pathlib import Path

from imgshare_site.bench.material import ct_series, large_multiframe
from imgshare_site.bench.measure import Row, compare
from imgshare_site.bench.orthanc import Orthanc, dicomweb, orthanc
from imgshare_site.bench.peers import call, program
from imgshare_site.bench.sending import outgoing
from reconciliation.dicom import scu, web

CONNECTIONS = 4  # what a destination's `associations` would say


def stow_ct(folder: Path) -> Row:
    """500 CT: the header is made and read again on the way, against `dcmsend` of ready files."""
    return _against_dcmsend("map and STOW 500 CT to Orthanc", ct_series(folder, 500), folder)


def stow_large(folder: Path) -> Row:
    """One multi-frame object of 500 MB."""
    return _against_dcmsend("map and STOW one 500 MB object to Orthanc", large_multiframe(folder, 500), folder)


def _against_dcmsend(work: str, files: Path, folder: Path) -> Row:
    sender, objects = program("dcmsend"), outgoing(files)
    with orthanc(folder, **dicomweb()) as archive:
        to = ["-aec", archive.ae_title, "127.0.0.1", str(archive.dicom_port)]
        theirs = partial(call, [sender, *to, "+sd", str(files)], TCP_NODELAY="1")
        ours = partial(deliver, objects, archive)

        def clear() -> None:
            archive.clear()
            os.sync()  # what the archive of the other's round still writes must not be paid by this one

        return compare(work, "dcmsend of ready files", ours, theirs, at_most=0.95, before=clear)


def deliver(objects: list[scu.Outgoing], archive: Orthanc) -> None:
    site = web.Site(f"http://127.0.0.1:{archive.http_port}/dicom-web", "Orthanc", connections=CONNECTIONS)
    outcomes: list[scu.Outcome] = []
    web.send(site, objects, told=outcomes.append)
    if refused := [outcome for outcome in outcomes if not outcome.accepted]:
        raise RuntimeError(refused[0].sentence)


WORKS = {"stow-ct": stow_ct, "stow-large": stow_large}
