"""The managers' page of what is written into objects: what may be saved."""

import pytest
from django.urls import reverse

from policies.models import CoercionRule, User
from tests import make
from tests.reconciliation.views.browsing import post, signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
ADD = "admin:policies_coercionrule_add"
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
