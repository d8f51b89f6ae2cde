"""Mapping and storing by STOW-RS, against a DICOM sender of ready files to the same archive."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from imgshare_site.bench.material import IMPORTER, LOCAL, ct_series, empty
from imgshare_site.bench.measure import Missing, Row, compare
from imgshare_site.bench.peers import call, child, free_port, program
from policies.rules import coercion
from reconciliation.dicom import edit, header, web

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CONNECTIONS = 4  # what a destination's `associations` would say


@dataclass(frozen=True)
class Outgoing:
    key: str
    SOPInstanceUID: str
    original: Path
    changes: list

    def made(self) -> edit.Made:
        return edit.make(self.original, self.changes)


@dataclass(frozen=True)
class Orthanc:
    dicom_port: int
    http: str

    def clear(self) -> None:
        for patient in json.load(urllib.request.urlopen(f"{self.http}/patients")):  # noqa: S310 - our own address
            asked = urllib.request.Request(f"{self.http}/patients/{patient}", method="DELETE")  # noqa: S310
            urllib.request.urlopen(asked).read()  # noqa: S310


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Debian's Orthanc with DICOMweb, on a folder of its own."""
    server = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")
    if not (server and DICOMWEB.exists()):
        raise Missing("Orthanc's DICOMweb is not installed (Debian package orthanc-dicomweb)")
    here, dicom_port, http_port = empty(folder / "orthanc"), free_port(), free_port()
    configuration = {
        "StorageDirectory": str(here / "storage"),
        "IndexDirectory": str(here / "storage"),
        "Plugins": [str(DICOMWEB)],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (here / "orthanc.json").write_text(json.dumps(configuration))
    with child([server, str(here / "orthanc.json")], dicom_port):
        yield Orthanc(dicom_port, f"http://127.0.0.1:{http_port}")


def stow_ct(folder: Path) -> Row:
    """500 CT: the header is made on the way, against `dcmsend` of ready files."""
    return _against_dcmsend("map and STOW 500 CT to Orthanc", ct_series(folder, 500), folder)


def stow_large(folder: Path) -> Row:
    """One multi-frame object of 500 MB."""
    return _against_dcmsend("map and STOW one 500 MB object to Orthanc", large_object(folder), folder)


def _against_dcmsend(work: str, series: Path, folder: Path) -> Row:
    files, sender = sorted(series.iterdir()), program("dcmsend")
    changes = coercion.plan([header.attributes(files[0], coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)
    objects = [Outgoing(file.name, header.read(file).SOPInstanceUID, file, changes) for file in files]
    with orthanc(folder) as archive:
        site = web.Site(f"{archive.http}/dicom-web", "Orthanc", connections=CONNECTIONS)

        def ours() -> None:
            outcomes: list = []
            web.send(site, objects, told=outcomes.append)
            if not all(outcome.accepted for outcome in outcomes):
                raise RuntimeError(outcomes[0].sentence)

        def theirs() -> None:
            flags = ["-aec", "ORTHANC", "127.0.0.1", str(archive.dicom_port), "+sd", str(series)]
            call([sender, *flags], TCP_NODELAY="1")

        return compare(work, "dcmsend of ready files", ours, theirs, at_most=0.95, before=archive.clear)


def large_object(folder: Path) -> Path:
    """One object of 500 frames of 1 MB in a folder, made once."""
    series = folder / "large"
    if series.exists():
        return series
    series.mkdir()
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.Rows, ds.Columns, ds.NumberOfFrames = 512, 1024, 500
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PixelData = bytes(range(256)) * (512 * 1024 * 2 // 256) * 500
    ds.save_as(series / "large.dcm", enforce_file_format=True)
    return series


WORKS = {"stow-ct": stow_ct, "stow-large": stow_large}
