import pytest
from django.test import Client, RequestFactory

from imgshare_site.middleware import address_of
from tests import make


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "6.6.6.6", "127.0.0.1"),
        (1, "6.6.6.6, 10.0.0.7", "10.0.0.7"),
        (2, "6.6.6.6, 10.0.0.7, 10.0.0.1", "10.0.0.7"),
        (2, "10.0.0.7", "127.0.0.1"),
    ],
)
def test_only_our_own_proxies_are_believed(settings, proxies, forwarded, address):
    settings.PROXIES = proxies

    assert address_of(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=forwarded)) == address


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/?modality=a%00b", "/ledger/?actor=%00", "/?search=%00"])
def test_a_nul_is_refused_with_a_sentence(address):
    client = Client()
    client.force_login(make.user("auditor"))

    answer = client.get(address)
    assert answer.status_code == 422
    assert "NUL" in answer.content.decode()


@pytest.mark.django_db
def test_a_nul_in_a_form_is_refused_too():
    client, study = Client(), make.study("mapped")
    client.force_login(make.user("desk"))
    answer = client.post(f"/studies/{study.pk}/unmap/", {"version": study.version, "reason": "a\0b"})

    assert answer.status_code == 422


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/login/", "/api/studies/", "/admin/"])
def test_a_body_that_nobody_needs_is_not_even_read(address):
    answer = Client().post(address, b"", "multipart/form-data; boundary=x", CONTENT_LENGTH="17000000")

    assert answer.status_code == 413


@pytest.mark.django_db
@pytest.mark.parametrize("since", ["2026-13-45T00:00", "0001-01-01T00:00:00+14:00", "nonsense"])
def test_a_time_that_is_none_is_passed_over(since):
    client = Client()
    client.force_login(make.user("desk"))

    assert client.get("/news/", {"since": since}).status_code == 200
