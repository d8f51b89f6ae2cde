"""Consent by browser and REST: what is asked is said, one is used again by a click, withdrawal shows what went."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from policies import consent as policy
from policies.models import Power
from reconciliation.models import Consent, Study
from tests import make
from tests.reconciliation.test_evidence import PDF

pytestmark = pytest.mark.django_db
SAID = {"given_by": "Anna M.", "reason": "Changed her mind"}


@pytest.fixture
def browser():
    client = Client()
    client.force_login(make.user("desk"))
    return client


@pytest.fixture
def rest():
    client = APIClient()
    client.force_login(make.user("desk"))
    return client


def test_the_form_says_what_policy_asks_by_the_name_of_its_rule(browser):
    policy.install()
    page = browser.get(f"/studies/{make.study('mapped').pk}/").content.decode()

    assert "Treatment suffices here, by rule &#x27;Care&#x27;." in page
    assert "by rule &#x27;Teaching and research&#x27;. The number of the form is asked for." in page


def test_that_nothing_is_needed_can_be_chosen_only_where_a_rule_says_so(browser):
    address = f"/studies/{make.study('mapped').pk}/"
    assert "none needed" not in browser.get(address).content.decode()
    make.consent_rule(suffices=["none needed"])

    assert 'value="none needed"' in browser.get(address).content.decode()


def a_second_study():
    first = make.study("cleared")
    return first, make.study("mapped", to=make.order(first.local_patient))


def test_a_consent_is_used_again_by_a_click(browser):
    first, second = a_second_study()
    assert f'name="again" value="{first.consent.key}"' in browser.get(f"/studies/{second.pk}/").content.decode()
    form = {"version": second.version, "again": first.consent.key}
    findings = {f"override-{one.code}": "Known" for one in second.findings.all() if one.is_open}
    browser.force_login(make.user("releaser"))
    browser.post(f"/studies/{second.pk}/clear/", form | findings)

    assert Study.objects.get(pk=second.pk).consent == first.consent


def test_who_clears_is_told_that_the_consent_ends_sooner_than_was_typed(browser):
    make.rule()
    make.consent_rule(period="P10D")
    study = make.study("mapped")
    form = {"version": study.version, "basis": "patient", "given_by": "Anna", "form_number": "7", "scope": ["care"]}
    page = browser.post(f"/studies/{study.pk}/clear/", form, follow=True).content.decode()

    assert f"By its rule the consent ends on {timezone.localdate() + timedelta(days=10)}." in page


def test_a_basis_must_be_chosen(browser):
    study = make.study("mapped")
    answer = browser.post(f"/studies/{study.pk}/clear/", {"version": study.version, "evidence": "x", "scope": "care"})

    assert (answer.status_code, "Basis: Choose one." in answer.content.decode()) == (422, True)


def gone_out():
    study = make.study("delivered")
    said = {"sop_instance_uid": "1.2", "accepted": True, "at": timezone.now()}
    study.deliveries.get().instances.create(instance_id=make.first_instance(study), **said)
    return study


def test_a_withdrawal_shows_on_the_page_what_has_gone_out_and_what_to_do(browser):
    study = gone_out()
    browser.post(f"/studies/{study.pk}/consent/withdraw/", SAID)
    page = browser.get(f"/studies/{study.pk}/").content.decode()

    for words in ("Withdrawn", "Changed her mind", "PACS: 1 object", "Ask these destinations to reject or remove it"):
        assert words in page


def test_a_withdrawal_without_a_reason_is_refused(browser):
    study = make.study("released")
    answer = browser.post(f"/studies/{study.pk}/consent/withdraw/", SAID | {"reason": ""})

    assert answer.status_code == 422
    assert Consent.objects.get().withdrawn_at is None


def test_a_withdrawn_delivery_says_so_on_the_page(browser):
    study = make.study("released")
    browser.post(f"/studies/{study.pk}/consent/withdraw/", SAID)

    page = browser.get(f"/studies/{study.pk}/").content.decode()
    assert "The delivery to PACS waits, and nothing more is sent." in page


AGAIN = {"basis": "patient", "given_by": "Anna M.", "evidence": "Form 14", "scope": ["care"]}


def test_a_new_consent_on_a_released_study_lets_it_go_on_and_what_went_out_stays_listed(browser):
    study = gone_out()
    browser.post(f"/studies/{study.pk}/consent/withdraw/", SAID)
    page = browser.get(f"/studies/{study.pk}/").content.decode()
    assert "Record a new consent" in page
    said = AGAIN | {"version": study.version}
    page = browser.post(f"/studies/{study.pk}/consent/renew/", said, follow=True).content.decode()

    for words in ("Form 14", "What waited for a consent goes on.", "withdrawn by Anna M.", "PACS (1 object)"):
        assert words in page
    assert "Record a new consent" not in page
    assert Consent.objects.count() == 2


def test_a_new_consent_with_a_scanned_form(browser):
    study = gone_out()
    browser.post(f"/studies/{study.pk}/consent/withdraw/", SAID)
    said = AGAIN | {"version": study.version, "scan": SimpleUploadedFile("form.pdf", PDF)}
    browser.post(f"/studies/{study.pk}/consent/renew/", said)

    study.refresh_from_db()
    assert study.consent.scan.kept_by == make.user("desk")


def test_a_consent_that_was_typed_for_another_version_is_not_recorded(browser):
    study = gone_out()
    browser.post(f"/studies/{study.pk}/consent/withdraw/", SAID)

    assert browser.post(f"/studies/{study.pk}/consent/renew/", AGAIN | {"version": 1}).status_code == 409
    assert Consent.objects.count() == 1


# --- REST ------------------------------------------------------------------------------------------------------------


def test_rest_says_what_is_asked_and_what_may_be_used_again(rest):
    policy.install()
    first, second = a_second_study()
    said = rest.get(f"/api/studies/{second.pk}/consent/").json()

    assert (said["asked"][0]["rule"], said["asked"][1]["suffices"]) == ("Care", ["patient", "guardian"])
    assert [one["key"] for one in said["reusable"]] == [str(first.consent.key)]


def test_rest_clears_with_a_scan_that_was_kept_first(rest):
    study = make.study("mapped")
    make.rule()
    here = f"/api/studies/{study.pk}"
    file = SimpleUploadedFile("form.pdf", b"%PDF-1.7\n%%EOF")
    kept = rest.post(f"{here}/evidence/", {"file": file}, format="multipart").json()
    consent = {"basis": "guardian", "given_by": "Eva M.", "relation": "Mother", "scan": kept["id"]}
    cleared = rest.post(f"{here}/clear/", {"consent": consent}, format="json").json()

    assert (cleared["state"], cleared["consent"]["scan"]) == ("cleared", kept["id"])
    assert rest.get(f"{here}/evidence/{kept['id']}/")["X-Content-Type-Options"] == "nosniff"


def test_rest_withdraws_and_answers_with_what_has_gone_out(rest):
    study = gone_out()
    said = rest.post(f"/api/studies/{study.pk}/consent/withdraw/", SAID, format="json").json()

    assert said["why_not"].startswith("The consent was withdrawn on")
    assert [(one["destination"], one["objects"]) for one in said["gone_out"]] == [("PACS", 1)]
    assert said["to_do"]


def test_rest_records_a_new_one_where_one_was_withdrawn(rest):
    study = gone_out()
    rest.post(f"/api/studies/{study.pk}/consent/withdraw/", SAID, format="json")
    answer = rest.post(f"/api/studies/{study.pk}/consent/renew/", {"consent": AGAIN}, format="json")

    assert (answer.status_code, answer.json()["why_not"]) == (200, "")
    assert rest.post(f"/api/studies/{study.pk}/consent/renew/", {"consent": AGAIN}, format="json").status_code == 409


def test_rest_uses_a_consent_again(rest):
    first, second = a_second_study()
    second.findings.all().delete()
    body = {"consent": {"again": str(first.consent.key)}}

    assert rest.post(f"/api/studies/{second.pk}/clear/", body, format="json").json()["state"] == "cleared"


@pytest.mark.parametrize("path", ["consent/", "consent/withdraw/", "evidence/"])
def test_what_is_elsewhere_is_not_there(path):
    study = make.study("released")
    lee = APIClient()
    lee.force_login(make.user("lee", grants=[(Power.RECONCILE, make.source("Elsewhere"), None)]))
    ask = lee.get if path == "consent/" else lee.post

    assert ask(f"/api/studies/{study.pk}/{path}").status_code == 404
    assert Consent.objects.get().withdrawn_at is None
