"""The desk's pages as a browser without scripts sees them: every form works as a plain POST, every refusal is a page."""

from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from policies.models import Power, User
from reconciliation import lease, matching
from reconciliation.models import Delivery, Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

VERBS = (
    "lease",
    "candidates",
    "settle",
    "generate",
    "map",
    "unmap",
    "clear",
    "release",
    "reject",
    "reinstate",
    "retry",
)
PARTS = ("study", "changes", "deliveries")
CONSENT = {"basis": "patient", "given_by": "Anna Mueller", "evidence": "Form 12", "scope": ["care"]}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def desk() -> Client:
    return signed_in(make.user("desk"))


@pytest.fixture
def releaser() -> Client:
    return signed_in(make.user("releaser"))


def post(client: Client, verb: str, study: Study, **said):
    return client.post(reverse(verb, args=[study.pk]), {"version": study.version, **said})


def text(response) -> str:
    return " ".join(response.content.decode().split())


def test_a_study_walks_through_the_gate_by_plain_forms(desk, releaser):
    study, order, rule = make.study("held"), make.order(), make.rule()
    make.reason()
    to = make.destination()
    steps = [
        (desk, "map", {"choice": f"order:{order.pk}", "intent": "reference"}),
        (desk, "clear", CONSENT),
        (releaser, "release", {"to": [to.pk]}),
    ]

    for client, verb, said in steps:
        response = post(client, verb, study, **said)
        assert response.status_code == 302
        study.refresh_from_db()

    assert (study.state, study.order, study.retention) == ("released", order, rule)
    assert "Released to PACS. 1 delivery waiting." in text(releaser.get(response.url))


def test_a_choice_of_a_patient_alone_maps_without_an_order(desk):
    study, patient = make.study("held"), make.patient()

    post(desk, "map", study, choice=f"patient:{patient.pk}", intent="read")

    study.refresh_from_db()
    assert (study.state, study.local_patient, study.order) == ("mapped", patient, None)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"intent": "read"}, "Choose an order or a patient first."),
        ({"choice": "order:nonsense", "intent": "read"}, "not known here any more"),
        ({"choice": "patient:7a0c4d5e-0000-4000-8000-000000000000", "intent": "read"}, "not known here any more"),
        ({"choice": "order"}, "Say whether the study is for reference or to be read here."),
    ],
)
def test_a_mapping_that_is_not_complete_is_refused_in_words(desk, said, sentence):
    study, order = make.study("held"), make.order()
    if said.get("choice") == "order":
        said = {**said, "choice": f"order:{order.pk}"}

    response = post(desk, "map", study, **said)

    assert response.status_code == 422
    assert sentence in text(response)


def test_a_form_of_an_old_version_is_refused(desk):
    study, order = make.study("held"), make.order()
    Study.objects.filter(pk=study.pk).update(version=study.version + 1)

    response = post(desk, "map", study, choice=f"order:{order.pk}", intent="read")

    assert response.status_code == 409
    assert "changed this study since you opened it" in text(response)


def test_a_form_without_a_version_is_refused(desk):
    study = make.study("held")

    response = desk.post(reverse("map", args=[study.pk]), {})

    assert response.status_code == 422


def test_a_refusal_to_htmx_is_a_notice_and_leaves_the_form_alone(desk):
    study = make.study("held")

    response = desk.post(reverse("map", args=[study.pk]), {"version": 1}, headers={"HX-Request": "true"})

    assert response.status_code == 422
    assert response["HX-Retarget"] == "#refusal"
    assert "<form" not in text(response)


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


def test_a_clearance_without_evidence_is_refused(desk):
    study = make.study("mapped")
    make.rule()

    response = post(desk, "clear", study, **{**CONSENT, "evidence": ""})

    assert response.status_code == 422
    assert "evidence" in text(response)


def test_findings_are_overridden_with_a_reason_by_the_form(releaser):
    study = make.study("mapped", PatientIdentityRemoved="YES", DeidentificationMethod="none")
    make.rule()
    finding = study.findings.get(code="deidentified")

    page = text(releaser.get(reverse("study", args=[study.pk])))
    response = post(releaser, "clear", study, **CONSENT, **{"override-deidentified": "Known by telephone"})

    assert 'name="override-deidentified"' in page
    assert response.status_code == 302
    finding.refresh_from_db()
    assert finding.override_reason == "Known by telephone"


def test_a_destination_out_of_reach_is_shown_with_the_reason():
    here, there = make.destination("PACS"), make.destination("VNA", ae_title="VNA")
    study = make.study("cleared")
    grants = [(Power.VIEW, None, None), (Power.RELEASE, None, here)]
    officer = signed_in(make.user("officer", grants=grants))

    page = text(officer.get(reverse("study", args=[study.pk])))

    assert f'value="{here.pk}" checked' in page
    assert f'value="{there.pk}" disabled' in page
    assert "Your role may not release studies to VNA." in page


def test_a_rejection_needs_a_reason_and_can_be_taken_back(releaser):
    study, reason = make.study("held"), make.reason()

    assert post(releaser, "reject", study).status_code == 422
    post(releaser, "reject", study, reason=reason.pk, comment="Told the sender")
    study.refresh_from_db()
    page = text(releaser.get(reverse("study", args=[study.pk])))
    post(releaser, "reinstate", study, comment="It is her after all")
    study.refresh_from_db()

    assert "Told the sender" in page
    assert study.state == "held"


def test_a_mapping_is_undone_by_its_form(desk):
    study = make.study("mapped")

    post(desk, "unmap", study, reason="Wrong order")

    study.refresh_from_db()
    assert (study.state, study.mapping) == ("held", None)


def test_a_study_still_coming_is_held_by_hand(desk):
    study = make.received()

    post(desk, "settle", study)

    study.refresh_from_db()
    assert study.state == "held"


def test_a_refused_delivery_is_sent_again_from_the_page(releaser):
    study = make.study("released")
    Delivery.objects.update(state="refused", attempts=1, problem="No room.")
    delivery = Delivery.objects.get()

    page = text(releaser.get(reverse("study", args=[study.pk])))
    response = releaser.post(reverse("retry", args=[study.pk]), {"delivery": delivery.pk})

    assert "No room." in page
    assert response.status_code == 302
    assert Delivery.objects.get().state == "queued"


def test_a_generated_order_is_chosen_and_not_yet_mapped(desk):
    study, patient = make.study("held"), make.patient()
    make.sequence()
    procedure = make.procedure()

    response = post(desk, "generate", study, patient=patient.pk, procedure=procedure.pk)
    page = text(desk.get(response.url))

    order = patient.orders.get()
    study.refresh_from_db()
    assert study.state == "held"
    assert f'value="order:{order.pk}"' in page
    assert "What changes in the objects" in page


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


def test_words_searched_for_never_get_into_an_address(desk):
    study = make.study("held", PatientName="Nobody^Here")
    make.patient("Haddad^Amina")

    response = desk.post(reverse("candidates", args=[study.pk]), {"words": "Haddad, Amina"})
    page = text(desk.get(response.url))

    assert "haddad" not in response.url.lower()
    assert "HADDAD, Amina" in page


def test_a_search_of_another_session_is_not_repeated(desk, releaser):
    make.study("held")
    response = desk.post(reverse("search"), {"words": "Mueller"})
    token = parse_qs(urlsplit(response.url).query)["search"][0]

    mine = text(desk.get(reverse("queue"), {"search": token}))
    theirs = text(releaser.get(reverse("queue"), {"search": token}))

    assert 'value="Mueller"' in mine
    assert 'Mueller"' not in theirs
    assert "another session" in theirs


def test_the_queue_shows_a_study_in_a_line(desk):
    make.study("held")

    page = text(desk.get(reverse("queue")))

    for said in ("MUELLER, Anna", "1961-03-04", "OUT-7781", "General Hospital", "no candidate"):
        assert said in page


QUEUE_QUERIES = 7  # session, person, grants, counts, rows, findings, sources


def test_the_queue_asks_as_many_questions_for_many_rows_as_for_few(desk, django_assert_num_queries):
    make.study("held")
    desk.get(reverse("queue"))
    with django_assert_num_queries(QUEUE_QUERIES):
        desk.get(reverse("queue"))
    for n in range(5):
        make.study("held", PatientIdentityRemoved="YES", PatientID=f"OUT-{n}")
    with django_assert_num_queries(QUEUE_QUERIES):
        desk.get(reverse("queue"))


def test_pages_of_the_queue_follow_each_other_without_a_gap(desk, monkeypatch):
    monkeypatch.setattr("reconciliation.queue.page.__kwdefaults__", {"cursor": "", "by": "received_at", "size": 2})
    keys = {make.study("held", PatientID=f"OUT-{n}").pk for n in range(5)}

    seen, address = [], reverse("queue")
    for _ in count():
        response = desk.get(address)
        page = response.context["page"]
        seen += [study.pk for study in page.rows]
        if not page.next:
            break
        address = f"{reverse('queue')}?after={page.next}"

    assert len(seen) == 5
    assert set(seen) == keys


def test_news_counts_what_came_after_the_newest_row(desk):
    make.study("held")
    since = desk.get(reverse("queue")).context["since"]
    make.study("held", PatientID="OUT-2")

    part = text(desk.get(reverse("news"), {"since": since}))

    assert "<b>1</b> new" in part


def test_the_next_study_is_the_one_that_waits_longest(desk):
    first, second = make.study("held"), make.study("held", PatientID="OUT-2")

    assert desk.get(reverse("next"), {"state": "held"}).url == reverse("study", args=[first.pk])
    lease.take(first, by=make.user("lee", group="Reconciliation"))
    assert desk.get(reverse("next"), {"state": "held"}).url == reverse("study", args=[second.pk])
    assert desk.get(reverse("next"), {"state": "mapped"}).url == reverse("queue")


@pytest.mark.parametrize("verb", VERBS)
def test_no_step_is_taken_by_a_link(releaser, verb):
    study = make.study("held")

    assert releaser.get(reverse(verb, args=[study.pk])).status_code == 405


@pytest.mark.parametrize("name", [*VERBS, *PARTS])
def test_a_study_of_another_source_does_not_exist(name):
    study = make.study("held")
    elsewhere = make.source("City Clinic")
    grants = [(power, elsewhere, None) for power in (Power.VIEW, Power.RECONCILE, Power.RELEASE, Power.REJECT)]
    stranger = signed_in(make.user("stranger", grants=grants))
    ask = stranger.get if name in PARTS else stranger.post

    response = ask(reverse(name, args=[study.pk]), {"version": study.version, "choice": "order:x"})

    assert response.status_code == 404


def test_a_picture_of_another_source_does_not_exist():
    one = make.study("held").series.get().instances.get()
    stranger = signed_in(make.user("stranger", grants=[(Power.VIEW, make.source("City Clinic"), None)]))

    assert stranger.get(reverse("picture", args=[one.pk])).status_code == 404


def test_a_picture_is_drawn_and_kept_by_nobody(desk):
    one = make.study("held").series.get().instances.get()

    response = desk.get(reverse("picture", args=[one.pk]), {"width": "160", "frame": "7"})

    assert response["Content-Type"] == "image/jpeg"
    assert response["Cache-Control"] == "private, no-store"
    assert b"".join(response.streaming_content).startswith(b"\xff\xd8")


def test_an_object_without_pixels_says_so_in_its_picture(desk):
    ds = make.dataset()
    del ds.PixelData
    one = make.received(ds).series.get().instances.get()

    response = desk.get(reverse("picture", args=[one.pk]))

    assert response["Content-Type"] == "image/svg+xml"
    assert "pixels" in text(response)


@pytest.mark.parametrize("name", ["queue", "submissions", "unreadable", "ledger"])
def test_pages_are_for_those_who_are_signed_in(name):
    response = Client().get(reverse(name))

    assert response.status_code == 302
    assert response.url.startswith(reverse("login"))


def test_a_session_that_has_ended_is_said_where_the_work_is():
    study = make.study("held")
    address = reverse("lease", args=[study.pk])

    response = Client().post(address, headers={"HX-Request": "true"}, follow=True)

    assert response.status_code == 403
    assert "Your session has ended" in text(response)


def test_the_ledger_is_for_auditors(desk):
    make.study("held")
    auditor = signed_in(make.user("auditor"))

    assert desk.get(reverse("ledger")).status_code == 403
    page = text(auditor.get(reverse("ledger"), {"verb": "settle"}))
    assert "CT study of" in page


def test_what_could_not_be_read_is_listed_for_its_source_only(desk, spool):
    make.received()
    stranger = signed_in(make.user("stranger", grants=[(Power.VIEW, make.source("City Clinic"), None)]))

    assert "General Hospital" in text(desk.get(reverse("submissions")))
    assert "General Hospital" not in text(stranger.get(reverse("submissions")))


def test_addresses_and_titles_name_nobody(desk):
    study = make.study("held")

    page = text(desk.get(reverse("study", args=[study.pk])))

    title = page.split("<title>")[1].split("</title>")[0]
    assert "mueller" not in title.lower()
    assert all("mueller" not in part.split('"')[0].lower() for part in page.split('href="')[1:])
