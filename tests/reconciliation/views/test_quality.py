"""The pages of record quality: numbers that lead to studies, letters, the proposed rejection, the managers' page."""

import pytest
from django.urls import reverse

from policies.models import LedgerLine, QualityRule, User
from reconciliation import quality
from reconciliation.models import Study
from tests import make
from tests.reconciliation.views.browsing import post, signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def manager():
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    return signed_in(make.user("manager"))


def test_a_number_leads_to_its_studies(manager):
    study = make.study(PatientBirthDate="")
    page = text(manager.get(reverse("quality")))
    address = f"?state={','.join(Study.State.values)}&amp;source={study.source_id}"
    assert f"{address}&amp;finding=birth_date_missing" in page

    shown = text(manager.get(reverse("queue"), {"state": "held,rejected", "finding": "birth_date_missing"}))
    assert str(study.pk) in shown
    assert "Only with the finding" in shown


def test_the_page_refuses_another_period_and_the_desk(manager, desk):
    assert manager.get(reverse("quality"), {"days": "7"}).status_code == 422
    assert desk.get(reverse("quality")).status_code == 403
    assert desk.get(reverse("queue"), {"finding": "a\0b"}).status_code == 422


def test_rest_gives_the_numbers(manager):
    make.study(PatientBirthDate="")
    said = manager.get(reverse("api:quality"), {"days": 90}).json()

    assert said["days"] == 90
    assert said["sources"][0]["defects"] == [{"rule": "birth_date_missing", "findings": 1}]
    assert manager.get(reverse("api:quality"), {"days": 1}).status_code == 422


def test_a_rule_proposes_a_rejection_and_the_letter_is_there_to_be_read(releaser):
    reason = make.reason("incomplete")
    QualityRule.objects.filter(code="birth_date_missing").update(follows="reject", reason=reason)
    study = make.study(PatientBirthDate="")
    assert f'value="{reason.pk}" selected' in text(releaser.get(reverse("study", args=[study.pk])))

    post(releaser, "reject", study, reason=reason.pk, comment="")
    page = text(releaser.get(reverse("letters", args=[study.pk])))
    said = releaser.get(reverse("api:letters", args=[study.pk])).json()["results"]

    assert "We could not take over a study that you sent us." in page
    assert "The study has no birth date." in said[0]["text"]
    assert reverse("letters", args=[study.pk]) in text(releaser.get(reverse("study", args=[study.pk])))


def test_letters_are_for_those_who_may_see_the_study():
    study = make.study("rejected")
    stranger = signed_in(make.user("stranger", grants=[("view", make.source("Elsewhere"), None)]))

    assert stranger.get(reverse("letters", args=[study.pk])).status_code == 404
    assert stranger.get(reverse("api:letters", args=[study.pk])).status_code == 404


def test_the_managers_page_lists_the_checks_and_asks_for_a_look(manager, monkeypatch):
    rung = []
    monkeypatch.setattr("policies.bell._ring", lambda task, key: rung.append(task))
    rows = QualityRule.objects.values_list("pk", flat=True)
    address = reverse("admin:policies_qualityrule_changelist")
    assert "burned_in" in text(manager.get(address))

    manager.post(address, {"action": "look_again", "_selected_action": [rows[0]]})
    assert LedgerLine.objects.get(verb="look again").actor == "Manager"


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"kind": "required", "attribute": "Nonsense"}, "DICOM has no attribute with this keyword"),
        ({"kind": "required", "attribute": "PixelData"}, "holds no text"),
        ({"kind": "required", "attribute": "StudyID", "code": "another_patient"}, "Write a code with a hyphen"),
        ({"kind": "required", "attribute": "StudyID", "check_code": "burned_in"}, "Only a rule of a built-in check"),
        ({"kind": "required"}, "Choose a built-in check, or name an attribute"),
        ({"kind": "values", "attribute": "StudyID"}, "Say what is allowed"),
        ({"kind": "conditional", "attribute": "StudyID"}, "Name the attribute on which it depends"),
        ({"kind": "required", "attribute": "StudyID", "follows": "reject"}, "Choose the reason"),
        ({"kind": "required", "attribute": "StudyID", "follows": "correct"}, "Say how it is corrected"),
        (
            {"kind": "required", "attribute": "PatientID", "follows": "correct", "correction": "trim"},
            "no rule can override that",
        ),
        (
            {"kind": "required", "attribute": "SliceLocation", "follows": "correct", "correction": "trim"},
            "may differ from object to object",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_a_sentence(manager, said, refusal):
    filled = {"code": "my-own", "severity": "warn", "active": "on", **said}
    assert refusal in text(manager.post(reverse("admin:policies_qualityrule_add"), filled))
    assert QualityRule.objects.exclude(kind="check").count() == 0


def test_what_a_manager_saves_is_asked_and_in_the_ledger(manager):
    filled = {"code": "detector-id", "kind": "required", "attribute": "DetectorID", "severity": "block", "active": "on"}
    assert manager.post(reverse("admin:policies_qualityrule_add"), filled).status_code == 302
    study = make.study()

    assert [one.code for one in quality.decide(study).found] == ["detector-id"]
    assert LedgerLine.objects.filter(verb="add", subject="qualityrule").exists()
