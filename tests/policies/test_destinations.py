"""A destination says how it is reached and what proves a delivery; nonsense is refused, and no secret is in the row."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from policies.models import Destination

pytestmark = pytest.mark.django_db
DICOM = {"name": "PACS", "ae_title": "PACS", "host": "pacs"}
WEB = {"name": "VNA", "protocol": "stow", "stow_url": "https://vna.example/dicom-web", "proof": "count"}


def test_a_new_destination_must_commit_itself():
    assert Destination(**DICOM).proof == "commitment"


@pytest.mark.parametrize("columns", [DICOM, WEB, {**WEB, "proof": "commitment", "ae_title": "VNA", "host": "vna"}])
def test_what_can_be_reached_and_proven_is_taken(columns):
    made = Destination(**columns)
    made.full_clean()
    made.save()


@pytest.mark.parametrize(
    "wrong",
    [
        {**DICOM, "ae_title": ""},
        {**DICOM, "host": ""},
        {**WEB, "stow_url": ""},
        {**WEB, "proof": "commitment"},
        {**DICOM, "associations": 0},
        {**DICOM, "associations": 17},
        {**DICOM, "commitment_patience": 0},
    ],
)
def test_the_database_refuses_what_cannot_be_reached_or_proven(wrong):
    with pytest.raises(ValidationError):
        Destination(**wrong).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Destination.objects.create(**wrong)


@pytest.mark.parametrize(
    "url", ["ftp://vna", "https://user:secret@vna/dicom-web", "https://vna/x?y=1", "https://vna/a b", "vna"]
)
def test_an_address_is_an_address_and_nothing_more(url):
    with pytest.raises(ValidationError):
        Destination(**{**WEB, "stow_url": url}).full_clean()


@pytest.mark.parametrize("name", ["IMGSHARE_SECRET_KEY", "DATABASE_URL", "IMGSHARE_CREDENTIALS_", "a secret itself"])
def test_only_variables_that_are_meant_for_it_can_be_named_as_credentials(name):
    with pytest.raises(ValidationError):
        Destination(**WEB, credentials=name).full_clean()


@pytest.mark.parametrize(
    ("url", "taken"), [("http://vna/x", False), ("https://vna/x", True), ("http://[::1]:8042/x", True)]
)
def test_credentials_travel_only_encrypted_or_on_this_machine(url, taken):
    made = Destination(**{**WEB, "stow_url": url}, credentials="IMGSHARE_CREDENTIALS_VNA")
    if taken:
        made.full_clean()
    else:
        with pytest.raises(ValidationError, match="https"):
            made.full_clean()
