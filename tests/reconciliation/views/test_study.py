"""The study page: whose it is at the moment, what is laid side by side, and who may see it."""

import pytest
from django.urls import reverse
from django.utils import timezone

from policies.models import Power, Procedure
from reconciliation import lease, matching
from reconciliation.models import Delivery, Study
from tests import make
from tests.reconciliation.test_intake import again
from tests.reconciliation.views.browsing import VERBS, post, signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

PARTS = ("study", "changes", "deliveries")


def test_someone_elses_lease_bars_every_step_and_says_whose(desk):
    study, lee = make.study("held"), make.user("lee", group="Reconciliation")
    lease.take(study, by=lee)

    page = text(desk.get(reverse("study", args=[study.pk])))
    response = post(desk, "map", study, choice=f"order:{make.order().pk}", intent="read")

    assert "Lee has this study open since" in page
    assert response.status_code == 409


def test_a_study_is_taken_over_with_a_reason_only(desk):
    study, lee = make.study("held"), make.user("lee", group="Reconciliation")
    lease.take(study, by=lee)
    address = reverse("lease", args=[study.pk])

    assert desk.post(address, {"reason": " "}).status_code == 409
    assert desk.post(address, {"reason": "Lee has gone home"}).status_code == 302

    study.refresh_from_db()
    assert study.lease_by.username == "desk"


def test_a_page_that_is_open_takes_the_lease_and_gives_it_back(desk):
    study = make.study("held")
    address = reverse("lease", args=[study.pk])

    taken = desk.post(address, {"version": study.version}, headers={"HX-Request": "true"})
    study.refresh_from_db()
    holder = lease.holder(study)
    desk.post(address, {"leave": "1"})
    study.refresh_from_db()

    assert "Yours until" in text(taken)
    assert holder.username == "desk"
    assert lease.holder(study) is None


def test_a_lease_that_changes_the_version_loads_a_page_just_opened_anew(desk):
    study, lee = make.study("held"), make.user("lee", group="Reconciliation")
    lease.take(study, by=lee)
    Study.objects.filter(pk=study.pk).update(lease_until=timezone.now())
    address, seen = reverse("lease", args=[study.pk]), {"version": study.version}

    opened = desk.post(address, seen, headers={"HX-Request": "true"})
    later = desk.post(address, {**seen, "shown": "mine"}, headers={"HX-Request": "true"})

    assert opened["HX-Refresh"] == "true"
    assert "HX-Refresh" not in later
    assert "Changed since you opened it" in text(later)


def test_who_may_only_look_is_told_so_and_gets_no_lease():
    study = make.study("held")
    auditor = signed_in(make.user("auditor"))

    page = text(auditor.get(reverse("study", args=[study.pk])))

    assert "Read only" in page
    assert 'hx-trigger="load' not in page.split('id="lease"')[1].split(">")[0]
    assert "Your role may not reconcile studies." in page


def test_a_destination_out_of_reach_is_shown_with_the_reason():
    here, there = make.destination("PACS", offered=True), make.destination("VNA", ae_title="VNA")
    study = make.study("cleared")
    grants = [(Power.VIEW, None, None), (Power.RELEASE, None, here)]
    officer = signed_in(make.user("officer", grants=grants))

    page = text(officer.get(reverse("study", args=[study.pk])))

    assert f'value="{here.pk}" checked' in page
    assert f'value="{there.pk}" disabled' in page
    assert "Your role may not release studies to VNA." in page


def test_nothing_is_chosen_for_the_person(desk):
    order = make.order(make.patient(ids=[("OUT-7781", "GENERAL HOSPITAL")]))
    study = make.study("held")

    page = text(desk.get(reverse("study", args=[study.pk])))

    radios = page.split('<form id="map-form"')[1].split("</form>")[0]
    assert f'value="order:{order.pk}"' in page
    assert " checked" not in radios
    assert " checked" not in page.split(f'value="order:{order.pk}"')[1].split(">")[0]


def test_evidence_is_laid_side_by_side_with_its_rule(desk):
    make.order(make.patient("Müller^Anna", ids=[("OUT-7781", "GENERAL HOSPITAL")]))
    study = make.study("held")
    matching.propose(study)

    page = text(desk.get(reverse("study", args=[study.pk])))

    assert "Identifier: same number of the same issuer" in page
    assert "OUT-7781 (GENERAL HOSPITAL)" in page
    assert "Family name: same if ue, oe, ae stand for ü, ö, ä" in page or "Family name: same" in page


def test_an_order_that_has_a_study_says_so(desk):
    order = make.order(make.patient(ids=[("OUT-7781", "GENERAL HOSPITAL")]))
    make.study("mapped", to=order)
    study = make.study("held")

    assert "This order already has a study." in text(desk.get(reverse("study", args=[study.pk])))


def test_changes_of_a_choice_are_shown_before_it_is_made(desk):
    study, order = make.study("held"), make.order()
    address = reverse("changes", args=[study.pk])

    part = text(desk.get(address, {"choice": f"order:{order.pk}"}, headers={"HX-Request": "true"}))
    plain = desk.get(address, {"choice": f"order:{order.pk}"})

    assert order.accession_number in part
    assert "not decided yet" in part
    assert f"choice=order%3A{order.pk}" in plain.url
    study.refresh_from_db()
    assert study.state == "held"


@pytest.mark.parametrize("name", [*VERBS, *PARTS])
def test_a_study_of_another_source_does_not_exist(name):
    study = make.study("held")
    elsewhere = make.source("City Clinic")
    grants = [(power, elsewhere, None) for power in (Power.VIEW, Power.RECONCILE, Power.RELEASE, Power.REJECT)]
    stranger = signed_in(make.user("stranger", grants=grants))
    ask = stranger.get if name in PARTS else stranger.post

    response = ask(reverse(name, args=[study.pk]), {"version": study.version, "choice": "order:x"})

    assert response.status_code == 404


def test_addresses_and_titles_name_nobody(desk):
    study = make.study("held")

    page = text(desk.get(reverse("study", args=[study.pk])))

    title = page.split("<title>")[1].split("</title>")[0]
    assert "mueller" not in title.lower()
    assert all("mueller" not in part.split('"')[0].lower() for part in page.split('href="')[1:])


def test_what_speaks_against_a_choice_is_said_before_it_is_made(desk):
    study, order = make.study("held", PatientSex="M"), make.order()
    address = reverse("changes", args=[study.pk])

    part = text(desk.get(address, {"choice": f"order:{order.pk}"}, headers={"HX-Request": "true"}))

    assert 'class="objections" role="alert"' in part
    assert "another sex" in part


def test_the_evidence_of_a_decision_is_open_when_something_differs(releaser):
    study = make.study("mapped")

    page = text(releaser.get(reverse("study", args=[study.pk])))

    decided = page.split('aria-label="The mapping"')[1].split("</article>")[0]
    assert "<details open>" in decided
    assert "Family name: same" in decided
    assert "Modality: same" in decided
    assert study.mapping.klass in decided


def test_a_later_part_says_which_it_is_and_where_the_first_is_filed(desk):
    first = make.study("released")
    second = make.received(make.dataset(StudyInstanceUID=first.study_instance_uid))

    page = text(desk.get(reverse("study", args=[second.pk])))

    assert "Part 2 of this study." in page
    assert f'is filed to <b>MUELLER, Anna</b>, <span class="figures">{first.order.accession_number}</span>' in page


def test_a_first_part_of_a_source_out_of_sight_is_not_spoken_of():
    first = make.study("released")
    elsewhere = make.source("City Clinic")
    second = make.received(make.dataset(StudyInstanceUID=first.study_instance_uid), of=elsewhere)
    stranger = signed_in(make.user("stranger", grants=[(Power.VIEW, elsewhere, None)]))

    page = text(stranger.get(reverse("study", args=[second.pk])))

    assert "Part 2 of this study." in page
    assert str(first.pk) not in page
    assert first.order.accession_number not in page


def test_the_only_procedure_for_the_modality_is_ready_to_be_taken(desk):
    study, fitting = make.study("held"), make.procedure(modality="CT")
    patient = make.patient()
    address = reverse("study", args=[study.pk])

    assert f'value="{fitting.pk}" selected' in text(desk.get(address, {"choice": f"patient:{patient.pk}"}))
    Procedure.objects.create(code="CT2", meaning="Another CT", modality="CT")
    assert f'value="{fitting.pk}" selected' not in text(desk.get(address, {"choice": f"patient:{patient.pk}"}))


def test_rejecting_is_not_spoken_of_to_those_who_may_not(desk, releaser):
    address = reverse("study", args=[make.study("held").pk])

    assert "reject" not in text(desk.get(address)).lower()
    assert "or reject the study" in text(releaser.get(address))


def test_a_poll_takes_no_lease_for_a_step_that_is_anothers(desk):
    study = make.study("cleared")

    part = text(desk.post(reverse("lease", args=[study.pk]), {"version": 1}, headers={"HX-Request": "true"}))

    study.refresh_from_db()
    assert study.lease_by is None
    assert "Read only." in part


def test_a_delivery_in_trouble_is_told_in_the_bar_and_in_each_poll(releaser):
    study = make.study("released")
    Delivery.objects.update(attempts=1, problem="ARCHIVE does not answer.")
    where = reverse("deliveries", args=[study.pk])

    page = text(releaser.get(reverse("study", args=[study.pk])))
    part = text(releaser.get(where, {"state": "released"}, headers={"HX-Request": "true"}))

    assert "delayed. ARCHIVE does not answer. Tried once, again at" in page
    assert "Nothing is left to do" not in page
    assert 'id="way" class="way" hx-swap-oob="true"' in part


def doubled() -> Study:
    """Held, with one object that came with two contents."""
    ds = make.dataset()
    study = make.received(ds, again(ds, SeriesDescription="Altered"))
    for step in make._STEPS["held"]:
        step(study, None)
    return Study.objects.get(pk=study.pk)


def test_two_contents_are_decided_where_the_changes_are_shown(releaser):
    study, order = doubled(), make.order()
    address = f"{reverse('study', args=[study.pk])}?choice=order:{order.pk}"
    page, chosen = text(releaser.get(address)), text(releaser.get(f"{address}&doubled=both"))
    response = post(releaser, "map", study, choice=f"order:{order.pk}", intent="reference", doubled="both")

    assert "came with two contents under one SOP Instance UID. Which goes out?" in page
    assert "of what came later; references stay with what came first" in chosen
    assert response.status_code == 302
    assert "2.25." in text(releaser.get(reverse("study", args=[study.pk])))


def test_what_stays_here_is_said_among_the_changes(releaser):
    study = doubled()
    address = f"{reverse('study', args=[study.pk])}?choice=order:{make.order().pk}&doubled=first"

    assert "stays here, is not sent" in text(releaser.get(address))


def test_who_may_not_override_sees_the_question_and_cannot_answer_it(desk):
    study, order = doubled(), make.order()
    page = text(desk.get(f"{reverse('study', args=[study.pk])}?choice=order:{order.pk}"))

    assert "must hold the power to override" in page
    assert post(desk, "map", study, choice=f"order:{order.pk}", intent="read", doubled="both").status_code == 403


def test_a_study_with_good_uids_is_asked_nothing_about_them(releaser):
    page = text(releaser.get(f"{reverse('study', args=[make.study('held').pk])}?choice=order:{make.order().pk}"))

    assert 'name="doubled"' not in page
    assert 'name="new_uids"' not in page
