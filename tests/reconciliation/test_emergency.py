"""Emergency access: with a reason, for a time, one study, an alarm at once, and somebody else's review."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from policies.models import LedgerLine, Power, User
from policies.problems import Conflict, Denied, Invalid
from reconciliation import emergency, mapping, permission, queue, release, tasks
from reconciliation.models import EmergencyAccess
from tests import make
from tests.reconciliation.views.browsing import signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def lee():
    """May view and reconcile what comes from elsewhere only, and open studies in an emergency."""
    there = make.source("There")
    return make.user(
        "lee", grants=[(Power.VIEW, there, None), (Power.RECONCILE, there, None), (Power.EMERGENCY, None, None)]
    )


def anew(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_it_lets_one_view_and_reconcile_that_study_and_nothing_else(lee):
    study, other, order = make.study("held"), make.study("held", PatientID="OUT-1"), make.order()
    assert not queue.visible_to(lee).exists()
    emergency.enter(study.study_instance_uid, reason="Stroke", by=lee)

    assert [one.pk for one in queue.visible_to(lee)] == [study.pk]
    mapping.apply(study, order=order, intent="read", by=lee)
    assert permission.why_not(lee, Power.RECONCILE, other)
    with pytest.raises(Denied, match="may not release"):
        release.release(study, to=[make.destination()], by=lee)


@pytest.mark.parametrize("column", ["study_instance_uid", "accession_number", "patient_id"])
def test_an_exact_number_finds_it_and_a_part_of_one_does_not(lee, column):
    study = make.study("held")
    number = getattr(study, column)

    with pytest.raises(Invalid, match="No study has exactly"):
        emergency.enter(number[:-1], reason="Stroke", by=lee)
    assert [one.study_id for one in emergency.enter(number, reason="Stroke", by=lee)] == [study.pk]
    verbs = LedgerLine.objects.filter(actor_key=str(lee.pk)).values_list("verb", flat=True).order_by("id")
    assert list(verbs) == ["emergency search", "emergency access"]


def test_it_ends_by_itself(lee):
    study = make.study("held")
    emergency.enter(study.study_instance_uid, reason="Stroke", by=lee)
    EmergencyAccess.objects.update(until=timezone.now() - timedelta(seconds=1))

    assert not queue.visible_to(anew(lee)).exists()


def test_it_takes_the_power_and_a_reason(lee):
    study = make.study("held")
    with pytest.raises(Denied, match="may not open studies in an emergency"):
        emergency.enter(study.study_instance_uid, reason="Stroke", by=make.user("stranger"))
    with pytest.raises(Invalid, match="Say why"):
        emergency.enter(study.study_instance_uid, reason=" ", by=lee)


def test_what_one_may_open_anyway_is_no_emergency(lee):
    study = make.study("held", of=make.source("There"))
    with pytest.raises(Invalid, match="without an emergency"):
        emergency.enter(study.study_instance_uid, reason="Stroke", by=lee)


def test_an_alarm_is_mailed_once_and_names_no_patient(lee, settings, mailoutbox):
    settings.EMERGENCY_ALARM = ["privacy@hospital.example"]
    study = make.study("held")
    emergency.enter(study.study_instance_uid, reason="Stroke of Mueller", by=lee)
    tasks.sweep()
    tasks.sweep()

    (one,) = mailoutbox
    assert str(study.pk) in one.body
    assert "lee" in one.body
    assert not [word for word in ("Mueller", study.patient_id, "Anna") if word in one.body + one.subject]


class Silent(BaseEmailBackend):
    """A mail server that is not there."""

    def send_messages(self, messages):
        raise ConnectionRefusedError


def test_an_alarm_that_could_not_be_mailed_is_tried_again(lee, settings, mailoutbox):
    settings.EMERGENCY_ALARM, there = ["privacy@hospital.example"], settings.EMAIL_BACKEND
    emergency.enter(make.study("held").study_instance_uid, reason="Stroke", by=lee)
    settings.EMAIL_BACKEND = f"{__name__}.Silent"
    tasks.sweep()
    assert EmergencyAccess.objects.get().told_at is None
    settings.EMAIL_BACKEND = there
    tasks.sweep()

    assert len(mailoutbox) == 1


def test_somebody_else_reviews_it_once(lee):
    (access,) = emergency.enter(make.study("held").study_instance_uid, reason="Stroke", by=lee)
    make.user("lee", grants=[(Power.AUDIT, None, None)])
    auditor = make.user("auditor")
    assert emergency.unreviewed() == 1

    with pytest.raises(Denied, match="their own emergency"):
        emergency.review(access, by=anew(lee), comment="Fine")
    with pytest.raises(Denied, match="may not read the ledger"):
        emergency.review(access, by=make.user("desk"), comment="Fine")
    emergency.review(access, by=auditor, comment="Fine")
    with pytest.raises(Conflict, match="already"):
        emergency.review(access, by=auditor, comment="Fine")
    assert emergency.unreviewed() == 0


def test_the_database_refuses_a_review_by_oneself_and_one_without_words(lee):
    emergency.enter(make.study("held").study_instance_uid, reason="Stroke", by=lee)
    for columns in ({"reviewed_by": lee, "comment": "Fine"}, {"reviewed_by": make.user("auditor"), "comment": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            EmergencyAccess.objects.update(reviewed_at=timezone.now(), **columns)


def test_the_pages_open_say_so_and_review(lee):
    study, client, auditor = make.study("held"), signed_in(lee), signed_in(make.user("auditor"))
    assert client.get(f"/studies/{study.pk}/").status_code == 404

    response = client.post("/emergency/", {"words": study.patient_id, "reason": "Stroke"})
    assert response.url == f"/studies/{study.pk}/"
    assert "Opened in an emergency" in text(client.get(response.url))
    assert "(1)" in text(auditor.get("/emergencies/"))
    key = EmergencyAccess.objects.get().pk
    auditor.post(f"/emergencies/{key}/review/", {"comment": "The patient was in the shock room"})
    assert "The patient was in the shock room" in text(auditor.get("/emergencies/"))


def test_the_way_back_to_what_is_open_stands_on_the_page(lee):
    study, client = make.study("held"), signed_in(lee)
    way = f'href="/studies/{study.pk}/"'
    assert way not in text(client.get("/emergency/"))

    client.post("/emergency/", {"words": study.patient_id, "reason": "Stroke"})

    assert way in text(client.get("/emergency/"))
    EmergencyAccess.objects.update(until=timezone.now())
    assert way not in text(client.get("/emergency/"))


@pytest.mark.parametrize("address", ["/emergency/", "/emergencies/"])
def test_the_pages_are_for_those_who_hold_the_power(address):
    client = Client()
    client.force_login(make.user("desk"))

    assert client.get(address).status_code == 403


def test_rest_opens_lists_and_reviews(lee):
    study, rest = make.study("held"), APIClient()
    rest.force_authenticate(lee)
    opened = rest.post("/api/emergencies/", {"number": study.accession_number, "reason": "Stroke"}, format="json")
    assert (opened.status_code, opened.json()[0]["study"]) == (201, str(study.pk))
    assert rest.get("/api/emergencies/").status_code == 403

    rest.force_authenticate(make.user("auditor"))
    (row,) = rest.get("/api/emergencies/").json()["results"]
    done = rest.post(f"/api/emergencies/{row['id']}/review/", {"comment": "Fine"}, format="json")
    assert (done.status_code, done.json()["comment"]) == (200, "Fine")


def test_the_second_page_of_the_list_keeps_its_filter(lee):
    study, now = make.study("held"), timezone.now()
    columns = {"study": study, "by": lee, "reason": "Stroke", "until": now}
    reviewed = {"reviewed_by": make.user("auditor"), "reviewed_at": now, "comment": "Justified"}
    EmergencyAccess.objects.create(**columns, **reviewed, opened_at=now - timedelta(days=1))
    for minute in range(queue.PAGE + 1):
        EmergencyAccess.objects.create(**columns, opened_at=now - timedelta(minutes=minute))
    client = signed_in(User.objects.get(username="auditor"))
    first = client.get("/emergencies/?open=1").content.decode()
    second = client.get("/emergencies/" + unescape(re.search(r'rel="next" href="([^"]*)"', first)[1])).content.decode()

    assert second.count("Mark as reviewed") == 1
    assert "Justified" not in second
    assert 'href="/emergencies/?open=1"' in second  # back to the first page
