"""A draft is rehearsed on studies, and whoever saves a rule is told which studies held now it touches."""

import pytest
from django.urls import reverse

from policies import versions
from policies.drafts import Wanted
from policies.models import (
    CoercionRule,
    Destination,
    MatchingPolicy,
    ProcedureRule,
    QualityRule,
    RetentionRule,
    SecondPerson,
    Source,
    User,
)
from reconciliation import topics, whatif
from reconciliation.models import Study
from tests import make
from tests.reconciliation.views.browsing import signed_in, text

pytestmark = pytest.mark.django_db


def staff(name: str, **columns):
    User.objects.filter(pk=make.user(name).pk).update(is_staff=True, **columns)
    return make.user(name)


def rehearsed(*wanted: Wanted) -> list[tuple]:
    found = whatif.rehearse(Study.objects.all(), wanted)
    return [(case.study.pk, case.old, case.new, case.open) for case in found.cases]


def test_a_new_retention_rule_names_the_studies_that_it_would_change():
    make.rule(period="P1Y")
    clinic = make.source("City Clinic")
    held, delivered, other = make.study(of=clinic), make.study("delivered", of=clinic), make.study()
    new = RetentionRule(name="Short", period="P90D", priority=1, source=clinic)

    told = [(pk, _rule(old), _rule(new), is_open) for pk, old, new, is_open in rehearsed(Wanted.of(new))]
    assert set(told) == {
        (held.pk, "Outside studies", "Short", True),
        (delivered.pk, "Outside studies", "Short", False),
    }
    assert other.pk not in {pk for pk, *_ in told}


def _rule(words: str) -> str:
    """Its name; after it stands how the last day was worked out."""
    return words.split(":")[0]


def test_a_rule_that_is_only_called_otherwise_changes_nothing():
    rule = make.rule(period="P1Y")
    make.study()
    rule.name = "Outside studies, one year"

    assert rehearsed(Wanted.of(rule)) == []


def test_a_deleted_rule_leaves_its_studies_to_the_next():
    rule = make.rule(period="P1Y")
    study = make.study()

    ((pk, old, new, is_open),) = rehearsed(Wanted.of(rule, deleted=True))
    assert (pk, _rule(old), new, is_open) == (study.pk, "Outside studies", "", True)


def test_a_line_of_the_procedure_map_is_rehearsed():
    line = ProcedureRule(procedure=make.procedure(), words="chest")
    study = make.study()

    assert rehearsed(Wanted.of(line)) == [(study.pk, "", "Outside CT, import (OUTCT)", True)]


def test_a_consent_rule_that_asks_for_more_is_rehearsed():
    rule, study = make.consent_rule(), make.study()
    rule.suffices = ["guardian"]

    ((pk, old, new, is_open),) = rehearsed(Wanted.of(rule))
    assert (pk, is_open) == (study.pk, True)
    assert old != new


def test_a_graver_quality_rule_is_rehearsed():
    study = make.study(PatientBirthDate="")
    rule = QualityRule.objects.get(code="birth_date_missing")
    rule.severity = "block"

    ((pk, _old, new, is_open),) = rehearsed(Wanted.of(rule))
    assert (pk, is_open) == (study.pk, True)
    assert "birth date" in new


def test_a_matching_policy_and_a_destination_are_rehearsed():
    make.authority("GENERAL HOSPITAL")
    patient = make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")])
    make.order(patient)
    study = make.study()
    policy = MatchingPolicy(source=Source.objects.get(), automatic=True, least_probability=0.9, least_margin=0.1)
    closed = make.destination()
    closed.active = False

    assert rehearsed(Wanted.of(policy)) == [(study.pk, "", "without a person", True)]
    assert rehearsed(Wanted.of(closed)) == [(study.pk, "PACS", "", True)]


def test_a_rehearsal_is_bounded_in_time_and_says_so():
    make.study()
    make.study()
    found = whatif.rehearse(Study.objects.all(), [Wanted.of(RetentionRule(name="x", period="P1D"))], seconds=1e-9)

    assert found.looked == 0
    assert "Only the newest 0 of 2" in found.cut


def test_nothing_is_written(django_assert_num_queries):
    rule = make.rule()
    for _ in range(3):
        make.study()
    rule.period = "P9Y"

    with django_assert_num_queries(4):  # count, studies, proposals, rules
        whatif.rehearse(Study.objects.all(), [Wanted.of(rule)])


def change(who, rule, **said):
    plain = {"priority": 100, "clock": "received", "outcome": "delete", "active": "on"}
    form = {"name": rule.name, **plain, "why": "The law.", "period": "P5Y", **said}
    return signed_in(who).post(reverse("admin:policies_retentionrule_change", args=[rule.pk]), form)


def test_a_change_that_touches_held_studies_is_asked_about_once():
    rule, manager = make.rule(period="P1Y"), staff("manager")
    make.study()
    make.study()
    asked = text(change(manager, rule))

    assert "Affects 2 studies held now" in asked
    assert "<td>P1Y</td><td>P5Y</td>" in asked
    assert RetentionRule.objects.get().period == "P1Y"

    assert change(manager, rule, _confirmed="1").status_code == 302
    assert RetentionRule.objects.get().period == "P5Y"


def test_a_change_that_touches_nothing_is_saved_at_once():
    rule, manager = make.rule(period="P1Y"), staff("manager")
    make.study("delivered")

    assert change(manager, rule).status_code == 302
    assert RetentionRule.objects.get().period == "P5Y"


def test_rehearsing_saves_nothing_and_shows_past_studies_too():
    rule, manager = make.rule(period="P1Y"), staff("manager")
    make.study("delivered")
    shown = text(change(manager, rule, _rehearse="1"))

    assert "Outside studies (P5Y)" in shown
    assert RetentionRule.objects.get().period == "P1Y"


def test_a_draft_is_rehearsed_on_its_page():
    rule, manager = make.rule(period="P1Y"), staff("manager")
    versions.adopt(why="Test.")
    make.study()
    page = change(manager, rule, draft="on").url
    shown = text(signed_in(manager).get(page, {"rehearse": "1"}))

    assert "Outside studies (P5Y)" in shown
    assert "held now that it affects: <b>1</b>" in shown


def test_studies_out_of_sight_are_not_shown():
    rule = make.rule(period="P1Y")
    lee = staff("lee", is_superuser=True)
    make.user("lee", grants=[("view", make.source("City Clinic"), None)])
    make.study()

    assert change(lee, rule).status_code == 302
    assert Destination.objects.count() == 0


LABEL = {"name": "Outside", "kind": "label", "attribute": "StudyDescription", "how": "prefix", "text": "OUTSIDE"}


def test_a_coercion_rule_names_the_studies_into_which_it_would_write(data_dir):
    study = make.study()
    make.study(of=make.source("City Clinic"))
    rule = CoercionRule(**LABEL, source=study.source)

    ((pk, old, new, is_open),) = rehearsed(Wanted.of(rule))
    assert (pk, is_open) == (study.pk, True)
    assert "CT CHEST" in old
    assert new == "Study Description: OUTSIDE CT CHEST."


def test_a_coercion_rule_that_is_not_in_use_needs_no_study_to_be_read(monkeypatch):
    make.study()
    monkeypatch.setattr("reconciliation.samples.read", None)
    found = whatif.rehearse(Study.objects.all(), [Wanted.of(CoercionRule(**LABEL, active=False))])

    assert (found.cases, found.looked) == ([], 0)
    assert found.silent == "Nothing that decides about a study is changed by this."


def test_a_prefix_names_the_numbers_under_which_studies_would_come_in(data_dir):
    source = make.source("City Clinic", category="teleradiology")
    study = make.study(of=source)
    prefix = {"name": "CC", "kind": "prefix", "text": "CC-", "issuer": "LOCAL", "category": "teleradiology"}

    ((pk, _old, new, _open),) = rehearsed(Wanted.of(CoercionRule(**prefix, source=source)))
    assert (pk, new) == (study.pk, "Patient ID: CC-OUT-7781.")


def test_another_issuer_of_a_sender_would_be_written_into_its_studies(data_dir):
    make.order(make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")]))
    study = make.study()
    source = Source.objects.get()
    source.issuer = "GH2"

    ((pk, old, new, _open),) = rehearsed(Wanted.of(source))
    assert pk == study.pk
    assert ("GENERAL HOSPITAL" in old, "GH2" in new) == (True, True)


def test_a_sender_in_quarantine_is_matched_by_people():
    make.authority("GENERAL HOSPITAL")
    make.order(make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")]))
    study = make.study()
    make.policy(study.source)
    source = Source.objects.get()
    source.trust = "quarantine"

    assert rehearsed(Wanted.of(source)) == [(study.pk, "without a person", "", True)]


def test_a_second_person_names_the_releases_that_would_need_one():
    make.destination()
    read = make.study("cleared")
    make.study("released")
    rule = SecondPerson(power="release", modality="CT")

    cases = rehearsed(Wanted.of(rule))
    assert {(pk, new, is_open) for pk, _old, new, is_open in cases if is_open} == {
        (read.pk, "release studies → PACS", True)
    }
    assert rehearsed(Wanted.of(SecondPerson(power="release", modality="MR"))) == []


@pytest.mark.parametrize("kind", versions.KINDS)
def test_of_every_kind_the_page_says_what_hangs_on_it(kind):
    """Either studies can be rehearsed, or a sentence says why there is nothing to rehearse."""
    assert bool(topics.asking([kind])) != (kind in topics.SILENT)


def test_a_page_on_which_no_decision_hangs_says_so_instead_of_a_number():
    manager = signed_in(staff("manager"))
    shown = text(manager.get(reverse("admin:policies_reason_add")))

    assert "No decision about a study hangs on it." in shown
    assert "Rehearse" not in shown
