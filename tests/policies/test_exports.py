"""Nobody carries the ledger away unseen: many lines say why, very many take a permission and raise an alarm (T15)."""

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client

from policies import audit
from policies.models import LedgerLine, User
from tests import make

pytestmark = pytest.mark.django_db
PAGE, REST = "/ledger/export/csv/", "/api/ledger/export/csv/"


@pytest.fixture(autouse=True)
def limits(settings):
    cache.clear()
    settings.EXPORT_REASON, settings.EXPORT_LARGE = 2, 4


@pytest.fixture
def auditor() -> Client:
    client = Client()
    client.force_login(make.user("auditor"))
    return client


def lines(count: int) -> None:
    """So many, whatever else is in the ledger: they are of one study."""
    for _ in range(count):
        audit.record("Lee", "map", "study", key="a")


def said(response) -> str:
    return b"".join(response.streaming_content).decode()


def test_a_short_export_needs_no_reason(auditor):
    lines(2)

    assert said(auditor.get(f"{PAGE}?subject=a")).count("mapped") == 2


def test_a_long_one_needs_a_reason_and_the_ledger_keeps_it(auditor):
    lines(3)
    refused = auditor.post(f"{PAGE}?subject=a", {"reason": " "})
    assert (refused.status_code, "needs a reason" in refused.content.decode()) == (422, True)

    assert said(auditor.post(f"{PAGE}?subject=a", {"reason": "Yearly audit"})).count("mapped") == 3
    assert LedgerLine.objects.get(verb="export ledger").reason == "Yearly audit"


@pytest.mark.parametrize("ask", [lambda one: one.post(f"{PAGE}?subject=a", {"reason": "x"}), None])
def test_a_very_long_one_is_refused_and_raises_the_alarm(auditor, ask):
    lines(5)
    refused = ask(auditor) if ask else auditor.get(f"{REST}?subject=a&reason=x")

    assert refused.status_code == 403
    alarm = LedgerLine.objects.get(verb="large export")
    assert alarm.detail == {"at least": 5, "refused": "yes"}
    assert not LedgerLine.objects.filter(verb="export ledger").exists()


def test_with_the_permission_it_is_made_and_raises_the_alarm_too(auditor):
    lines(5)
    auditor_ = User.objects.get(username="auditor")
    auditor_.groups.get().permissions.add(Permission.objects.get(codename="export_large"))

    assert said(auditor.post(f"{PAGE}?subject=a", {"reason": "Court"})).count("mapped") == 5
    assert LedgerLine.objects.get(verb="large export").detail["refused"] == "no"


def test_exports_count_as_views(auditor, settings):
    settings.VIEWS_PER_MINUTE = 1
    lines(1)

    assert [auditor.get(f"{address}?subject=a").status_code for address in (PAGE, PAGE, REST)] == [200, 429, 429]
