"""Orthanc as a peer: Debian's, with an index in SQLite and every object synced, on loopback."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgshare_site.bench.material import empty
from imgshare_site.bench.measure import Missing
from imgshare_site.bench.peers import child, free_port, program, wait_for

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    dicom_port: int
    http_port: int
    ae_title: str = "ORTHANC"

    def call(self, method: str, path: str) -> Any:
        asked = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=300)
        try:
            asked.request(method, path)
            return json.loads(asked.getresponse().read() or b"null")
        finally:
            asked.close()

    def count(self) -> int:
        """Objects that are visible by REST."""
        return self.call("GET", "/statistics")["CountInstances"]

    def clear(self) -> None:
        for patient in self.call("GET", "/patients"):
            self.call("DELETE", f"/patients/{patient}")


@contextmanager
def orthanc(folder: Path, **more: Any) -> Iterator[Orthanc]:
    """An archive of its own that takes from everybody; `more` are further lines of its configuration."""
    server = program("Orthanc")
    peer, kept = Orthanc(free_port(), free_port()), empty(folder / "orthanc")
    settings = {
        "StorageDirectory": str(kept / "storage"),
        "IndexDirectory": str(kept / "storage"),
        "HttpPort": peer.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomPort": peer.dicom_port,
        "DicomAet": peer.ae_title,
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": True,
    }
    (kept / "orthanc.json").write_text(json.dumps(settings | more))
    with child([server, str(kept / "orthanc.json")], peer.dicom_port):
        wait_for(peer.http_port)
        yield peer


def dicomweb() -> dict[str, Any]:
    """The lines of the configuration that make it speak DICOMweb."""
    if not DICOMWEB.exists():
        raise Missing("Orthanc's DICOMweb is not installed (Debian package orthanc-dicomweb)")
    return {"Plugins": [str(DICOMWEB)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
