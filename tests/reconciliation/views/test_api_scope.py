"""Whoever holds grants at one source learns nothing of another, at any address."""

import uuid

import pytest
from rest_framework.test import APIClient

from policies.models import LedgerLine, Power
from reconciliation import serializers
from reconciliation.models import Study, Unreadable
from tests import make

pytestmark = pytest.mark.django_db
POWERS = [Power.VIEW, Power.RECONCILE, Power.RELEASE, Power.REJECT, Power.ORDER]
READ = ["", "proposals/", "preview/", "changes/", "history/", "deliveries/", "lookup/"]
POSTED = ["lease", "settle", "map", "unmap", "clear", "release", "reject", "reinstate", "lookup"]
CONSENT = {"basis": "patient", "given_by": "The patient", "scope": ["care"], "evidence": "Form 12"}


@pytest.fixture
def here():
    return make.source("Here")


@pytest.fixture
def lee(here):
    client = APIClient()
    client.force_login(make.user("lee", grants=[(power, here, None) for power in POWERS]))
    return client


@pytest.fixture
def elsewhere():
    return make.study("released", of=make.source("There"))


@pytest.mark.parametrize("path", READ)
def test_what_is_elsewhere_cannot_be_read(lee, elsewhere, path):
    query = f"?patient={elsewhere.local_patient_id}" if path == "preview/" else ""

    assert lee.get(f"/api/studies/{elsewhere.pk}/{path}{query}").status_code == 404


@pytest.mark.parametrize("path", ["proposals/", "preview/", "changes/", "consent/", "history/", "letters/", "lookup/"])
def test_who_reads_only_a_part_of_a_study_is_in_the_ledger_too(lee, here, path):
    study = make.study("mapped", of=here)
    lee.get(f"/api/studies/{study.pk}/{path}?patient={study.local_patient_id}")

    assert LedgerLine.objects.filter(verb="look at", subject_key=study.pk, actor="Lee").count() == 1


def test_who_reads_a_study_by_taking_it_is_in_the_ledger_too(lee, here):
    study = make.study(of=here)
    assert lee.post(f"/api/studies/{study.pk}/lease/", {}, format="json").status_code == 200

    assert LedgerLine.objects.filter(verb="look at", subject_key=study.pk, actor="Lee").count() == 1


def test_who_looks_for_studies_by_words_is_in_the_ledger_too(lee, here):
    lee.get("/api/studies/?q=mueller")
    lee.post("/search/", {"words": "mueller^anna"})
    lee.get("/api/studies/")
    found = LedgerLine.objects.filter(actor="Lee", verb="search studies").order_by("id")

    assert list(found.values_list("subject_key", flat=True)) == ["mueller", "mueller^anna"]


def test_who_reads_patients_by_their_orders_is_in_the_ledger_too(lee):
    order = make.order()
    lee.get(f"/api/orders/{order.pk}/")
    lee.get("/api/orders/?q=mueller")
    lee.get(f"/api/orders/?patient={order.patient_id}")
    found = LedgerLine.objects.filter(actor="Lee").order_by("id").values_list("verb", "subject_key")

    assert list(found) == [("look at", str(order.patient_id)), ("search patients", "mueller")]


@pytest.mark.parametrize("verb", POSTED)
def test_what_is_elsewhere_cannot_be_changed(lee, elsewhere, verb):
    bodies = {
        "map": {"order": str(elsewhere.order_id), "intent": "read"},
        "clear": {"consent": CONSENT},
        "release": {"destinations": [str(make.destination().pk)]},
        "reject": {"reason": make.reason().code},
    }
    answer = lee.post(f"/api/studies/{elsewhere.pk}/{verb}/", bodies.get(verb, {}), format="json")

    assert answer.status_code == 404
    assert Study.objects.get(pk=elsewhere.pk).version == elsewhere.version


def test_neither_its_lease_nor_its_deliveries_are_there(lee, elsewhere):
    assert lee.delete(f"/api/studies/{elsewhere.pk}/lease/").status_code == 404
    assert lee.post(f"/api/deliveries/{elsewhere.deliveries.get().pk}/retry/").status_code == 404


def test_lists_hold_what_is_here_alone(lee, here, elsewhere):
    mine = make.study(of=here)
    Unreadable.objects.create(submission=elsewhere.submission, number=9, reason="Cut off.", digest="0", size=1)
    studies, submissions, sources = (lee.get(f"/api/{name}/").json()["results"] for name in LISTS)

    assert [one["id"] for one in studies] == [str(mine.pk)]
    assert [one["studies"] for one in submissions] == [[str(mine.pk)]]
    assert [one["name"] for one in sources] == ["Here"]
    assert lee.get(f"/api/submissions/{elsewhere.submission_id}/").status_code == 404


LISTS = ["studies", "submissions", "sources"]


def test_a_filter_or_a_choice_does_not_betray_what_is_elsewhere(lee, elsewhere):
    assert lee.get(f"/api/studies/?source={elsewhere.source_id}").json()["results"] == []
    assert lee.get(f"/api/studies/?q={elsewhere.study_instance_uid}").json()["results"] == []
    for name in ("destinations", "retention-rules"):
        assert lee.get(f"/api/{name}/?study={elsewhere.pk}").status_code == 404


def test_an_unknown_source_and_one_elsewhere_are_refused_alike(lee, elsewhere):
    order = {"patient": str(make.patient().pk), "procedure": str(make.procedure().pk)}
    answers = [
        lee.post("/api/orders/", order | {"source": str(key)}, format="json")
        for key in (elsewhere.source_id, uuid.uuid4())
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json() == answers[1].json()


def test_a_part_does_not_name_the_part_elsewhere_that_it_follows(lee, here, elsewhere):
    second = make.received(make.dataset(StudyInstanceUID=elsewhere.study_instance_uid), of=here)

    assert second.follows_id == elsewhere.pk
    assert lee.get(f"/api/studies/{second.pk}/").json()["follows"] is None


def test_who_holds_no_grant_reads_nothing_but_who_they_are():
    nobody = APIClient()
    nobody.force_login(make.user("nobody", grants=[]))
    barred = [
        "orders/",
        "patients/?q=mueller",
        f"patients/{make.patient().pk}/",
        f"orders/{make.order().pk}/",
        "reasons/",
    ]

    assert {nobody.get(f"/api/{path}").status_code for path in barred} == {403}
    assert [nobody.get(f"/api/{name}/").json()["results"] for name in [*LISTS, "destinations"]] == [[], [], [], []]
    assert nobody.get("/api/me/").json()["powers"] == []


def test_the_power_to_read_the_ledger_alone_opens_no_patient():
    auditor = APIClient()
    auditor.force_login(make.user("kim", grants=[(Power.AUDIT, None, None)]))
    study = make.study("mapped")

    assert auditor.get(f"/api/studies/{study.pk}/").status_code == 404
    assert auditor.get(f"/api/patients/{study.local_patient_id}/").status_code == 403


def test_destinations_are_those_one_may_send_this_study_to(here):
    pacs, research = make.destination("PACS"), make.destination("Research")
    there = make.source("There")
    lee = APIClient()
    lee.force_login(make.user("lee", grants=[(Power.RELEASE, here, pacs), (Power.RELEASE, there, research)]))
    study = make.study(of=here)

    assert [one["name"] for one in lee.get("/api/destinations/").json()["results"]] == ["PACS", "Research"]
    assert [one["name"] for one in lee.get(f"/api/destinations/?study={study.pk}").json()["results"]] == ["PACS"]


def test_no_path_of_a_file_leaves_the_portal(lee, here):
    told = lee.get(f"/api/studies/{make.study(of=here).pk}/").content.decode()

    assert "vault" not in told
    assert "digest" not in told
    assert "digest" not in serializers.UnreadableSerializer.Meta.fields
