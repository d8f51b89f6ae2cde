"""Why a study is here: its source says so, the desk may say otherwise until it is cleared."""

import pytest

from policies import audit
from policies.models import Category
from policies.problems import Conflict, Denied, Invalid
from reconciliation import category
from reconciliation.models import Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


def test_a_study_begins_as_what_its_source_sends():
    study = make.study(of=make.source("Night reading", category=Category.TELERADIOLOGY))

    assert study.category == Category.TELERADIOLOGY


def test_the_desk_says_otherwise_and_the_ledger_keeps_both():
    study = make.study()
    category.assign(study, Category.SECOND_OPINION, by=make.user("desk"))

    line = audit.history(study).first()
    assert Study.objects.get(pk=study.pk).category == Category.SECOND_OPINION
    assert (line.verb, line.detail) == ("change category", {"old": "incorporated", "new": "second opinion"})


def test_saying_the_same_again_changes_nothing():
    study = make.study()
    category.assign(study, study.category, by=make.user("desk"))

    assert Study.objects.get(pk=study.pk).version == study.version


@pytest.mark.parametrize(
    ("state", "who", "said", "refusal"),
    [
        ("held", "frontdesk", Category.TELERADIOLOGY, Denied),
        ("held", "desk", "anything", Invalid),
        ("cleared", "desk", Category.TELERADIOLOGY, Conflict),
    ],
)
def test_what_cannot_be_said_is_refused(state, who, said, refusal):
    study = make.study(state)

    with pytest.raises(refusal):
        category.assign(study, said, by=make.user(who))


def test_what_was_seen_in_another_version_is_not_changed():
    study = make.study()
    Study.objects.filter(pk=study.pk).update(version=study.version + 1)

    with pytest.raises(Conflict):
        category.assign(study, Category.TELERADIOLOGY, by=make.user("desk"))


def test_desk_and_rest_change_it(client):
    study = make.study()
    client.force_login(make.user("desk"))
    client.post(f"/studies/{study.pk}/category/", {"version": study.version, "category": "second opinion"})
    here = f"/api/studies/{study.pk}/"
    said = {"category": "teleradiology", "version": study.version + 1}

    answer = client.post(f"{here}category/", said, content_type="application/json")

    assert client.get(f"/studies/{study.pk}/").status_code == 200
    assert answer.json()["category"] == client.get(here).json()["category"] == "teleradiology"
