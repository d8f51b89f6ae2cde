"""A rule is tried on a study as it is typed in: before and after are shown, and nothing is saved."""

import pytest
from django.urls import reverse

from policies import audit, versions
from policies.drafts import Wanted
from policies.models import (
    CoercionRule,
    ConsentRule,
    LedgerLine,
    PolicyDraft,
    PolicyVersion,
    QualityRule,
    RetentionRule,
    SecondPerson,
    User,
)
from reconciliation import tryout
from tests import make
from tests.reconciliation.views.browsing import signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
LABEL = {"name": "Outside", "kind": "label", "attribute": "StudyDescription", "how": "prefix", "text": "OUTSIDE"}
RULE = {"name": "Short", "period": "P90D", "priority": "1", "clock": "received", "outcome": "delete", "active": "on"}


@pytest.fixture
def manager():
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    return signed_in(make.user("manager"))


def tried(client, kind: str, said: dict, *, of=None, study="", **more) -> str:
    page = reverse(f"admin:policies_{kind}_change", args=[of.pk]) if of else reverse(f"admin:policies_{kind}_add")
    return text(client.post(page, {**said, "tryout-study": str(study), "_tryout": "Try", **more}))


def test_a_new_rule_is_tried_on_the_study_that_came_last(manager):
    make.rule(period="P1Y")
    make.study()
    last = make.study()
    shown = tried(manager, "retentionrule", RULE)

    assert reverse("study", args=[last.pk]) in shown
    assert "comes out otherwise" in shown
    assert "<b>Short: Received on" in shown


def test_nothing_is_saved_whatever_else_is_pressed(manager):
    rule, study = make.rule(period="P1Y"), make.study()
    versions.adopt(why="Test.")
    before = PolicyVersion.objects.count()
    pressed = {"_save": "1", "_saveasnew": "1", "_confirmed": "1", "draft": "on", "why": "x"}
    tried(manager, "retentionrule", {**RULE, "name": rule.name}, of=rule, **pressed)
    tried(manager, "retentionrule", RULE, **pressed)

    assert RetentionRule.objects.values_list("period", flat=True).get() == "P1Y"
    assert (PolicyVersion.objects.count(), PolicyDraft.objects.count()) == (before, 0)
    assert LedgerLine.objects.filter(actor="Manager").values_list("verb", "subject_key").get() == (
        audit.LOOK,
        str(study.pk),
    )


def test_what_is_typed_in_stays_on_the_page(manager):
    rule = make.rule(period="P1Y")
    make.study()

    assert 'value="P90D"' in tried(manager, "retentionrule", RULE, of=rule)


def test_a_rule_that_cannot_be_says_what_is_wrong_with_it(manager):
    make.study()
    shown = tried(manager, "retentionrule", {**RULE, "period": "ninety days"})

    assert "Write the period like P5Y" in shown
    assert "It cannot be tried yet" in shown
    assert "Tried on" not in shown


def test_a_label_is_shown_attribute_by_attribute(manager):
    CoercionRule.objects.create(**LABEL | {"name": "Theirs"}, source=make.source("City Clinic"))
    study = make.study()
    shown = tried(manager, "coercionrule", {**LABEL, "priority": 100, "active": "on"}, study=study.pk)

    assert "<td>CT CHEST</td><td>stays</td><td><b>OUTSIDE CT CHEST</b></td><td>Policy: Outside.</td>" in shown
    assert "It is for another source." in shown


def test_a_rule_for_a_purpose_is_tried_as_if_the_study_had_it(manager):
    make.study()
    said = {**LABEL, "priority": 100, "active": "on", "intent": "read"}

    assert "the same as now" in tried(manager, "coercionrule", said)
    assert "OUTSIDE CT CHEST" in tried(manager, "coercionrule", said, **{"tryout-intent": "read"})


def test_several_studies_are_offered_to_choose_from(manager):
    one, other = make.study(), make.study()
    shown = tried(manager, "retentionrule", RULE, study="Mueller")
    assert f'value="{one.pk}"' in shown
    assert f'value="{other.pk}"' in shown

    chosen = tried(manager, "retentionrule", RULE, study="Mueller", _tryout=str(one.pk))
    assert reverse("study", args=[one.pk]) in chosen


def test_a_study_that_one_may_not_see_is_not_there():
    study = make.study()
    User.objects.filter(pk=make.user("lee").pk).update(is_staff=True, is_superuser=True)
    lee = signed_in(make.user("lee", grants=[("view", make.source("City Clinic"), None)]))

    assert "There is no such study" in tried(lee, "retentionrule", RULE, study=study.pk)


def outcome(rule, **more):
    (found,) = tryout.outcomes(make.study(), [Wanted.of(rule)], **more)
    return found.differs, found.new.words


def test_each_kind_of_rule_says_what_it_would_decide():
    consent = ConsentRule(name="Strict", priority=1, suffices=["guardian"])
    quality = QualityRule(code="no-part", kind="required", attribute="ProtocolName", sentence="No protocol.")

    assert outcome(consent)[0]
    assert outcome(SecondPerson(power="release")) == (True, "release studies")
    found = {one.label: one for one in tryout.outcomes(make.study(), [Wanted.of(quality)])}
    assert "No protocol." in found["Findings"].new.words
