"""The page of what is over, and the calls that do the same."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from policies.models import Destination, Grant, SecondPerson
from reconciliation import deletion, expiry, intake, keeping
from reconciliation.models import Deletion, LegalHold, RejectionNote, Study
from tests import hostile, make
from tests.reconciliation.views.browsing import text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def approver():
    """A browser in which somebody is signed in who may approve deletions."""
    client = Client()
    client.force_login(make.approver())
    return client


def call(client, name, *args, **said):
    return client.post(reverse(f"api:{name}", args=args), said, content_type="application/json")


def test_the_page_shows_rule_day_arithmetic_and_what_stands_against(approver):
    make.due("held", PatientName="Free^Anna")
    study = make.due("held", PatientName="Kept^Karl")
    keeping.hold(study=study, reason="Court 12/26", by=make.approver())
    shown = text(approver.get(reverse("expiry")))

    for words in ("FREE, Anna", "KEPT, Karl", "Outside studies", "+ 1 year = ", "Court 12/26"):
        assert words in shown


def test_ticked_studies_are_approved_and_taken_back(approver):
    one, other = make.due("held"), make.due("rejected")
    said = {"study": [one.pk, other.pk], "reason": "Retention is over"}
    response = approver.post(reverse("approve-deletions"), said, follow=True)
    assert "Approved: 2. They may be taken back until" in text(response)

    made = Deletion.objects.get(study=one)
    approver.post(reverse("take-back-deletion", args=[made.pk]), {"reason": "Asked for"})
    assert dict(Deletion.objects.values_list("study", "state")) == {one.pk: "taken back", other.pk: "approved"}


def test_without_a_reason_or_a_tick_nothing_is_approved(approver):
    study = make.due("held")

    assert approver.post(reverse("approve-deletions"), {"study": [study.pk]}).status_code == 422
    assert approver.post(reverse("approve-deletions"), {"reason": "Over"}).status_code == 422
    assert not Deletion.objects.exists()


@pytest.mark.parametrize("name", ["expiry", "api:expiry", "api:holds", "api:approved-deletions"])
def test_the_page_is_for_those_who_may_approve(name, releaser, approver):
    assert releaser.get(reverse(name)).status_code == 403
    assert approver.get(reverse(name)).status_code == 200


def test_to_open_a_study_is_a_look_and_to_check_what_is_due_is_none(approver):
    study = make.due("held")
    approver.get(f"{reverse('study', args=[study.pk])}?expiry")
    assert Study.objects.get().last_viewed_at is None

    approver.get(reverse("study", args=[study.pk]))
    assert Study.objects.get().last_viewed_at


def test_the_study_page_holds_and_keeps_by_another_rule(approver):
    study, longer = make.due("cleared"), make.rule(name="Trials", period="P15Y", priority=900)
    approver.post(reverse("hold", args=[study.pk]), {"reason": "Court", "whole_patient": "on"})
    assert LegalHold.objects.get().patient == study.local_patient

    said = {"rule": longer.pk, "reason": "A trial", "version": study.version}
    shown = text(approver.post(reverse("keep", args=[study.pk]), said, follow=True))
    assert "+ 15 years = " in shown
    assert "on everything of the patient, Approver" in shown

    approver.post(reverse("lift-hold", args=[LegalHold.objects.get().pk]), {"reason": "Settled"})
    assert LegalHold.objects.get().lifted_why == "Settled"


def test_the_clearing_form_shows_rule_day_and_why(desk):
    make.rule(name="Only MR", modality="MR", priority=1)
    make.rule()
    shown = text(desk.get(reverse("study", args=[make.study("mapped").pk])))

    assert "Policy proposes <b>Outside studies</b>: kept here until" in shown
    assert "+ 1 year = " in shown
    assert "It is for MR, and this study has CT." in shown


def test_a_deleted_study_shows_its_proof(approver):
    study = make.due("cleared")
    decision = expiry.approve(study, reason="Over", by=make.approver())
    assert deletion.carry_out(decision)
    shown = text(approver.get(reverse("study", args=[study.pk])))

    assert "the images were deleted here" in shown
    assert decision.proof.digest in shown
    assert decision.proof.digest not in text(approver.get(reverse("expiry")))


def test_rest_does_what_the_page_does(approver):
    study = make.due("cleared")
    (item,) = approver.get(reverse("api:expiry")).json()["results"]
    assert (item["study"], item["against"], item["rule"]) == (str(study.pk), [], "Outside studies")

    held = call(approver, "hold", study.pk, reason="Court").json()
    refused = call(approver, "approve-deletions", studies=[str(study.pk)], reason="Over").json()
    assert "Legal hold" in refused["refused"][0]["why"]
    assert call(approver, "lift-hold", held["id"], reason="Settled").status_code == 200
    (made,) = call(approver, "approve-deletions", studies=[str(study.pk)], reason="Over").json()["approved"]
    assert approver.get(reverse("api:approved-deletions")).json()["results"][0]["id"] == made["id"]
    assert call(approver, "take-back-deletion", made["id"], reason="No").json()["state"] == "taken back"
    longer = make.rule(name="Trials", period="P15Y", priority=900)
    kept = call(approver, "keep", study.pk, rule=str(longer.pk), reason="A trial").json()
    assert kept["retention"]["name"] == "Trials"


def deleted_by_a_rule_that_tells():
    make.rule(outcome="tell")
    decision = expiry.approve(make.due(), reason="Over", by=make.approver())
    Deletion.objects.update(not_before=timezone.now())
    decision.refresh_from_db()
    deletion.carry_out(decision)
    return RejectionNote.objects.get()


def test_an_archive_that_must_be_told_by_hand_is_on_the_list_and_on_the_page_until_somebody_has(approver):
    note = deleted_by_a_rule_that_tells()
    study = reverse("study", args=[note.delivery.study_id])
    for address in (reverse("expiry"), study):
        assert "Must be told by hand" in text(approver.get(address))
    said = {"how": "Ms Roe, by phone", "at": "study"}
    shown = text(approver.post(reverse("archive-told", args=[note.pk]), said, follow=True))

    assert "told by Approver" in " ".join(shown.split())
    assert "Ms Roe, by phone" in shown
    assert "Must be told by hand" not in text(approver.get(reverse("expiry")))


def test_who_told_it_and_how_must_be_said(approver, releaser):
    note = deleted_by_a_rule_that_tells()

    assert approver.post(reverse("archive-told", args=[note.pk])).status_code == 422
    assert releaser.post(reverse("archive-told", args=[note.pk]), {"how": "By phone"}).status_code == 403
    assert RejectionNote.objects.get().state == "by hand"


def test_rest_lists_what_is_to_be_told_sends_it_and_records_who_told_it(approver):
    note = deleted_by_a_rule_that_tells()
    (listed,) = approver.get(reverse("api:rejection-notes")).json()["results"]
    assert (listed["destination"], listed["state"], listed["title"]) == ("PACS", "by hand", "113039")
    assert call(approver, "tell-archive", note.pk).status_code == 409

    Destination.objects.update(takes_rejection_notes=True)
    assert call(approver, "tell-archive", note.pk).json()["state"] == "waiting"
    assert call(approver, "archive-told", note.pk, how="By phone").json()["told_how"] == "By phone"
    assert approver.get(reverse("api:rejection-notes")).json()["results"] == []


def test_what_could_not_be_read_is_told_with_its_age(approver):
    make.spooled_bytes(hostile.CHANCE)
    intake.index_all()

    assert "1 unreadable arrival" in text(approver.get(reverse("expiry")))


@pytest.mark.parametrize("limit", [{"modality": "MR"}, {"intent": "read"}, {"category": "teleradiology"}])
def test_lists_are_narrowed_by_the_whole_grant(limit):
    study, client = make.due(), Client()
    keeping.hold(study=study, reason="Court", by=make.approver())
    client.force_login(make.approver("narrow"))
    assert client.get(reverse("api:holds")).json()["results"]
    Grant.objects.filter(group__name="group of narrow").update(**limit)

    for name in ("expiry", "holds", "approved-deletions"):
        assert client.get(reverse(f"api:{name}")).json()["results"] == [], name


# --- a second person -------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting():
    SecondPerson.objects.create(power="delete")
    return expiry.approve(make.due(), reason="Retention is over", by=make.approver("first"))


def test_the_page_shows_what_waits_and_the_second_person_agrees_to_what_they_ticked(waiting, approver):
    assert "Waits for a second person" in text(approver.get(reverse("expiry")))
    response = approver.post(reverse("agree-deletions"), {"decision": [waiting.pk]}, follow=True)

    assert "Agreed: 1. They may be taken back until" in text(response)
    assert str(Deletion.objects.get().seconded_by) == "Approver"


def test_the_first_person_is_told_why_they_cannot_agree(waiting):
    client = Client()
    client.force_login(make.approver("first"))
    assert "You approved this yourself" in text(client.get(reverse("expiry")))
    response = client.post(reverse("agree-deletions"), {"decision": [waiting.pk]}, follow=True)

    assert "Not agreed: You approved this yourself" in text(response)
    assert Deletion.objects.get().waits


def test_over_rest_the_same(waiting, approver):
    listed = approver.get(reverse("api:approved-deletions")).json()["results"]
    assert [(one["waits"], one["agreed_by"]) for one in listed] == [(True, None)]
    stranger = "00000000-0000-0000-0000-000000000000"
    said = call(approver, "agree-deletions", deletions=[str(waiting.pk), stranger]).json()

    assert [(one["waits"], one["agreed_by"]) for one in said["agreed"]] == [(False, "Approver")]
    assert said["refused"] == [{"deletion": stranger, "why": "There is no such approval."}]


def test_the_study_page_says_that_its_deletion_waits(waiting, approver):
    page = text(approver.get(reverse("study", args=[waiting.study_id]) + "?expiry"))

    assert "it waits for a second person to agree" in page
