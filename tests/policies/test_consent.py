from datetime import date

import pytest

from policies.consent import Given, require_sufficient
from policies.problems import Invalid

WHOLE = {"basis": "patient", "given_by": "Anna M.", "evidence": "Form 12", "scope": ["care"], "until": None}
TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"basis": "whim"}, "Choose the basis"),
        ({"given_by": " "}, "who gave the consent"),
        ({"evidence": ""}, "evidence"),
        ({"scope": []}, "what the images may be used for"),
        ({"scope": ["marketing"]}, "Unknown purpose: marketing"),
        ({"until": date(2026, 11, 23)}, "ended on 2026-11-23"),
    ],
)
def test_what_is_missing_is_said(part, sentence):
    with pytest.raises(Invalid, match=sentence):
        require_sufficient(Given(**WHOLE | part), today=TODAY)


def test_treatment_needs_no_giver_but_still_its_evidence():
    require_sufficient(Given(**WHOLE | {"basis": "treatment", "given_by": ""}), today=TODAY)
