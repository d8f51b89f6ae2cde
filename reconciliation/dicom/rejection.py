"""Rejection notes: Key Object Selection documents that tell an archive what is over, and why (IHE IOCM, RAD-66).

The objects are named as the archive has them (PS3.3 C.17.6 and A.35.4, PS3.16 TID 2010).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from reconciliation.dicom.edit import Made
from reconciliation.dicom.elements import file_head

TITLES = {  # PS3.16 CID 7010, as far as IOCM uses it
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
EXPIRED = "113039"
# What the archive files the document by: values of the released objects, written as they are there.
HEADER = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
)
SYNTAX, CLASS = ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage


class Reference(NamedTuple):
    """An object as the archive has it; `rows` is 0 where it is no picture."""

    SeriesInstanceUID: str
    SOPClassUID: str
    SOPInstanceUID: str
    rows: int

    @property
    def value_type(self) -> str:
        """PS3.3 C.17.3.2.1: IMAGE, WAVEFORM, or COMPOSITE for whatever is neither."""
        if self.rows:
            return "IMAGE"
        return "WAVEFORM" if UID(self.SOPClassUID).keyword.endswith("WaveformStorage") else "COMPOSITE"


@dataclass(frozen=True)
class Note:
    """`header`: values by the keywords of HEADER; `title`: a key of TITLES; `said`: a sentence for who reads it."""

    title: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    header: dict[str, str]
    references: Sequence[Reference]
    at: datetime
    said: str
    Manufacturer: str
    InstitutionName: str


def make(note: Note) -> Made:
    """The whole document, as what is sent: the same bytes whenever it is made again."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset(note), ["iso8859", "utf8"])
    head = file_head(str(CLASS).encode(), note.SOPInstanceUID.encode(), str(SYNTAX).encode())
    whole = head + stream.getvalue()
    return Made(whole, len(whole), len(whole), len(head), str(SYNTAX), note.SOPInstanceUID, len(whole))


def dataset(note: Note) -> Dataset:
    """Raises ValueError for a note without an object, or with a title that is none."""
    if note.title not in TITLES or not note.references:
        raise ValueError("A rejection note has a title of IOCM and names at least one object.")
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword in HEADER:
        _set(ds, keyword, note.header.get(keyword, ""))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        _set(ds, keyword, getattr(note, keyword))
    ds.SOPClassUID = CLASS
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "KO", 1, 1
    ds.SeriesDescription = TITLES[note.title]
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.Manufacturer, ds.InstitutionName = note.Manufacturer, note.InstitutionName
    ds.ContentDate, ds.ContentTime = note.at.strftime("%Y%m%d"), note.at.strftime("%H%M%S.%f")
    ds.TimezoneOffsetFromUTC = note.at.strftime("%z")
    ds.CurrentRequestedProcedureEvidenceSequence = [_evidence(note)]
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [_code(note.title, TITLES[note.title])]
    ds.ContentTemplateSequence = [_item(MappingResource="DCMR", TemplateIdentifier="2010")]
    ds.ContentSequence = [_described(note.said), *map(_content, note.references)]
    return ds


def _set(ds: Dataset, keyword: str, value: str) -> None:
    """As the archive has it, valid or not: by another value it would be filed elsewhere."""
    vr = dictionary_VR(keyword)
    ds.add(DataElement(Tag(keyword), vr, value, validation_mode=config.IGNORE))


def _evidence(note: Note) -> Dataset:
    """PS3.3 C.17.2.1: every object once, by study and series."""
    rows = sorted(note.references)
    series = [_series(uid, list(one)) for uid, one in groupby(rows, key=lambda one: one.SeriesInstanceUID)]
    return _item(StudyInstanceUID=note.StudyInstanceUID, ReferencedSeriesSequence=series)


def _series(uid: str, rows: Iterable[Reference]) -> Dataset:
    return _item(SeriesInstanceUID=uid, ReferencedSOPSequence=[_named(one) for one in rows])


def _named(one: Reference) -> Dataset:
    return _item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID)


def _content(one: Reference) -> Dataset:
    return _item(RelationshipType="CONTAINS", ValueType=one.value_type, ReferencedSOPSequence=[_named(one)])


def _described(said: str) -> Dataset:
    name = [_code("113012", "Key Object Description")]
    return _item(RelationshipType="CONTAINS", ValueType="TEXT", ConceptNameCodeSequence=name, TextValue=said)


def _code(value: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning=meaning)


def _item(**keywords) -> Dataset:
    item = Dataset()
    for keyword, value in keywords.items():
        if keyword.endswith("UID"):
            _set(item, keyword, value)
        else:
            setattr(item, keyword, value)
    return item
