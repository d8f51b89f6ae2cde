"""How values are laid side by side, and how they are said."""

from datetime import date, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from policies.rules.coercion import Action, Change
from reconciliation.templatetags import shown
from reconciliation.views import cards, rewriting
from tests import make
from tests.reconciliation.views.browsing import text


def marked(marks) -> str:
    return "".join(f"[{mark.text}]" if mark.differs else mark.text for mark in marks)


@pytest.mark.parametrize(
    ("one", "other", "left", "right"),
    [
        ("MUELLER", "Mueler", "MUEL[L]ER", "Mueler"),
        ("L", "Lena", "L", "L[ena]"),
        ("ANNA", "anna", "ANNA", "anna"),
        ("Vasquez", "Haddad", "[Vasquez]", "[Haddad]"),
        ("Straße", "STRASSE", "[Straße]", "[STRASSE]"),
        ("", "LOCAL", "", "[LOCAL]"),
    ],
)
def test_differing_characters_are_marked_and_unlike_texts_whole(one, other, left, right):
    assert tuple(map(marked, cards.marks(one, other))) == (left, right)


def test_a_swapped_day_and_month_shows_as_such():
    assert tuple(map(marked, cards.day_marks("1972-11-03", "1972-03-11"))) == ("1972-[11]-[03]", "1972-[03]-[11]")


def change(path="PatientName", action=Action.SET, old=("A^B",), new="A^C", group="patient") -> Change:
    return Change(path, action, list(old), new, "RAD-61: Patient's Name comes from the local order.", group)


def test_values_that_stay_are_collapsed_and_groups_keep_their_order():
    changes = [change(), change("PatientSex", old=["F"], new="F"), change("AccessionNumber", group="order")]

    patient, order = rewriting.groups(changes)

    assert [line.name for line in patient.lines] == ["Patient's Name"]
    assert patient.unchanged == ["Patient's Sex"]
    assert order.name == "order"


def test_a_swapped_birth_date_is_marked_in_the_changes_as_in_the_evidence():
    (group,) = rewriting.groups([change("PatientBirthDate", old=["19721103"], new="19720311")])

    assert marked(group.lines[0].before) == "1972-[11]-[03]"
    assert marked(group.lines[0].after) == "1972-[03]-[11]"


@pytest.mark.django_db
@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("words", ["", "Mueller"])
def test_patients_who_are_alike_have_no_percentage(desk, words):
    make.order(make.patient("Mueller^Anna"))
    make.order(make.patient("Mueller^Anna"))
    study = make.study("held")
    address = reverse("study", args=[study.pk])

    page = text(desk.get(desk.post(reverse("candidates", args=[study.pk]), {"words": words}).url if words else address))

    candidates = page.split('id="candidates"')[1].split('id="changes"')[0]
    assert candidates.count("Ambiguous: decide yourself.") == 2
    assert "%" not in candidates


def test_an_attribute_that_was_never_there_is_not_called_removed():
    (group,) = rewriting.groups([change("OtherPatientIDs", Action.REMOVE, [], None)])

    assert (group.lines, group.unchanged) == ([], ["Other Patient IDs"])


def test_items_that_are_written_are_shown_leaf_by_leaf():
    code = {"CodeValue": "OUTCT", "CodeMeaning": "Outside CT"}
    item = {"RequestedProcedureID": "ACC1", "RequestedProcedureCodeSequence": [code]}
    (group,) = rewriting.groups([change("RequestAttributesSequence", old=[], new=[item], group="order")])

    assert group.lines[0].items == [
        ("Requested Procedure ID", "ACC1"),
        ("Code Value", "OUTCT"),
        ("Code Meaning", "Outside CT"),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Mueller^Anna", "MUELLER, Anna"),
        ("Yamada^Tarou=山田^太郎", "YAMADA, Tarou (山田, 太郎)"),
        ("Smith^John^Q^Dr^Jr", "SMITH, John Q, Jr"),
        ("TRIAL-0042", "TRIAL-0042"),
        ("^^", ""),
        ("", ""),
    ],
)
def test_a_name_is_read_family_first(written, read):
    assert shown.person(written) == read


@pytest.mark.parametrize(("written", "read"), [("19610304", "1961-03-04"), ("1961", "1961"), ("", ""), (None, "")])
def test_a_day_is_iso_and_what_is_no_day_stays_as_it_came(written, read):
    assert shown.day(written) == read


def test_an_age_is_said_in_months_for_the_very_young_and_not_at_all_for_the_unborn():
    today = timezone.localdate()

    assert shown.age(date(today.year - 40, 1, 1)) == "40 y"
    assert shown.age(today - timedelta(days=70)) == "2 months"
    assert shown.age(today + timedelta(days=1)) == ""


@pytest.mark.parametrize(
    ("ago", "said"), [(5, "now"), (300, "5 min"), (7200, "2 h"), (47 * 3600, "47 h"), (49 * 3600, "2 d")]
)
def test_a_time_is_said_in_its_largest_unit(ago, said):
    assert shown.since(timezone.now() - timedelta(seconds=ago)) == said


def test_a_score_is_never_a_certainty():
    assert (shown.percent(0.9999), shown.percent(0.0), shown.percent(None)) == ("99 %", "1 %", "")
