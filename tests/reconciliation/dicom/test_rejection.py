"""Rejection notes: what they name, and that they are valid Key Object Selection documents."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, EncapsulatedPDFStorage, TwelveLeadECGWaveformStorage

from reconciliation.dicom import rejection
from reconciliation.dicom.rejection import Note, Reference

PICTURE = Reference("2.25.2", CTImageStorage, "2.25.21", 512)
OTHERS = [
    Reference("2.25.3", EncapsulatedPDFStorage, "2.25.31", 0),
    Reference("2.25.2", CTImageStorage, "2.25.22", 512),
    Reference("2.25.4", TwelveLeadECGWaveformStorage, "2.25.41", 0),
]
HEADER = {
    "PatientName": "Müller^Änne",
    "PatientID": "MRN1",
    "IssuerOfPatientID": "LOCAL",
    "PatientBirthDate": "19610304",
    "PatientSex": "F",
    "StudyDate": "20040119",
    "StudyTime": "072730",
    "StudyID": "1CT1",
    "AccessionNumber": "ACC1",
}


def note(*references, title="113039", **header) -> Note:
    return Note(
        title=title,
        StudyInstanceUID="2.25.1",
        SeriesInstanceUID="2.25.8",
        SOPInstanceUID="2.25.9",
        header=HEADER | header,
        references=references or (PICTURE, *OTHERS),
        at=datetime(2026, 11, 24, 16, 30, tzinfo=UTC),
        said="Retention is over by the rule 'Outside studies'.",
        Manufacturer="imgshare",
        InstitutionName="Our Hospital",
    )


def made(*references, **more):
    return dcmread(io.BytesIO(rejection.make(note(*references, **more)).head))


def test_every_object_is_named_once_by_study_and_series():
    (study,) = made().CurrentRequestedProcedureEvidenceSequence
    named = {
        series.SeriesInstanceUID: [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence]
        for series in study.ReferencedSeriesSequence
    }

    assert study.StudyInstanceUID == "2.25.1"
    assert named == {"2.25.2": ["2.25.21", "2.25.22"], "2.25.3": ["2.25.31"], "2.25.4": ["2.25.41"]}


def test_it_is_filed_where_the_archive_has_the_study():
    ds = made()

    assert (ds.StudyInstanceUID, ds.PatientID, ds.IssuerOfPatientID) == ("2.25.1", "MRN1", "LOCAL")
    assert (str(ds.PatientName), ds.AccessionNumber, ds.Modality) == ("Müller^Änne", "ACC1", "KO")


@pytest.mark.parametrize("title", rejection.TITLES)
def test_its_title_says_why(title):
    (code,) = made(title=title).ConceptNameCodeSequence

    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == (title, "DCM", rejection.TITLES[title])


def test_pictures_waveforms_and_the_rest_are_named_as_what_they_are():
    content = [one for one in made().ContentSequence if one.ValueType != "TEXT"]

    assert [one.ValueType for one in content] == ["IMAGE", "COMPOSITE", "IMAGE", "WAVEFORM"]


def test_a_value_that_breaks_the_rules_stays_as_the_archive_has_it():
    assert made(PatientBirthDate="1961", StudyTime="7 pm").PatientBirthDate == "1961"


def test_making_it_again_makes_the_same_bytes():
    assert rejection.make(note()) == rejection.make(note())


@pytest.mark.parametrize("wrong", [{"references": []}, {"title": "113000"}])
def test_without_an_object_or_a_title_of_iocm_nothing_is_made(wrong):
    with pytest.raises(ValueError, match="at least one object"):
        rejection.make(replace(note(), **wrong))
