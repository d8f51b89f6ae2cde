"""The managers' page of what is written into objects: what may be saved, and trying a draft on a held study."""

import pytest
from django.urls import reverse

from policies.models import CoercionRule, User
from tests import make
from tests.reconciliation.views.browsing import post, signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
ADD, TRY = "admin:policies_coercionrule_add", "admin:policies_coercionrule_try"
LABEL = {"name": "Outside", "kind": "label", "attribute": "StudyDescription", "how": "prefix", "text": "OUTSIDE"}


@pytest.fixture
def manager():
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    return signed_in(make.user("manager"))


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"attribute": "PatientID"}, "Patient ID is set by IHE RAD-61"),
        ({"attribute": "AccessionNumber"}, "no rule can override that"),
        ({"attribute": "SliceLocation"}, "may differ from object to object"),
        ({"text": ""}, "Write the label"),
        ({"attribute": "StudyID", "text": "OUTSIDE OF THE HOSPITAL"}, "23 characters and DICOM allows 16"),
        ({"how": "local"}, "does not go with the kind"),
        ({"kind": "wins", "how": "local", "attribute": "InstitutionName"}, "The order says nothing of this"),
        ({"kind": "prefix", "how": "", "attribute": ""}, "A prefix is for one source and for teleradiology"),
        ({"kind": "prefix", "how": ""}, "leave this empty"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_a_sentence(manager, said, refusal):
    filled = {**LABEL, "priority": 100, "active": "on", **said}

    assert refusal in text(manager.post(reverse(ADD), filled))
    assert not CoercionRule.objects.exists()


def test_a_draft_is_tried_on_a_study_and_nothing_is_saved(manager):
    draft = CoercionRule.objects.create(**LABEL, active=False)
    CoercionRule.objects.create(**LABEL | {"name": "Theirs"}, source=make.source("City Clinic"))
    study = make.study()
    shown = text(manager.post(reverse(TRY), {"study": f"http://portal/studies/{study.pk}/", "rule": draft.pk}))

    assert "<td>CT CHEST</td><td><b>OUTSIDE CT CHEST</b></td><td>Policy: Outside.</td>" in shown
    assert "It is for another source." in shown
    assert not CoercionRule.objects.get(pk=draft.pk).active


def test_several_studies_are_offered_to_choose_from(manager):
    one, other = make.study(), make.study()
    shown = text(manager.post(reverse(TRY), {"study": "Mueller"}))

    assert f'value="{one.pk}"' in shown
    assert f'value="{other.pk}"' in shown
    assert "No rule fits this study" in text(manager.post(reverse(TRY), {"study": str(one.pk)}))


def test_a_study_that_one_may_not_see_is_not_there(manager):
    assert "There is no such held study" in text(manager.post(reverse(TRY), {"study": "Nobody"}))


def test_the_desk_imports_a_study_that_is_read_for_others_by_its_page():
    source = make.source("City Clinic", category="teleradiology")
    prefix = {"name": "CC", "kind": "prefix", "text": "CC-", "issuer": "LOCAL", "category": "teleradiology"}
    CoercionRule.objects.create(**prefix, source=source)
    study, desk = make.study(of=source), signed_in(make.user("desk"))
    assert "CC-OUT-7781" in text(desk.get(reverse("study", args=[study.pk])))

    response = post(desk, "prefix", study)
    page = text(desk.get(response.url))
    choice = response.url.rpartition("choice=")[2].replace("%3A", ":")
    post(desk, "map", study, choice=choice, intent="read")
    study.refresh_from_db()

    assert "Import without an order" in page
    assert study.mapping.local["PatientID"] == "CC-OUT-7781"


def test_the_interface_gives_the_record_under_the_prefix():
    source = make.source("City Clinic", category="teleradiology")
    prefix = {"name": "CC", "kind": "prefix", "text": "CC-", "issuer": "LOCAL", "category": "teleradiology"}
    CoercionRule.objects.create(**prefix, source=source)
    study, desk = make.study(of=source), signed_in(make.user("desk"))
    said = desk.post(reverse("api:prefix", args=[study.pk])).json()

    assert said["identifiers"][0]["value"] == "CC-OUT-7781"
    assert desk.get(reverse("api:preview", args=[study.pk]), {"patient": said["id"]}).status_code == 200
