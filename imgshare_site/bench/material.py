"""What is measured with: real objects of the sizes that the table names, made once in a folder."""

import shutil
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from policies.rules.coercion import Importer, LocalFacts


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
    """`count` mammograms of 30 MB in one folder, made once."""
    return _large_objects(folder / f"mg{count}", count, rows=4096, columns=3840, frames=1)


def large_multiframe(folder: Path, megabytes: int) -> Path:
    """One multi-frame object of so many megabytes in a folder, made once."""
    return _large_objects(folder / f"multiframe{megabytes}", 1, rows=1024, columns=512, frames=megabytes)


def _large_objects(series: Path, count: int, *, rows: int, columns: int, frames: int) -> Path:
    if series.exists():
        return series
    series.mkdir()
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, frames
    ds.PixelData = np.random.default_rng(1).bytes(rows * columns * 2) * frames
    for number in range(count):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.save_as(series / f"{number:05}.dcm", enforce_file_format=True)
    return series


def sr_series(folder: Path, count: int) -> Path:
    """`count` structured reports of some 5 KB in one folder, made once."""
    series = folder / f"sr{count}"
    if series.exists():
        return series
    series.mkdir()
    ds = dcmread(get_testdata_file("test-SR.dcm"))
    for number in range(count):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.save_as(series / f"{number:05}.dcm", enforce_file_format=True)
    return series


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


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
