"""Threats to the whole site: forged requests (T13), powers taken through the administration (T17), settings."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.test import Client

from policies.models import Grant, LedgerLine, User
from tests import make
from tests.test_addresses import ALL, place

pytestmark = pytest.mark.django_db


def keeper(name: str = "keeper") -> tuple[User, Client]:
    """Somebody who keeps accounts, but is no superuser."""
    user = make.user(name, group="Managers")
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="policies", content_type__model="user"))
    client = Client()
    client.force_login(user)
    return user, client


def form_of(user: User, **more) -> dict:
    return {
        "username": user.username,
        "first_name": "Changed",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
        "is_active": "on",
        **more,
    }


def test_no_address_takes_a_post_without_the_token_of_its_page():
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root", password="x"))
    key = "7a0c4d5e-0000-4000-8000-000000000000"
    keys = dict.fromkeys(("key", "picture", "order", "notice", "patient", "submission", "form"), key)
    taken = {one.label: client.post(place(one, keys)).status_code for one in ALL}

    assert {label: status for label, status in taken.items() if status not in {403, 404, 405}} == {}


@pytest.mark.parametrize("address", ["/", "/login/", "/admin/", "/account/second-factor/", "/api/me/"])
def test_no_page_stands_in_the_frame_of_another_site(address):
    answer = keeper()[1].get(address)

    assert answer["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


def test_who_keeps_accounts_makes_nobody_a_superuser():
    desk, (_, client) = make.user("frontdesk", group="Managers"), keeper()
    desk.groups.set([Group.objects.get(name="Managers")])
    more = {"is_superuser": "on", "is_staff": "on", "user_permissions": [Permission.objects.first().pk]}
    client.post(f"/admin/policies/user/{desk.pk}/change/", form_of(desk, **more))
    desk.refresh_from_db()

    assert desk.first_name == "Changed"
    assert (desk.is_superuser, desk.is_staff, desk.user_permissions.count()) == (False, False, 0)


def test_who_keeps_accounts_gives_no_group_that_they_are_not_in():
    desk, (_, client) = User.objects.create_user("plain"), keeper()
    make.user("auditor")
    auditors = Group.objects.get(name="Auditors")
    answer = client.post(f"/admin/policies/user/{desk.pk}/change/", form_of(desk, groups=[auditors.pk]))

    assert answer.status_code == 200  # the form again, with what is wrong
    assert desk.groups.count() == 0


@pytest.mark.parametrize("page", ["change/", "delete/", "password/"])
def test_who_keeps_accounts_leaves_alone_their_own_and_those_that_may_more(page):
    me, client = keeper()
    for other in (me, make.user("auditor"), User.objects.create_superuser("root", password="x")):
        answer = client.post(f"/admin/policies/user/{other.pk}/{page}", {"post": "yes", **form_of(other)})
        assert answer.status_code in {403, 404}
    assert User.objects.filter(first_name="Changed").count() == 0


def test_who_keeps_accounts_deletes_none_of_those_by_the_list_either():
    me, client = keeper()
    auditor = make.user("auditor")
    form = {"action": "delete_selected", "_selected_action": [me.pk, auditor.pk], "post": "yes"}
    client.post("/admin/policies/user/", form)

    assert User.objects.filter(pk__in=[me.pk, auditor.pk]).count() == 2


def test_the_first_password_of_an_account_is_not_in_the_ledger():
    root = User.objects.create_superuser("root", password="x")
    client = Client()
    client.force_login(root)
    said = "Canary-Secret-9431"
    form = {"username": "new", "usable_password": "true", "password1": said, "password2": said}
    client.post("/admin/policies/user/add/", form)

    assert User.objects.get(username="new").check_password(said)
    assert LedgerLine.objects.get(verb="add", subject_label="new").detail["new"] == {"username": "new"}
    assert said not in str(list(LedgerLine.objects.values()))


def test_an_account_that_was_closed_and_opened_again_is_signed_in_nowhere():
    desk, client = make.user("desk"), Client()
    desk.set_password("demo-of-the-desk")
    desk.save()
    client.post("/login/", {"login": "desk", "password": "demo-of-the-desk"})
    root, admin = User.objects.create_superuser("root", password="x"), Client()
    admin.force_login(root)
    assert client.get("/api/me/").status_code == 200
    form = form_of(desk, groups=[group.pk for group in desk.groups.all()])
    admin.post(f"/admin/policies/user/{desk.pk}/change/", {**form, "is_active": ""})
    admin.post(f"/admin/policies/user/{desk.pk}/change/", form)

    assert User.objects.get(pk=desk.pk).is_active
    assert client.get("/api/me/").status_code == 401


def test_who_keeps_groups_gives_them_no_page_of_the_administration():
    user, client = keeper()
    user.user_permissions.add(Permission.objects.get(codename="change_group"))
    group = Group.objects.create(name="Cooks")
    more = {f"grants-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    form = {"name": "Chefs", "why": "Renamed.", "permissions": [Permission.objects.first().pk], **more}
    answer = client.post(f"/admin/auth/group/{group.pk}/change/", form)
    group.refresh_from_db()

    assert (answer.status_code, group.name, group.permissions.count()) == (302, "Chefs", 0)


@pytest.mark.parametrize("role", ["manager", "auditor"])
def test_no_manager_widens_their_powers_or_touches_the_ledger(role):
    user = make.user(role)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client, group = Client(), user.groups.get()
    client.force_login(user)
    lines, grants = LedgerLine.objects.count(), Grant.objects.count()
    places = ["policies/grant/add/", f"auth/group/{group.pk}/change/", f"policies/user/{user.pk}/change/"]
    places += ["policies/ledgerline/add/", "policies/ledgerline/1/change/", "policies/ledgerline/1/delete/"]
    form = {"group": group.pk, "power": "release", "name": group.name, "groups": [group.pk], "post": "yes"}

    assert {client.post(f"/admin/{one}", form).status_code for one in places} == {403}
    assert (LedgerLine.objects.count(), Grant.objects.count()) == (lines, grants)


def test_settings_of_production_pass_every_check_of_django_and_ours():
    production = {
        "PATH": os.environ["PATH"],
        "IMGSHARE_DATA_DIR": str(settings.DATA_DIR),
        "DATABASE_URL": "postgresql://imgshare@localhost/imgshare",
        "IMGSHARE_SECRET_KEY": "k9" * 20 + "Zx8-_wQ3" * 4,
        "IMGSHARE_ALLOWED_HOSTS": "images.example.org",
        "IMGSHARE_HTTPS": "1",
        "IMGSHARE_MFA_REQUIRED": "staff",
    }
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=production, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
