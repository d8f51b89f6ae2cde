"""The procedure map: the first line that fits, and why the others did not."""

import pytest

from policies.rules.procedures import Line, Outside, decide, why_not

STUDY = Outside(
    source="general",
    modalities=("CT", "SR"),
    body_parts=("CHEST",),
    description="CT Thorax mit Kontrastmittel, Lungenübersicht",
    codes=(("CTTH", "99GEN"),),
)


def line(key: str = "1", **asked) -> Line:
    return Line(key, f"procedure {key}", **asked)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"source": "general"},
        {"modality": "ct"},
        {"modality": "SR"},
        {"body_part": "Thorax"},
        {"words": "kontrastmittel THORAX"},
        {"words": "lungenubersicht"},
        {"words": "chest"},
        {"code": "CTTH"},
        {"code": "CTTH", "scheme": "99gen"},
        {"scheme": "99GEN"},
    ],
)
def test_a_line_fits_a_study_that_has_all_it_asks_for(asked):
    assert why_not(line(**asked), STUDY) == ""


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"source": "city"}, "It is for another source."),
        ({"modality": "MR"}, "It is for MR, and this study has CT, SR."),
        ({"body_part": "KNEE"}, "It asks for KNEE; the study names CHEST."),
        ({"words": "thorax ohne"}, "The description has no “ohne”."),
        ({"words": "Kontrast"}, "The description has no “Kontrast”."),
        ({"code": "CT1", "scheme": "L"}, "It asks for the code CT1 L; the study has CTTH 99GEN."),
        ({"code": "CTTH", "scheme": "L"}, "It asks for the code CTTH L; the study has CTTH 99GEN."),
    ],
)
def test_a_line_that_does_not_fit_says_why(asked, why):
    assert why_not(line(**asked), STUDY) == why


def test_the_lowest_priority_number_that_fits_wins():
    decision = decide([line("a", priority=30), line("b", priority=20), line("c", priority=10, modality="MR")], STUDY)

    assert decision.line.key == "b"
    assert [(one.line.key, one.why) for one in decision.passed] == [("c", "It is for MR, and this study has CT, SR.")]


def test_of_one_priority_the_line_that_asks_for_more_comes_first():
    lines = [line("a"), line("b", modality="CT"), line("c", modality="CT", body_part="CHEST")]

    assert decide(lines, STUDY).line.key == "c"


def test_what_made_a_line_fit_is_said():
    decision = decide([line(modality="CT", words="Thorax", code="CTTH")], STUDY)

    assert decision.why == "Outside studies CT, described as “Thorax”, with the code CTTH."


def test_a_study_that_nothing_fits_gets_no_procedure():
    decision = decide([line(modality="MR")], Outside())

    assert decision.line is None
    assert decision.passed[0].why == "It is for MR, and this study has no modality."
