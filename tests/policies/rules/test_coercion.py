"""Every row of IHE RAD-61's table (scheduled and unscheduled import), as a promise."""

import json
from dataclasses import replace

import pytest
from pydicom.datadict import tag_for_keyword

from policies.rules import coercion
from policies.rules.coercion import Action, Change, Decision, Importer, LocalFacts, Rule, describe, plan

ORDER = LocalFacts(
    PatientName="MÜLLER^ANNA",
    PatientID="4711",
    IssuerOfPatientID="HOSP",
    PatientBirthDate="19610304",
    PatientSex="F",
    IssuerOfPatientIDQualifiersSequence=[{"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}],
    OtherPatientIDs=[("0815", "CITY")],
    AccessionNumber="ACC77",
    IssuerOfAccessionNumber="RIS",
    RequestedProcedureID="RP1",
    RequestedProcedureDescription="Import CT chest",
    ScheduledProcedureStepID="SPS1",
    RequestedProcedureCode=("IMPCT", "99HOSP", "Import CT"),
    AdmissionID="VISIT9",
    IssuerOfAdmissionID="ADT",
    StudyInstanceUID="1.2.826.0.1.77",
    scheduled=True,
)
PATIENT = replace(ORDER, scheduled=False)
IMPORTER = Importer(
    manufacturer="Imgshare",
    institution_name="Local Hospital",
    station_name="DESK1",
    modifying_system="IMGSHARE",
    source_name="General Hospital",
    source_issuer="GENERAL",
    door="media",
    at="20261124093000+0100",
)
FOREIGN = {
    "PatientName": "MUELLER^ANNA",
    "PatientID": "X99",
    "PatientBirthDate": "19610304",
    "AccessionNumber": "FOREIGN1",
    "InstitutionName": "General Hospital Radiology",
}


def changes(local=ORDER, incoming=(FOREIGN,), **importer):
    return {change.path: change for change in plan(list(incoming), local=local, importer=replace(IMPORTER, **importer))}


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("PatientName", "MÜLLER^ANNA"),
        ("PatientID", "4711"),
        ("IssuerOfPatientID", "HOSP"),
        ("IssuerOfPatientIDQualifiersSequence", [{"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}]),
        ("PatientBirthDate", "19610304"),
        ("PatientSex", "F"),
    ],
)
@pytest.mark.parametrize("local", [ORDER, PATIENT])
def test_demographics_come_from_the_local_side(path, new, local):
    change = changes(local)[path]

    assert (change.action, change.new, change.group) == (Action.SET, new, "patient")


@pytest.mark.parametrize(
    "path",
    ["PatientName", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "PatientBirthDate", "PatientSex"],
)
def test_what_the_local_side_does_not_know_is_emptied_not_left_foreign(path):
    nothing = replace(ORDER, **{path: [] if path.endswith("Sequence") else "  "})

    change = changes(nothing, [FOREIGN | {path: "foreign"}])[path]

    assert (change.action, change.new, change.old) == (GONE[path.endswith("Sequence")], None, ["foreign"])


# A sequence of exactly one item is taken out rather than left empty.
GONE = {True: Action.REMOVE, False: Action.EMPTY}
ORDER_ROWS = {
    "AccessionNumber": "ACC77",
    "IssuerOfAccessionNumberSequence": [{"LocalNamespaceEntityID": "RIS"}],
    "AdmissionID": "VISIT9",
    "IssuerOfAdmissionIDSequence": [{"LocalNamespaceEntityID": "ADT"}],
}


@pytest.mark.parametrize("path", ORDER_ROWS)
def test_numbers_come_from_the_order_and_are_empty_without_one(path):
    with_order, without = changes(ORDER)[path], changes(PATIENT)[path]

    assert (with_order.action, with_order.new) == (Action.SET, ORDER_ROWS[path])
    assert (without.action, without.new) == (GONE[path.endswith("Sequence")], None)


def test_an_order_without_accession_number_empties_the_foreign_one_and_its_issuer():
    found = changes(replace(ORDER, AccessionNumber=""))

    assert found["AccessionNumber"].action == Action.EMPTY
    assert found["AccessionNumber"].old == ["FOREIGN1"]
    assert found["IssuerOfAccessionNumberSequence"].action == Action.REMOVE


def test_the_request_is_the_orders_and_links_its_study_uid():
    assert changes()["RequestAttributesSequence"].new == [
        {
            "RequestedProcedureID": "RP1",
            "ScheduledProcedureStepID": "SPS1",
            "RequestedProcedureDescription": "Import CT chest",
            "AccessionNumber": "ACC77",
            "StudyInstanceUID": "1.2.826.0.1.77",
            "RequestedProcedureCodeSequence": [
                {"CodeValue": "IMPCT", "CodingSchemeDesignator": "99HOSP", "CodeMeaning": "Import CT"}
            ],
        }
    ]


def test_a_sparse_order_gives_a_request_of_two_ids_only():
    sparse = LocalFacts(PatientID="4711", RequestedProcedureID="RP1", ScheduledProcedureStepID="SPS1")

    assert changes(sparse)["RequestAttributesSequence"].new == [
        {"RequestedProcedureID": "RP1", "ScheduledProcedureStepID": "SPS1"}
    ]


@pytest.mark.parametrize("keyword", ["RequestedProcedureID", "ScheduledProcedureStepID"])
def test_an_order_without_procedure_ids_is_refused_with_a_sentence(keyword):
    with pytest.raises(ValueError, match=r"The order has no .* ID: complete the order"):
        changes(replace(ORDER, **{keyword: ""}))


def test_without_an_order_no_request_is_claimed():
    assert changes(PATIENT)["RequestAttributesSequence"].action == Action.REMOVE


@pytest.mark.parametrize("local", [ORDER, PATIENT])
@pytest.mark.parametrize("path", ["ReferencedRequestSequence", "OtherPatientIDs", "ReferencedStudySequence"])
def test_what_speaks_of_the_senders_request_or_is_retired_goes(path, local):
    assert changes(local)[path].action == Action.REMOVE


def test_a_referenced_study_of_the_order_replaces_the_foreign_one():
    reference = [{"ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1", "ReferencedSOPInstanceUID": "1.2.3.4"}]

    found = changes(replace(ORDER, ReferencedStudySequence=reference))["ReferencedStudySequence"]

    assert (found.action, found.new) == (Action.SET, reference)


def test_the_procedure_code_is_the_orders_and_foreign_codes_stay_without_one():
    assert changes()["ProcedureCodeSequence"].new[0]["CodeValue"] == "IMPCT"
    assert "ProcedureCodeSequence" not in changes(replace(ORDER, RequestedProcedureCode=None))
    assert "ProcedureCodeSequence" not in changes(PATIENT)


def test_a_code_needs_a_scheme_and_gets_a_meaning():
    no_scheme = changes(replace(ORDER, RequestedProcedureCode=("IMPCT", "", "Import CT")))
    no_meaning = changes(replace(ORDER, RequestedProcedureCode=("IMPCT", "99HOSP", "")))

    assert "ProcedureCodeSequence" not in no_scheme
    assert no_meaning["ProcedureCodeSequence"].new[0]["CodeMeaning"] == "Import CT chest"


def test_a_long_code_goes_where_dicom_puts_long_codes():
    long = changes(replace(ORDER, RequestedProcedureCode=("900000000000000207008", "SCT", "Import")))

    assert long["ProcedureCodeSequence"].new[0]["LongCodeValue"] == "900000000000000207008"


@pytest.mark.parametrize("local", [ORDER, PATIENT])
@pytest.mark.parametrize(
    "keyword",
    [
        *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDescription", "StudyID", "StudyDate"),
        *("StudyTime", "ReferringPhysicianName", "InstitutionName", "StationName", "Manufacturer", "PixelData"),
        *("SpecificCharacterSet", "PerformedProcedureStepID", "ReferencedPerformedProcedureStepSequence"),
    ],
)
def test_what_belongs_to_the_examination_is_kept(keyword, local):
    assert keyword not in changes(local, [FOREIGN | {keyword: "1.2.3"}])


def test_the_import_step_is_named_when_there_is_one():
    found = changes(performed_step_id="PPS1", performed_step_uid="1.2.3.9")

    assert found["PerformedProcedureStepID"].new == "PPS1"
    assert found["ReferencedPerformedProcedureStepSequence"].new == [
        {"ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.3", "ReferencedSOPInstanceUID": "1.2.3.9"}
    ]


def test_a_step_id_of_the_object_is_kept():
    found = changes(ORDER, [FOREIGN | {"PerformedProcedureStepID": "THEIRS"}], performed_step_id="PPS1")

    assert "PerformedProcedureStepID" not in found


# --- identifiers that are kept ---------------------------------------------------------------------------------------


def other_ids(local=ORDER, incoming=(FOREIGN,), **importer):
    change = changes(local, incoming, **importer).get("OtherPatientIDsSequence")
    return change and [(item["PatientID"], item.get("IssuerOfPatientID")) for item in change.new]


@pytest.mark.parametrize("local", [ORDER, PATIENT])
def test_local_identifiers_come_first_then_the_foreign_one_with_its_issuer(local):
    change = changes(local)["OtherPatientIDsSequence"]

    assert change.action == Action.APPEND
    assert change.new == [
        {"PatientID": "0815", "IssuerOfPatientID": "CITY", "TypeOfPatientID": "TEXT"},
        {"PatientID": "X99", "IssuerOfPatientID": "GENERAL", "TypeOfPatientID": "TEXT"},
    ]


def test_the_objects_own_issuer_is_better_than_ours_for_the_source():
    assert other_ids(incoming=[FOREIGN | {"IssuerOfPatientID": "GH-MPI"}])[-1] == ("X99", "GH-MPI")


def test_an_identifier_without_any_issuer_has_none_invented():
    assert other_ids(source_issuer="")[-1] == ("X99", None)


@pytest.mark.parametrize("foreign", [{"PatientID": ""}, {"PatientID": None}, {"PatientID": "  "}, {}])
def test_an_empty_foreign_id_is_not_listed(foreign):
    assert other_ids(incoming=[foreign]) == [("0815", "CITY")]


def test_the_local_identifier_is_not_listed_as_an_other_one():
    same = FOREIGN | {"PatientID": "4711 ", "IssuerOfPatientID": "HOSP"}

    assert other_ids(incoming=[same]) == [("0815", "CITY")]
    assert other_ids(replace(ORDER, OtherPatientIDs=[("4711", "HOSP")]), [same]) is None


def test_the_local_number_of_another_issuer_is_another_identifier():
    assert ("4711", "GENERAL") in other_ids(incoming=[FOREIGN | {"PatientID": "4711"}])


def test_identifiers_are_merged_without_doubles():
    theirs = [FOREIGN, FOREIGN, FOREIGN | {"PatientID": "X100"}, FOREIGN | {"OtherPatientIDs": ["X99", "OLD7"]}]

    assert other_ids(incoming=theirs) == [
        ("0815", "CITY"),
        ("X99", "GENERAL"),
        ("X100", "GENERAL"),
        ("OLD7", "GENERAL"),
    ]


def test_an_identifier_that_all_objects_list_already_is_not_added_again():
    listed = FOREIGN | {"OtherPatientIDsSequence": [{"PatientID": "0815", "IssuerOfPatientID": "CITY"}]}

    assert other_ids(incoming=[listed]) == [("X99", "GENERAL")]
    assert other_ids(incoming=[listed, FOREIGN]) == [("0815", "CITY"), ("X99", "GENERAL")]


@pytest.mark.parametrize("bad", ["9" * 65, ["A", "B"], "A\\B", "A\x07"])
def test_a_foreign_id_that_dicom_cannot_hold_never_stops_an_import(bad):
    change = changes(incoming=[FOREIGN | {"PatientID": bad}])["OtherPatientIDsSequence"]

    assert [item["PatientID"] for item in change.new] == ["0815"]
    assert "Original Attributes only: 1" in change.rule


# --- provenance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "code", "meaning"),
    [
        ("media", "MEDIM", "Portable Media Importer Equipment"),
        ("upload", "MEDIM", "Portable Media Importer Equipment"),
        ("dimse", "109103", "Modifying Equipment"),
        ("stow", "109103", "Modifying Equipment"),
        ("watch", "109103", "Modifying Equipment"),
    ],
)
def test_the_importer_is_listed_by_the_door_it_used(door, code, meaning):
    change = changes(door=door)["ContributingEquipmentSequence"]

    assert change.action == Action.APPEND
    assert change.new == [
        {
            "PurposeOfReferenceCodeSequence": [
                {"CodeValue": code, "CodingSchemeDesignator": "DCM", "CodeMeaning": meaning}
            ],
            "Manufacturer": "Imgshare",
            "InstitutionName": "Local Hospital",
            "StationName": "DESK1",
            "ContributionDateTime": "20261124093000+0100",
        }
    ]


def test_the_old_values_are_kept_with_when_who_whence_and_why():
    change = changes()["OriginalAttributesSequence"]

    assert change.action == Action.APPEND
    assert change.new == [
        {
            "AttributeModificationDateTime": "20261124093000+0100",
            "ModifyingSystem": "IMGSHARE",
            "SourceOfPreviousValues": "General Hospital Radiology",
            "ReasonForTheAttributeModification": "COERCE",
        }
    ]


@pytest.mark.parametrize(
    "incoming",
    [[{}], [FOREIGN, FOREIGN | {"InstitutionName": "Another"}], [{"InstitutionName": "x" * 65}]],
)
def test_the_source_is_named_where_the_objects_are_not_clear(incoming):
    item = changes(incoming=incoming)["OriginalAttributesSequence"].new[0]

    assert item["SourceOfPreviousValues"] == "General Hospital"


def test_every_viewer_can_see_an_outside_study():
    found = changes(incoming=[FOREIGN | {"InstanceOriginStatus": "LOCAL"}])

    assert found["InstanceOriginStatus"].new == "IMPORTED"
    assert found["InstanceOriginStatus"].old == ["LOCAL"]
    assert found["InstanceCoercionDateTime"].new == IMPORTER.at


# --- the plan as a whole ---------------------------------------------------------------------------------------------


def test_old_values_are_listed_once_each_in_the_order_met():
    incoming = [{"PatientName": "B"}, {"PatientName": "A"}, {"PatientName": "B"}, {"PatientName": None}, {}]

    assert changes(incoming=incoming)["PatientName"].old == ["B", "A", ""]
    assert changes(incoming=[{}])["PatientName"].old == []


def test_equal_values_are_listed_so_that_every_object_agrees():
    change = changes(incoming=[{"PatientID": "4711"}])["PatientID"]

    assert (change.action, change.old, change.new) == (Action.SET, ["4711"], "4711")


@pytest.mark.parametrize("local", [ORDER, PATIENT])
def test_the_same_facts_make_the_same_plan(local):
    assert plan([FOREIGN], local=local, importer=IMPORTER) == plan([dict(FOREIGN)], local=local, importer=IMPORTER)


def test_the_facts_are_not_touched():
    incoming = [json.loads(json.dumps(FOREIGN))]
    plan(incoming, local=ORDER, importer=IMPORTER)

    assert incoming == [FOREIGN]


@pytest.mark.parametrize("local", [ORDER, PATIENT])
def test_a_plan_survives_json(local):
    planned = plan([FOREIGN], local=local, importer=IMPORTER)

    assert [Change.from_json(json.loads(json.dumps(change.to_json()))) for change in planned] == planned


def test_every_row_is_a_dicom_attribute_named_once():
    paths = [rule.path for rule in coercion.RULES]

    assert all(tag_for_keyword(path) for path in coercion.ATTRIBUTES)
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("local", [ORDER, PATIENT])
def test_every_change_explains_itself(local):
    for change in plan([FOREIGN], local=local, importer=IMPORTER):
        assert change.rule.endswith(".")
        assert change.rule.startswith(("RAD-61: ", "DICOM "))
        assert change.group in {"patient", "order", "study", "provenance"}


def test_a_managers_rule_is_one_more_row():
    outside = Rule("StudyID", "study", lambda path, facts: Decision(Action.SET, "OUTSIDE", "Site rule: label."))

    found = plan([FOREIGN], local=ORDER, importer=IMPORTER, rules=(*coercion.RULES, outside))

    assert found[-1] == Change("StudyID", Action.SET, [], "OUTSIDE", "Site rule: label.", "study")


# --- what DICOM cannot hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("PatientID", "9" * 65, "Patient ID has 65 characters and DICOM allows 64"),
        ("IssuerOfPatientID", "H" * 65, "Issuer of Patient ID has 65 characters"),
        ("AccessionNumber", "1" * 17, "Accession Number has 17 characters and DICOM allows 16"),
        ("PatientName", "X" * 65, "Patient's Name has 65 characters and DICOM allows 64"),
        ("PatientName", "A=B=C=D", "Patient's Name (7 characters) is not a valid DICOM value"),
        ("PatientID", "A\\B", "Patient ID (3 characters) holds a backslash"),
        ("PatientName", "A\x1b^B", "Patient's Name (4 characters) holds a backslash or a control character"),
        ("PatientBirthDate", "19610231", "Patient's Birth Date (8 characters) is not a valid DICOM value"),
        ("RequestedProcedureID", "R" * 17, "Requested Procedure ID has 17 characters"),
        ("RequestedProcedureDescription", "d" * 65, "Requested Procedure Description has 65 characters"),
        ("StudyInstanceUID", "1.02.3", "Study Instance UID (6 characters) is not a valid DICOM value"),
        ("PatientSex", "A", "Patient's Sex must be M, F or O"),
        ("PatientID", " ", "The local patient has no Patient ID"),
    ],
)
def test_a_local_value_that_dicom_cannot_hold_is_refused_never_cut(field, value, says):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the sentence is the point
        changes(replace(ORDER, **{field: value}))

    assert says in str(refusal.value)


def test_the_limit_of_a_name_is_for_each_group():
    name = f"{'X' * 64}={'山' * 64}={'や' * 64}"

    assert changes(replace(ORDER, PatientName=name))["PatientName"].new == name


def test_an_importer_without_manufacturer_is_refused():
    with pytest.raises(ValueError, match="manufacturer of the importing system"):
        changes(manufacturer="")


# --- in words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "old", "new", "sentence"),
    [
        (Action.SET, ["A1"], "B2", "Accession Number becomes B2 (was A1)."),
        (Action.SET, ["A1", ""], "B2", "Accession Number becomes B2 (was A1 or an empty value)."),
        (Action.SET, [], "B2", "Accession Number becomes B2."),
        (Action.SET, ["B2"], "B2", "Accession Number stays B2."),
        (Action.EMPTY, ["A1"], None, "Accession Number is left empty (was A1)."),
        (Action.REMOVE, ["A1"], None, "Accession Number is removed (was A1)."),
        (Action.REMOVE, [], None, "Accession Number is not kept (no sampled object has it)."),
        (Action.APPEND, [], [{"PatientID": "X"}], "Accession Number also gets Patient ID X."),
    ],
)
def test_a_change_is_one_plain_sentence(action, old, new, sentence):
    assert describe(Change("AccessionNumber", action, old, new, "", "order")) == sentence


@pytest.mark.parametrize("local", [ORDER, PATIENT])
def test_every_planned_change_can_be_described(local):
    for change in plan([FOREIGN], local=local, importer=IMPORTER):
        assert describe(change).endswith(".")
        assert "{" not in describe(change)
