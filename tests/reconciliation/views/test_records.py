"""Pictures, lists to look things up in, and sessions."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from policies import reading
from policies.models import Power
from reconciliation.models import Study
from tests import make
from tests.reconciliation.views.browsing import signed_in, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


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


def test_the_ledger_is_filtered_by_day_and_by_the_deeds_that_are_in_it():
    make.study("held")
    auditor, today = signed_in(make.user("auditor")), timezone.localdate()

    page = text(auditor.get(reverse("ledger"), {"from": f"{today}", "to": f"{today}"}))
    later = text(auditor.get(reverse("ledger"), {"from": f"{today + timedelta(days=1)}"}))

    assert '<option value="settle">held</option>' in page
    assert 'value="release"' not in page
    assert '<th scope="row">received</th>' in page
    assert "No line fits." in later


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "0001-01-01"])
def test_the_ledger_refuses_what_is_no_day(day):
    assert signed_in(make.user("auditor")).get(reverse("ledger"), {"to": day}).status_code == 422


def test_the_next_page_of_the_ledger_and_its_export_keep_the_filters(monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 1)
    make.study("held")
    make.study("held", of=make.source("City Clinic"))
    auditor = signed_in(make.user("auditor"))

    page = text(auditor.get(reverse("ledger"), {"verb": "settle", "actor": "the portal"}))

    assert re.search(r'rel="next" href="\?verb=settle&amp;actor=the\+portal&amp;before=\d+"', page)
    assert f"{reverse('ledger_export', args=['csv'])}?verb=settle&amp;actor=the+portal" in page


@pytest.mark.parametrize("number", ["study_instance_uid", "accession_number", "patient_id", "pk"])
def test_a_study_is_found_in_the_ledger_by_each_of_its_numbers_and_none_is_in_the_address(number):
    study = make.study("held")
    other = make.study("held", of=make.source("City Clinic"))
    Study.objects.filter(pk=other.pk).update(accession_number="OTHER", patient_id="OTHER")
    auditor = signed_in(make.user("auditor"))

    response = auditor.post(
        reverse("ledger_search"), {"study": f"{getattr(study, number)}", "verb": "settle"}, follow=True
    )

    assert [line.study_key for line in response.context["page"].lines] == [str(study.pk)]
    assert str(getattr(study, number)) not in response.redirect_chain[-1][0]
