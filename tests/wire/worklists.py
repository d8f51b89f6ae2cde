"""Worklists that really run: Orthanc with its plugin, and DCMTK's wlmscpfs, both on the same folder of orders."""

import json
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.conftest import program
from tests.wire.conftest import Process, a_free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libModalityWorklists.so")
TITLE = "WORKLIST"


def code(value: str, scheme: str, meaning: str) -> Sequence:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return Sequence([ds])


def item(folder: Path, number: int, *, steps: tuple[dict, ...] = ({},), **keywords) -> Dataset:
    """Write one worklist file; `steps` override what each scheduled procedure step says."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = "Mueller^Anna", "L-1", "LOCAL"
    ds.PatientBirthDate, ds.PatientSex = "19610304", "F"
    ds.AccessionNumber, ds.RequestedProcedureID = f"WL{number:04}", f"RP{number:04}"
    ds.RequestedProcedureDescription = "Import of outside CT"
    ds.RequestedProcedureCodeSequence = code("OUTCT", "99LOCAL", "Outside CT")
    ds.StudyInstanceUID, ds.ReferringPhysicianName = generate_uid(), "Referrer^Rita"
    ds.RequestingPhysician, ds.AdmissionID, ds.RequestedProcedurePriority = "Asker^Alf", "A-77", "MEDIUM"
    ds.PlacerOrderNumberImagingServiceRequest, ds.FillerOrderNumberImagingServiceRequest = "P-1", "F-1"
    ds.ScheduledProcedureStepSequence = Sequence(_step(number, n, said) for n, said in enumerate(steps))
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = "1.2.276.0.7230010.3.1.0.1", "1.2.3"
    ds.save_as(folder / f"{number:04}.wl", enforce_file_format=True)
    return ds


def _step(number: int, n: int, said: dict) -> Dataset:
    ds = Dataset()
    ds.Modality, ds.ScheduledStationAETitle = "CT", "IMPORT"
    ds.ScheduledProcedureStepStartDate, ds.ScheduledProcedureStepStartTime = "20260105", f"{9 + n:02}3000"
    ds.ScheduledProcedureStepID, ds.ScheduledProcedureStepDescription = f"S{number:04}-{n}", "Import"
    ds.ScheduledPerformingPhysicianName = "Doer^Dora"
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


class Peer:
    """`folder` takes the files; they are looked at anew for each query."""

    ae_title = TITLE

    def __init__(self, root: Path) -> None:
        self.port = a_free_port()
        self.folder = root / TITLE
        self.folder.mkdir(parents=True)
        (self.folder / "lockfile").touch()
        self.process = Process(self.command(root), log=root / "worklist.log")


class Orthanc(Peer):
    def command(self, root: Path) -> list[str]:
        configuration = {
            "StorageDirectory": str(root / "storage"),
            "IndexDirectory": str(root / "storage"),
            "Plugins": [str(PLUGIN)],
            "HttpServerEnabled": False,
            "DicomPort": self.port,
            "DicomAet": TITLE,
            "DefaultEncoding": "Utf8",  # it answers in this, whatever the file is in
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowFindWorklist": True,
            "DicomAlwaysAllowEcho": True,
            "Worklists": {"Enable": True, "Database": str(self.folder)},
        }
        (root / "orthanc.json").write_text(json.dumps(configuration))
        return [program("Orthanc"), str(root / "orthanc.json")]


class WlmSCPFS(Peer):
    def command(self, root: Path) -> list[str]:
        return [program("wlmscpfs"), "-v", "-csk", "-dfp", str(root), str(self.port)]


PEERS = {"orthanc": Orthanc, "wlmscpfs": WlmSCPFS}
