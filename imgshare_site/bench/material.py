"""What is measured with: real objects of the sizes that the table names, made once in a folder."""

import shutil
import struct
from pathlib import Path
from uuid import uuid4

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from policies.rules.coercion import Importer, LocalFacts

KINDS = {"MG": DigitalMammographyXRayImageStorageForPresentation, "CT": EnhancedCTImageStorage}


def ct_series(folder: Path, count: int) -> Path:
    """`count` CT objects of 512 x 512 x 16 bit in one folder, made once."""
    series = folder / f"ct{count}"
    if series.exists():
        return series
    series.mkdir()
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.Rows = ds.Columns = 512
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    noise = np.random.default_rng(1).integers(0, 2000, (512, 512), dtype=np.int16)
    for number in range(count):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.InstanceNumber = number + 1
        ds.PixelData = np.roll(noise, number).tobytes()
        ds.save_as(series / f"{number:05}.dcm", enforce_file_format=True)
    return series


def mg_series(folder: Path, count: int) -> Path:
    """`count` MG objects of 30 MB in one folder, made once."""
    series = folder / f"mg{count}"
    if series.exists():
        return series
    series.mkdir()
    for number in range(count):
        write_frames(series / f"{number}.dcm", frames=1, rows=4096, columns=3840, modality="MG")
    return series


def large_multiframe(folder: Path, megabytes: int) -> Path:
    """A folder with one multi-frame object of so many MB, made once."""
    series = folder / f"large{megabytes}"
    if not series.exists():
        series.mkdir()
        write_frames(series / "0.dcm", frames=megabytes, rows=1000, columns=500, modality="CT")
    return series


def write_frames(path: Path, *, frames: int, rows: int, columns: int, modality: str) -> None:
    """One object of 16 bit frames, written frame by frame: it need not fit into memory."""
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.Modality, ds.Rows, ds.Columns = modality, rows, columns
    ds.NumberOfFrames = frames
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = KINDS[modality]
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    del ds.PixelData
    del ds[0xFFFC, 0xFFFC]
    ds.save_as(path, enforce_file_format=True)
    frame = np.random.default_rng(2).integers(0, 4000, rows * columns, dtype=np.int16)
    with path.open("ab") as file:
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, frames * frame.nbytes))
        for number in range(frames):
            file.write(np.roll(frame, number).tobytes())


def sr_series(folder: Path, count: int) -> Path:
    """`count` SR objects of 5 KB in one folder, made once."""
    series = folder / f"sr{count}"
    if series.exists():
        return series
    series.mkdir()
    ds = dcmread(get_testdata_file("test-SR.dcm"))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    del ds.ContentSequence[-1]  # the longest
    for number in range(count):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.InstanceNumber = number + 1
        ds.save_as(series / f"{number:05}.dcm", enforce_file_format=True)
    return series


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def set_aside(folder: Path) -> None:
    """Make a folder empty without deleting: ext4 is slow to create files where many were deleted a moment ago."""
    folder.rename(folder.with_name(f"{folder.name}-{uuid4().hex}"))
    folder.mkdir()


LOCAL = LocalFacts(
    PatientName="Muster^Maria",
    PatientID="MRN0042",
    IssuerOfPatientID="LOCAL",
    PatientBirthDate="19600229",
    PatientSex="F",
    AccessionNumber="A2026001",
    RequestedProcedureID="A2026001",
    ScheduledProcedureStepID="A2026001",
    RequestedProcedureDescription="Outside CT",
)
IMPORTER = Importer(
    "imgshare",
    "Local Hospital",
    "IMGSHARE",
    "IMGSHARE",
    "Elsewhere",
    "ELSEWHERE",
    "dimse",
    "20261124120000.000000+0000",
)
