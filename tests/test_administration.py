"""What the administration must not offer, and what it must write down."""

import pytest
from django.contrib.admin import site
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

from imgshare_site.administration import TOPICS
from policies.models import Grant, LedgerLine, Power, User
from policies.roles import install
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    user = User.objects.create_superuser("root", password="a long one for the tests")
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("page", ["django_q/schedule/add/", "django_q/success/", "authtoken/tokenproxy/add/"])
def test_nobody_schedules_functions_or_makes_tokens_by_clicking(admin, page):
    assert admin.get(f"/admin/{page}").status_code == 404


def test_a_changed_identifier_is_in_the_ledger_with_old_and_new(admin):
    patient = make.patient(ids=[("MRN1", "LOCAL")])
    one = patient.identifiers.get()
    form = {
        "name": patient.name,
        "birth_date": "1961-03-04",
        "sex": "F",
        "identifiers-TOTAL_FORMS": 1,
        "identifiers-INITIAL_FORMS": 1,
        "identifiers-0-id": one.pk,
        "identifiers-0-patient": str(patient.pk),
        "identifiers-0-value": "MRN2",
        "identifiers-0-issuer": "LOCAL",
    }
    assert admin.post(f"/admin/orders/patient/{patient.pk}/change/", form).status_code == 302

    line = LedgerLine.objects.get(verb="change identifiers")
    assert line.detail == {"old": ["MRN1 (LOCAL)"], "new": ["MRN2 (LOCAL)"]}


def test_a_new_password_for_somebody_is_in_the_ledger(admin):
    desk = make.user("desk")
    form = {"usable_password": "true", "password1": "new and long enough 1", "password2": "new and long enough 1"}
    assert admin.post(f"/admin/policies/user/{desk.pk}/password/", form).status_code == 302

    assert LedgerLine.objects.filter(verb="change password", subject_key=str(desk.pk)).count() == 1


def test_a_token_made_on_the_command_line_is_in_the_ledger(capsys):
    desk = make.user("desk")
    call_command("token", "desk")
    call_command("token", "desk")

    assert len(set(capsys.readouterr().out.split())) == 1
    assert LedgerLine.objects.filter(verb="make token", subject_key=str(desk.pk)).count() == 1


def test_managers_cannot_widen_their_own_grants():
    manager = Client()
    user = make.user("manager")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    manager.force_login(User.objects.get(pk=user.pk))
    group = install()["Managers"]
    form = {"group": group.pk, "power": "release", "source": "", "destination": ""}

    assert manager.post("/admin/policies/grant/add/", form).status_code == 403
    assert not Grant.objects.filter(group=group, power="release").exists()


def test_a_grant_to_read_the_ledger_names_no_source():
    group, source = install()["Auditors"], make.source()
    with pytest.raises(IntegrityError), transaction.atomic():
        Grant.objects.create(group=group, power=Power.AUDIT, source=source)


def test_a_sequence_never_goes_back():
    sequence = make.sequence(next=500)
    sequence.next = 100
    with pytest.raises(ValidationError, match="500"):
        sequence.clean()


def test_the_ledger_is_verified_by_a_command(capsys):
    make.study("held")
    call_command("verify_ledger")
    assert "the chain holds" in capsys.readouterr().out

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER ledger_no_update")
        else:
            cursor.execute("ALTER TABLE policies_ledgerline DISABLE TRIGGER ALL")
        cursor.execute("UPDATE policies_ledgerline SET actor = 'Kim'")
    with pytest.raises(CommandError, match="does not fit"):
        call_command("verify_ledger")


def test_every_page_has_its_line_in_the_index():
    """By topic and with its purpose: nobody guesses where a new page belongs."""
    listed = {label for pages in TOPICS.values() for label in pages}

    assert {model._meta.label_lower for model in site._registry} == listed
