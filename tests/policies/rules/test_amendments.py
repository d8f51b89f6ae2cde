"""What managers add to RAD-61: which apply, what comes of them, and what can never be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules import coercion
from policies.rules.amendments import (
    GROUP,
    PROTECTED,
    SERIES_WIDE,
    STUDY_WIDE,
    Amendment,
    Occasion,
    amended,
    decide,
    rules,
    warnings,
    why_not_local,
    why_not_written,
)
from policies.rules.coercion import Facts, Importer, LocalFacts
from policies.rules.values import refuse_unwritable

IMPORTER = Importer("imgshare", "Local Hospital", "IMG", "IMG", "City Clinic", "CLINIC", "dimse", "20261124120000+0000")
LOCAL = LocalFacts(
    PatientID="1",
    PatientName="A",
    AccessionNumber="A1",
    RequestedProcedureID="R1",
    ScheduledProcedureStepID="S1",
    RequestedProcedureDescription="CT chest",
)
HERE = Occasion(source="clinic", source_name="City Clinic", category="incorporated", modalities=("CT",))
LABEL = Amendment("Outside", "label", "StudyDescription", "prefix", text="OUTSIDE")


def facts(*incoming, local=LOCAL):
    return Facts(incoming or ({},), local, IMPORTER)


def made(one, *incoming, local=LOCAL):
    return amended(one.attribute, [one], HERE, facts(*incoming, local=local))


@pytest.mark.parametrize(
    ("how", "before", "after"),
    [
        ("prefix", "CT CHEST", "OUTSIDE CT CHEST"),
        ("suffix", "CT CHEST", "CT CHEST OUTSIDE"),
        ("set", "CT CHEST", "OUTSIDE"),
        ("prefix", "", "OUTSIDE"),
        ("prefix", "OUTSIDE CT CHEST", "OUTSIDE CT CHEST"),
        ("suffix", "CT OUTSIDE", "CT OUTSIDE"),
        ("prefix", "OUTSIDER", "OUTSIDE OUTSIDER"),
    ],
)
def test_a_label_stands_in_an_attribute_once(how, before, after):
    one = Amendment("Outside", "label", "StudyDescription", how, text="OUTSIDE")

    assert made(one, {"StudyDescription": before}).value == after


def test_a_label_names_the_source():
    one = Amendment("From", "label", "InstitutionalDepartmentName", "set", text="From {source}")

    assert made(one).value == "From City Clinic"


def test_what_would_not_fit_is_left_out_and_said_and_never_cut():
    found = made(LABEL, {"StudyDescription": "x" * 60})

    assert (found.value, found.by) == ("x" * 60, ())
    assert found.warnings == (
        "Policy “Outside” is not applied: Study Description has 68 characters and DICOM allows 64.",
    )


@pytest.mark.parametrize(
    "incoming",
    [
        ({"StudyDescription": "CT"}, {"StudyDescription": "MR"}),
        ({"StudyDescription": ["CT", "MR"]},),
        ({"StudyDescription": "M\ufffdller"},),
    ],
)
def test_what_is_not_one_certain_value_gets_no_label(incoming):
    found = made(LABEL, *incoming)

    assert found.by == ()
    assert len(found.warnings) == 1


def test_a_value_of_a_series_is_amended_only_where_every_series_has_it():
    one = Amendment("part", "correct", "BodyPartExamined", "upper")

    assert made(one, {"BodyPartExamined": "chest"}, {"BodyPartExamined": "chest"}).value == "CHEST"
    assert made(one, {"BodyPartExamined": "chest"}, {}).by == ()


@pytest.mark.parametrize(
    ("how", "local", "value"),
    [
        ("local", "CT chest", "CT chest"),
        ("local", "", ""),
        ("local_if_present", "CT chest", "CT chest"),
        ("local_if_present", "", "THEIRS"),
        ("sender", "CT chest", "THEIRS"),
    ],
)
def test_whose_value_wins(how, local, value):
    one = Amendment("wins", "wins", "StudyDescription", how)
    ours = LocalFacts(RequestedProcedureDescription=local)

    assert made(one, {"StudyDescription": "THEIRS"}, local=ours).value == value


def test_a_label_stands_on_what_was_corrected_and_chosen():
    some = [
        LABEL,
        Amendment("Ours", "wins", "StudyDescription", "local"),
        Amendment("Tidy", "correct", "StudyDescription", "trim"),
    ]
    chosen = decide(some, HERE).chosen
    found = amended("StudyDescription", chosen, HERE, facts({"StudyDescription": "a  b"}))

    assert (found.value, found.by) == ("OUTSIDE CT chest", ("Tidy", "Ours", "Outside"))


def test_of_two_that_say_whose_value_wins_the_first_does():
    first = Amendment("first", "wins", "StudyID", "sender", priority=1)
    second = Amendment("second", "wins", "StudyID", "local", priority=2)

    assert decide([second, first], HERE).chosen == (first,)
    assert decide([second, first], HERE).passed == ((second, "Another rule says already whose value wins."),)


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({"source": "other"}, "It is for another source."),
        (
            {"category": "teleradiology"},
            "It is for studies of the category 'teleradiology', and this one is 'incorporated'.",
        ),
        ({"modality": "MR"}, "It is for MR, and this study has CT."),
        ({"intent": "read"}, "It is for the intent 'read', and this one is not decided."),
        ({"active": False}, "It is not in use."),
    ],
)
def test_what_does_not_fit_says_why(condition, why):
    one = Amendment("x", "label", "StudyDescription", "set", text="X", **condition)

    assert decide([one], HERE).passed == ((one, why),)


def test_what_fits_is_a_change_of_its_own_group_that_names_the_policy():
    chosen = decide([LABEL], HERE).chosen
    plan = coercion.plan(
        [{"StudyDescription": "CT"}], local=LOCAL, importer=IMPORTER, rules=(*coercion.RULES, *rules(chosen, HERE))
    )
    change = next(one for one in plan if one.group == GROUP)

    assert (change.path, change.old, change.new, change.rule) == (
        "StudyDescription",
        ["CT"],
        "OUTSIDE CT",
        "Policy: Outside.",
    )
    assert len({one.path for one in plan}) == len(plan)


@pytest.mark.parametrize("keyword", sorted(PROTECTED))
def test_what_the_local_order_decides_cannot_be_overridden(keyword):
    one = Amendment("x", "label", keyword, "set", text="X")

    assert "no rule can override that" in why_not_written(keyword)
    assert decide([one], HERE).chosen == ()


@pytest.mark.parametrize("keyword", ["SliceLocation", "PixelData", "StudyDate", "Nonsense", "SpecificCharacterSet", ""])
def test_what_may_differ_between_objects_is_not_written(keyword):
    assert why_not_written(keyword)


def test_only_what_the_order_knows_can_win():
    assert why_not_local("StudyDescription") == ""
    assert "ReferringPhysicianName" in why_not_local("InstitutionName")


@given(
    st.lists(
        st.builds(
            Amendment,
            name=st.text(max_size=5),
            kind=st.just("label"),
            attribute=st.sampled_from(STUDY_WIDE + SERIES_WIDE),
            how=st.sampled_from(["set", "prefix", "suffix"]),
            text=st.text(max_size=70),
        ),
        max_size=4,
    ),
    st.text(max_size=70),
)
def test_whatever_managers_write_can_be_written(some, value):
    incoming = facts({one.attribute: value for one in some})
    chosen = decide(some, HERE).chosen
    for rule in rules(chosen, HERE):
        if decision := rule.decide(rule.path, incoming):
            refuse_unwritable(rule.path, decision.new)
    assert all(text.endswith(".") for text in warnings(chosen, HERE, incoming))


def test_no_local_value_empties_what_differs_from_series_to_series():
    one = Amendment("wins", "wins", "StudyDescription", "local")
    found = made(one, {"StudyDescription": "A"}, {"StudyDescription": "B"}, local=LocalFacts())

    assert (found.value, found.by) == ("", ("wins",))
