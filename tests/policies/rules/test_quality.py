"""What the record of a study lacks, and how grave that is."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.quality import CHECKS, Severity, findings

TODAY = date(2026, 11, 24)
SOUND = {
    "PatientID": "X99",
    "PatientName": "MUELLER^ANNA",
    "PatientBirthDate": "19610304",
    "StudyDate": "20260901",
    "Modality": "CT",
    "StudyInstanceUID": "1.2.826.0.1.1",
    "SeriesInstanceUID": ["1.2.826.0.1.2", "1.2.826.0.1.3"],
    "BurnedInAnnotation": "NO",
    "PatientIdentityRemoved": "NO",
    "LongitudinalTemporalInformationModified": "UNMODIFIED",
}


def found(**facts):
    return {each.code: each for each in findings(SOUND | facts, today=TODAY)}


def test_a_sound_record_has_no_findings():
    assert findings(SOUND, today=TODAY) == []


@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        ({"PatientID": ""}, "patient_id_missing", "override"),
        ({"PatientID": "  "}, "patient_id_missing", "override"),
        ({"PatientID": None}, "patient_id_missing", "override"),
        ({"PatientName": ""}, "patient_name_missing", "override"),
        ({"PatientName": "^^=^"}, "patient_name_missing", "override"),
        ({"PatientBirthDate": ""}, "birth_date_missing", "warn"),
        ({"PatientBirthDate": "19610231"}, "birth_date_impossible", "warn"),
        ({"PatientBirthDate": "1961"}, "birth_date_impossible", "warn"),
        ({"PatientBirthDate": "20261125"}, "birth_date_impossible", "warn"),
        ({"PatientBirthDate": "20260902"}, "birth_date_impossible", "warn"),
        ({"StudyDate": ""}, "study_date_missing", "warn"),
        ({"StudyDate": "20261301"}, "study_date_impossible", "warn"),
        ({"StudyDate": "20261126"}, "study_date_impossible", "warn"),
        ({"StudyInstanceUID": "1.2.03"}, "uid_invalid", "warn"),
        ({"SeriesInstanceUID": ["1.2.3", "abc"]}, "uid_invalid", "warn"),
        ({"SOPInstanceUID": "1." + "2" * 64}, "uid_invalid", "warn"),
        ({"PatientIdentityRemoved": "YES"}, "deidentified", "override"),
        ({"LongitudinalTemporalInformationModified": "MODIFIED"}, "deidentified", "override"),
        ({"LongitudinalTemporalInformationModified": "REMOVED"}, "deidentified", "override"),
        ({"BurnedInAnnotation": "YES"}, "burned_in", "warn"),
        ({"Modality": []}, "modality_missing", "warn"),
    ],
)
def test_one_defect_gives_one_finding(facts, code, severity):
    assert {key: each.severity for key, each in found(**facts).items()} == {code: severity}


@pytest.mark.parametrize(
    "facts",
    [
        {"StudyDate": "20261125"},  # tomorrow, from a time zone ahead of ours
        {"PatientBirthDate": "20260901"},  # born on the day of the study
        {"PatientName": "=山田^太郎"},
        {"LongitudinalTemporalInformationModified": ""},
        {"PatientIdentityRemoved": ""},
    ],
)
def test_what_may_well_be_true_is_not_a_finding(facts):
    assert found(**facts) == {}


def test_one_series_that_says_so_is_enough():
    assert "burned_in" in found(BurnedInAnnotation=["NO", "YES"])
    assert "deidentified" in found(PatientIdentityRemoved=["", "YES"])


def test_nothing_at_all_lacks_everything():
    codes = [each.code for each in findings({}, today=TODAY)]

    assert codes == [
        *("patient_id_missing", "patient_name_missing", "birth_date_missing", "study_date_missing", "modality_missing")
    ]


def test_the_sentences_are_for_people_and_name_no_patient():
    assert found(PatientBirthDate="20260902")["birth_date_impossible"].sentence == (
        "The birth date is later than the study date."
    )
    assert found(SeriesInstanceUID="x", SOPInstanceUID="y")["uid_invalid"].sentence == (
        "Not a valid DICOM UID: SeriesInstanceUID, SOPInstanceUID."
    )
    assert found(PatientIdentityRemoved="YES")["deidentified"].sentence == (
        "De-identified: cannot be matched to a patient automatically."
    )


def test_without_a_day_the_judgement_is_as_of_today():
    next_week = date.today() + timedelta(days=7)

    assert [each.code for each in findings(SOUND | {"StudyDate": f"{next_week:%Y%m%d}"})] == ["study_date_impossible"]


def test_codes_are_unique_and_severities_known():
    assert len({check.code for check in CHECKS}) == len(CHECKS)
    assert {check.severity for check in CHECKS} <= set(Severity)


@given(st.dictionaries(st.sampled_from(sorted(SOUND)), st.none() | st.text() | st.lists(st.text())))
def test_no_header_breaks_the_checks(header):
    for each in findings(header, today=TODAY):
        assert each.sentence.endswith(".")
