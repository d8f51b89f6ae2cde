"""The schema is valid and complete, and its page works under the Content-Security-Policy."""

import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import get_resolver
from rest_framework.test import APIClient

from reconciliation import api_urls
from tests import make

NOT_CALLS = {"schema", "docs"}


def test_the_schema_is_valid_and_without_a_warning():
    written = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=written)

    assert "openapi: 3" in written.getvalue()


def signed_in() -> APIClient:
    client = APIClient()
    client.force_login(make.user("desk"))
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/schema/", "/api/docs/"])
def test_the_schema_is_not_for_strangers(address):
    assert APIClient().get(address).status_code == 401


@pytest.mark.django_db
def test_every_address_is_in_the_schema_with_its_refusals():
    paths = signed_in().get("/api/schema/?format=json").json()["paths"]
    named = [pattern.name for pattern in api_urls.urlpatterns if pattern.name and pattern.name not in NOT_CALLS]

    assert len(paths) == len(named)
    for calls in paths.values():
        for shown in calls.values():
            assert {"401", "403", "404", "409", "422"} < set(shown["responses"])


@pytest.mark.django_db
def test_the_page_of_the_schema_needs_no_script_of_its_own_and_nothing_from_afar():
    answer = signed_in().get("/api/docs/")
    page = answer.content.decode()

    assert answer.status_code == 200
    assert re.findall(r"<script(?![^>]*src=)", page) == []
    assert re.findall(r"(?:src|href)=\"(?!/)", page) == []
    assert "script-src" not in answer["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in answer["Content-Security-Policy"]


@pytest.mark.django_db
def test_no_other_call_is_served_with_a_looser_policy():
    assert "unsafe" not in signed_in().get("/api/schema/")["Content-Security-Policy"]


def test_the_calls_have_the_name_space_that_links_are_made_from():
    assert "api" in get_resolver().namespace_dict
