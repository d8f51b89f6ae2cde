"""What the record of a study lacks, and how grave that is."""

import time
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.quality import CHECKS, Record, Rule, Severity, decide, findings

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


# --- rules that managers write ---------------------------------------------------------------------------------------


def record(*series, source="", **header):
    said = series or ({"Modality": "CT"},)
    return Record(SOUND | header, said, TODAY, source)


def codes(rules, asked):
    return [each.code for each in decide(rules, asked).found]


BODY_PART = Rule("body-part", "required", attribute="BodyPartExamined", modality="CT")


@pytest.mark.parametrize("header", [{}, {"PatientID": ""}, {"BurnedInAnnotation": "YES", "StudyDate": ""}])
def test_without_rules_the_checks_say_what_they_always_said(header):
    assert decide([], record(**header)).found == findings(SOUND | header, today=TODAY)


def test_a_rule_of_a_check_gives_its_severity_and_words():
    rule = Rule("burned_in", "check", severity="block", sentence="Look at the pixels.", check="burned_in")

    assert decide([rule], record(BurnedInAnnotation="YES")).found == [
        ("burned_in", Severity.BLOCK, "Look at the pixels.")
    ]


def test_a_check_that_is_switched_off_is_not_asked():
    off = Rule("burned_in", "check", check="burned_in", active=False)

    assert codes([off], record(BurnedInAnnotation="YES")) == []


def test_of_two_rules_for_a_check_the_one_for_this_source_counts():
    everywhere = Rule("burned_in", "check", severity="warn", check="burned_in")
    here = Rule("burned_in_clinic", "check", severity="block", check="burned_in", source="clinic")

    assert codes([everywhere, here], record(source="clinic", BurnedInAnnotation="YES")) == ["burned_in_clinic"]
    assert codes([everywhere, here], record(source="other", BurnedInAnnotation="YES")) == ["burned_in"]


def test_a_rule_for_a_modality_looks_at_series_of_it_only():
    ct, sr = {"Modality": "CT", "BodyPartExamined": "CHEST"}, {"Modality": "SR"}

    assert codes([BODY_PART], record(ct, sr)) == []
    assert codes([BODY_PART], record(ct, {"Modality": "CT"})) == ["body-part"]
    assert codes([BODY_PART], record(sr)) == []


@pytest.mark.parametrize(
    ("rule", "series", "found"),
    [
        (Rule("x", "conditional", attribute="Laterality", when="ImageLaterality"), {}, False),
        (Rule("x", "conditional", attribute="Laterality", when="ImageLaterality"), {"ImageLaterality": "L"}, True),
        (Rule("x", "values", attribute="Modality", accepted=("CT", "MR")), {"Modality": "CT"}, False),
        (Rule("x", "values", attribute="Modality", accepted=("CT", "MR")), {"Modality": "DX"}, True),
        (Rule("x", "values", attribute="StudyID", accepted=("A",)), {}, False),
        (Rule("x", "values", attribute="ImageType", accepted=("A",)), {"ImageType": ["A", "B"]}, True),
        (Rule("x", "pattern", attribute="StudyID", accepted=("[A-Z]-*", "[0-9]?")), {"StudyID": "X-17"}, False),
        (Rule("x", "pattern", attribute="StudyID", accepted=("[A-Z]-*", "[0-9]?")), {"StudyID": "17"}, False),
        (Rule("x", "pattern", attribute="StudyID", accepted=("[A-Z]-*", "[0-9]?")), {"StudyID": "171"}, True),
        (Rule("x", "required", attribute="ProcedureCodeSequence"), {"ProcedureCodeSequence": []}, True),
        (Rule("x", "required", attribute="ProcedureCodeSequence"), {"ProcedureCodeSequence": [{}]}, False),
        (Rule("x", "required", attribute="PatientName"), {"PatientName": "^^"}, True),
    ],
)
def test_any_attribute_can_be_asked_for(rule, series, found):
    assert bool(codes([rule], record(series))) is found


def test_a_pattern_takes_no_longer_than_its_text():
    rule = Rule("x", "pattern", attribute="StudyDescription", accepted=("*a" * 60 + "b",))
    began = time.perf_counter()

    assert codes([rule], record({"StudyDescription": "a" * 1024})) == ["x"]
    assert time.perf_counter() - began < 1


def test_a_sentence_says_the_attribute_and_never_its_value():
    rule = Rule("x", "values", sentence="{} of this scanner {0}", attribute="StudyID", accepted=("A",))

    assert decide([rule], record({"StudyID": "SECRET"})).found[0].sentence == "Study ID of this scanner {0}"


def test_a_decision_says_why_a_rule_found_nothing():
    off = Rule("off", "required", attribute="StudyID", active=False)
    passed = {one.rule.code: one.why for one in decide([off, BODY_PART], record({"Modality": "MR"})).passed}

    assert (passed["off"], passed["body-part"]) == ("It is switched off.", "It is for CT, and this study has MR.")
    assert passed["burned_in"] == "The record is as it asks."
