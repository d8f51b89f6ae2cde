"""A rehearsal judges past studies as a policy would have, says where people decided otherwise, and writes nothing."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from orders.models import Order
from policies.models import LedgerLine, MatchingPolicy, User
from policies.roles import install
from reconciliation import clearance, mapping, rehearsal, release
from reconciliation.automatic import Certainty
from reconciliation.models import Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
DRAFT = Certainty(0.9, 0.5)


@pytest.fixture(autouse=True)
def trusted():
    make.authority("GENERAL HOSPITAL")


@pytest.fixture
def order():
    return make.order(make.patient(ids=[("MRN1", "LOCAL"), ("OUT-7781", "GENERAL HOSPITAL")]))


def rehearsed(draft: Certainty = DRAFT, **asked) -> rehearsal.Rehearsal:
    return rehearsal.rehearse(Study.objects.all(), draft, **asked)


def test_what_people_decided_the_same_does_not_differ(order):
    make.study("mapped", to=order)

    found = rehearsed()

    assert (found.looked, len(found.cases), found.differing) == (1, 1, [])


def test_another_patient_another_order_and_a_rejection_differ(order):
    other = make.order(make.patient("Schmidt^Karl", birth_date=None))
    second = make.order(order.patient, modality="MR", description="MR knee")
    by_people = [make.study("mapped", to=chosen) for chosen in (other, second)] + [make.study("rejected")]

    found = rehearsed()

    differs = {case.study.pk: case.differs for case in found.differing}
    assert [differs[study.pk] for study in by_people] == ["other patient", "other order", "rejected"]


def test_an_order_that_was_generated_for_the_study_was_not_there_to_be_matched(order):
    type(order).objects.update(status="cancelled")
    generated = make.order(order.patient, origin=Order.Origin.GENERATED, requested_procedure_id="R1")
    make.study("mapped", to=generated)

    found = rehearsed()

    assert (found.cases, found.left.total()) == ([], 1)


def test_an_order_that_came_after_the_decision_was_not_there_either(order):
    study = make.study("mapped", to=order)
    later = make.order(order.patient, description="CT CHEST", accession_number="LATER")

    assert [case.order for case in rehearsed().cases] == [order]
    assert later not in [case.order for case in rehearsed().cases]
    assert study.state == "mapped"


def test_a_link_made_by_the_decision_itself_is_not_held_against_it(order):
    other = make.order(make.patient("Schmidt^Karl", birth_date=None))
    study = make.study("mapped", to=other)
    study.findings.update(overridden_by=make.user("releaser"), overridden_at=study.received_at, override_reason="Sure")
    study = Study.objects.get(pk=study.pk)
    make.rule()
    clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"))
    release.release(study, to=[make.destination()], by=make.user("releaser"))

    assert [case.differs for case in rehearsed().cases] == ["other patient"]


def test_what_the_portal_matched_itself_is_no_measure(order):
    policy = make.policy()
    mapping.apply(make.study("held"), by="the portal", intent="reference", order=order, policy=policy)

    assert rehearsed().looked == 0


def test_a_study_that_a_policy_must_leave_is_counted_with_the_reason(order):
    make.study("mapped", to=order, PatientIdentityRemoved="YES")

    found = rehearsed()

    assert list(found.left.values()) == [1]
    assert found.cases == []


def test_time_that_is_up_is_said(order):
    make.study("mapped", to=order)

    assert rehearsed(seconds=1e-9).cut == "Only the newest 0 of 1 studies were judged in the time given."


def test_nothing_is_written(order):
    make.study("mapped", to=order)
    before = (LedgerLine.objects.count(), list(Study.objects.values()))

    rehearsed()

    assert (LedgerLine.objects.count(), list(Study.objects.values())) == before


def test_the_command_answers_in_json_without_a_name(order, capsys):
    study = make.study("mapped", to=order)
    call_command("rehearse", "--source", "General Hospital", "--probability", "0.9", "--json")

    text = capsys.readouterr().out
    said = json.loads(text)
    assert (said["would_match"], said["differ"], said["left"]) == (1, 0, 0)
    assert said["cases"][0]["study"] == str(study.pk)
    assert "Mueller" not in text


def test_a_source_that_is_none_is_refused():
    with pytest.raises(CommandError, match="no source 'Nowhere'"):
        call_command("rehearse", "--source", "Nowhere")


@pytest.fixture
def manager() -> Client:
    install()
    user = make.user("manager")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def saved(client: Client, policy: MatchingPolicy, **said) -> MatchingPolicy:
    form = {"least_probability": "0.99", "least_margin": "0.5", "intent": "reference", "why": "Rehearsed.", **said}
    answer = client.post(f"/admin/policies/matchingpolicy/{policy.pk}/change/", form)
    assert answer.status_code == 302, answer.context["errors"]
    return MatchingPolicy.objects.get(pk=policy.pk)


def test_who_switches_a_policy_on_approves_it_and_who_changes_it_approves_it_anew(manager):
    draft = make.policy(automatic=False, approved_by=None, approved_at=None)

    first = saved(manager, draft, automatic="on")
    second = saved(manager, draft, automatic="on", least_margin="0.7")
    off = saved(manager, draft)

    assert (str(first.approved_by), off.approved_by) == ("Manager", None)
    assert second.approved_at > first.approved_at
    assert LedgerLine.objects.filter(verb="approve", subject_key=str(draft.pk)).count() == 2
    changed = LedgerLine.objects.filter(verb="change", subject_key=str(draft.pk)).order_by("id")
    assert changed[1].detail["new"] == {"least_margin": "0.7"}


def test_the_page_says_how_many_are_held_and_rehearses_what_one_may_see(manager, order):
    policy = make.policy()
    make.study("mapped", to=order)
    make.study("held")

    assert "Rehearse it on past studies" in manager.get(f"/admin/policies/matchingpolicy/{policy.pk}/change/").text
    page = manager.get(f"/admin/policies/matchingpolicy/{policy.pk}/rehearsal/?probability=0.9").text
    assert "Of 1 past studies it would have matched <b>1</b>" in page


def test_a_rehearsal_is_not_for_everybody():
    desk = Client()
    desk.force_login(make.user("desk"))

    assert desk.get(f"/admin/policies/matchingpolicy/{make.policy().pk}/rehearsal/").status_code == 302


def test_aliases_are_entered_with_their_issuer_and_are_in_the_ledger(manager):
    form = {"namespace_id": "GH", "aliases-TOTAL_FORMS": 1, "aliases-INITIAL_FORMS": 0, "aliases-0-name": "GH-OLD"}
    assert manager.post("/admin/policies/assigningauthority/add/", form).status_code == 302

    assert LedgerLine.objects.get(verb="change aliases").detail == {"old": [], "new": ["GH-OLD"]}


def test_a_name_leads_to_one_issuer_only(manager):
    form = {"namespace_id": "GH", "aliases-TOTAL_FORMS": 1, "aliases-INITIAL_FORMS": 0}
    form["aliases-0-name"] = "general hospital"

    answer = manager.post("/admin/policies/assigningauthority/add/", form)
    assert "This is a name of another assigning authority already." in answer.text
