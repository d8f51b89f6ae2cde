"""Who may go where: every address of the site by every role. The list of addresses is made from the URL configuration.

A row says what GET and POST answer, one letter for each of ROLES:
S sign in first; A allowed (the authority lets it through, whatever else is wrong with an empty request); R refused;
N not there, or not for them to know of; M no such method here.
"""

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.test.client import MULTIPART_CONTENT
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from orders.models import Notice
from policies.models import Power, User
from reconciliation.models import ConsentEvidence, Instance
from tests import make

ROLES = ["nobody", "front desk", "reconciliation", "releasing officer", "manager", "auditor", "elsewhere", "superuser"]
STUDY_POWERS = [Power.VIEW, Power.RECONCILE, Power.ORDER, Power.OVERRIDE, Power.RELEASE, Power.REJECT]

pytestmark = pytest.mark.django_db

ADDRESSES: dict[str, tuple[str, str]] = {
    "queue": ("SAAAAAAA", "SMMMMMMM"),
    "news": ("SAAAAAAA", "SMMMMMMM"),
    "search": ("SMMMMMMM", "SAAAAAAA"),
    "next": ("SAAAAAAA", "SMMMMMMM"),
    "study": ("SAAAAANN", "SMMMMMMM"),
    "lease": ("SMMMMMMM", "SRAARRNN"),
    "study_news": ("SMMMMMMM", "SAAAAANN"),
    "candidates": ("SMMMMMMM", "SAAAAANN"),
    "lookup": ("SMMMMMMM", "SRAARRNN"),
    "answers": ("SAAAAANN", "SMMMMMMM"),
    "changes": ("SAAAAANN", "SMMMMMMM"),
    "deliveries": ("SAAAAANN", "SMMMMMMM"),
    "settle": ("SMMMMMMM", "SRAARRNN"),
    "generate": ("SMMMMMMM", "SRAARRNN"),
    "told": ("SAAAAANN", "SMMMMMMM"),
    "tell-again": ("SMMMMMMM", "SRAARRNN"),
    "cancel-order": ("SMMMMMMM", "SRAARRNN"),
    "map": ("SMMMMMMM", "SRAARRNN"),
    "map_again": ("SMMMMMMM", "SAAAAANN"),
    "unmap": ("SMMMMMMM", "SRAARRNN"),
    "clear": ("SMMMMMMM", "SRAARRNN"),
    "release": ("SMMMMMMM", "SRRARRNN"),
    "reject": ("SMMMMMMM", "SRRARRNN"),
    "reinstate": ("SMMMMMMM", "SRRARRNN"),
    "retry": ("SMMMMMMM", "SNNNNNNN"),
    "picture": ("SAAAAANN", "SMMMMMMM"),
    "submissions": ("SAAAAAAA", "SMMMMMMM"),
    "unreadable": ("SAAAAAAA", "SMMMMMMM"),
    "ledger": ("SRRRAARR", "SMMMMMMM"),
    "categorise": ("SMMMMMMM", "SRAARRNN"),
    "prefix": ("SMMMMMMM", "SRAARRNN"),
    "withdraw_consent": ("SMMMMMMM", "SAAAAANN"),
    "renew_consent": ("SMMMMMMM", "SRAARRNN"),
    "consent_scan": ("SAAAAANN", "SMMMMMMM"),
    "approve": ("SMMMMMMM", "SAAAAANN"),
    "decline": ("SMMMMMMM", "SAAAAANN"),
    "withdraw": ("SMMMMMMM", "SAAAAANN"),
    "letters": ("SAAAAANN", "SMMMMMMM"),
    "hold": ("SMMMMMMM", "SRRRARNN"),
    "keep": ("SMMMMMMM", "SRRAARNN"),
    "expiry": ("SRRRARRR", "SMMMMMMM"),
    "approve-deletions": ("SMMMMMMM", "SRRRARRR"),
    "agree-deletions": ("SMMMMMMM", "SRRRARRR"),
    "take-back-deletion": ("SMMMMMMM", "SRRRNRRR"),
    "lift-hold": ("SMMMMMMM", "SRRRNRRR"),
    "tell-archive": ("SMMMMMMM", "SRRRNRRR"),
    "archive-told": ("SMMMMMMM", "SRRRNRRR"),
    "quality": ("SRRRAARR", "SMMMMMMM"),
    "ledger_search": ("SMMMMMMM", "SRRRAARR"),
    "ledger_verify": ("SMMMMMMM", "SRRRAARR"),
    "ledger_export": ("SRRRAARR", "SRRRAARR"),
    "fhir_consents": ("SAAAAAAA", "SAAAAAAA"),
    "fhir_consents_search": ("SAAAAAAA", "SAAAAAAA"),
    "fhir_consent": ("SNNNNNNN", "SMMMMMMM"),
    "emergency": ("SRRRRRRR", "SRRRRRRR"),
    "emergencies": ("SRRRAARR", "SMMMMMMM"),
    "review_emergency": ("SMMMMMMM", "SRRRNNRR"),
    "login": ("AAAAAAAA", "AAAAAAAA"),
    "logout": ("MMMMMMMM", "AAAAAAAA"),
    "session": ("SAAAAAAA", "SMMMMMMM"),
    "account_login": ("AAAAAAAA", "AAAAAAAA"),
    "account_logout": ("MMMMMMMM", "AAAAAAAA"),
    "account_change_password": ("SAAAAAAA", "SAAAAAAA"),
    "account_reauthenticate": ("SAAAAAAA", "SAAAAAAA"),
    "again_elsewhere": ("SAAAAAAA", "SMMMMMMM"),
    "confirmed": ("SAAAAAAA", "SMMMMMMM"),
    "mfa_index": ("SAAAAAAA", "SMMMMMMM"),
    "mfa_authenticate": ("AAAAAAAA", "AAAAAAAA"),
    "mfa_reauthenticate": ("SAAAAAAA", "SAAAAAAA"),
    "mfa_activate_totp": ("SAAAAAAA", "SAAAAAAA"),
    "mfa_deactivate_totp": ("SNNNNNNN", "SNNNNNNN"),
    "mfa_view_recovery_codes": ("SNNNNNNN", "SMMMMMMM"),
    "mfa_generate_recovery_codes": ("SAAAAAAA", "SAAAAAAA"),
    "mfa_download_recovery_codes": ("SNNNNNNN", "SNNNNNNN"),
    "mfa_list_webauthn": ("SAAAAAAA", "SMMMMMMM"),
    "mfa_add_webauthn": ("SAAAAAAA", "SAAAAAAA"),
    "mfa_reauthenticate_webauthn": ("SAAAAAAA", "SAAAAAAA"),
    "mfa_remove_webauthn": ("SAAAAAAA", "SAAAAAAA"),
    "mfa_edit_webauthn": ("SAAAAAAA", "SAAAAAAA"),
    "usersessions_list": ("SAAAAAAA", "SAAAAAAA"),
    "socialaccount_login_cancelled": ("AAAAAAAA", "MMMMMMMM"),
    "openid_connect_login": ("MMMMMMMM", "NNNNNNNN"),
    "openid_connect_callback": ("NNNNNNNN", "NNNNNNNN"),
    "admin/logout/": ("MMMMMMMM", "AAAAAAAA"),
    "admin/password_change/": ("SAAAAAAA", "SAAAAAAA"),
    "admin:index": ("RRRRAARA", "RRRRAARA"),
    "admin:login": ("SRRRAARA", "SRRRAARA"),
    "admin:logout": ("MMMMMMMM", "AAAAAAAA"),
    "admin:password_change": ("SAAAAAAA", "SAAAAAAA"),
    "admin:password_change_done": ("RRRRAARA", "RRRRMMRM"),
    "admin:autocomplete": ("RRRRRRRR", "RRRRMMRM"),
    "admin:jsi18n": ("RRRRAARA", "RRRRMMRM"),
    "admin:view_on_site": ("RRRRNNRN", "RRRRNNRN"),
    "admin:auth_user_password_change": ("SRRRRRRN", "SRRRRRRN"),
    "admin:orders_feed_read": ("SRRRAARA", "SRRRAARA"),
    "admin:policies_matchingpolicy_rehearsal": ("SRRRNNRN", "SRRRNNRN"),
    "admin:policies_procedurerule_try": ("SRRRAARA", "SRRRAARA"),
    "admin:policies_source_try": ("SRRRAARA", "SRRRAARA"),
    "admin:policies_consentrule_try": ("SRRRAARA", "SRRRAARA"),
    "admin:policies_policydraft_step": ("SRRRNNRN", "SRRRNNRN"),
    "admin:policies_policyversion_export": ("SRRRAARA", "SRRRAARA"),
    "admin:policies_policyversion_import": ("SRRRARRA", "SRRRARRA"),
    "admin:app_list": ("RRRRAARA", "RRRRAARA"),
    "admin/(?P<url>.*)$": ("RRRRNNRN", "RRRRNNRN"),
    "api:schema": ("SAAAAAAA", "SMMMMMMM"),
    "api:docs": ("SAAAAAAA", "SMMMMMMM"),
    "api:me": ("SAAAAAAA", "SMMMMMMM"),
    "api:studies": ("SAAAAAAA", "SMMMMMMM"),
    "api:study": ("SAAAAANN", "SMMMMMMM"),
    "api:lease": ("SMMMMMMM", "SRAARRNN"),
    "api:proposals": ("SAAAAANN", "SMMMMMMM"),
    "api:lookup": ("SAAAAANN", "SRAARRNN"),
    "api:preview": ("SAAAAANN", "SMMMMMMM"),
    "api:changes": ("SAAAAANN", "SMMMMMMM"),
    "api:history": ("SAAAAANN", "SMMMMMMM"),
    "api:deliveries": ("SAAAAANN", "SMMMMMMM"),
    "api:settle": ("SMMMMMMM", "SRAARRNN"),
    "api:map": ("SMMMMMMM", "SRAARRNN"),
    "api:map-again": ("SMMMMMMM", "SAAAAANN"),
    "api:unmap": ("SMMMMMMM", "SRAARRNN"),
    "api:clear": ("SMMMMMMM", "SRAARRNN"),
    "api:release": ("SMMMMMMM", "SRRARRNN"),
    "api:reject": ("SMMMMMMM", "SRRARRNN"),
    "api:reinstate": ("SMMMMMMM", "SRRARRNN"),
    "api:retry": ("SMMMMMMM", "SNNNNNNN"),
    "api:orders": ("SAAAAAAR", "SRAARRNN"),
    "api:order": ("SAAAAAAR", "SMMMMMMM"),
    "api:cancel-order": ("SMMMMMMM", "SRAARRAR"),
    "api:tell-again": ("SMMMMMMM", "SRAARRAR"),
    "api:patients": ("SAAAAAAR", "SAAAAAAA"),
    "api:patient": ("SAAAAAAR", "SMMMMMMM"),
    "api:submissions": ("SAAAAAAA", "SMMMMMMM"),
    "api:submission": ("SAAAAANN", "SMMMMMMM"),
    "api:sources": ("SAAAAAAA", "SMMMMMMM"),
    "api:destinations": ("SAAAAAAA", "SMMMMMMM"),
    "api:procedures": ("SAAAAAAR", "SMMMMMMM"),
    "api:retention-rules": ("SAAAAAAR", "SMMMMMMM"),
    "api:reasons": ("SAAAAAAR", "SMMMMMMM"),
    "api:categorise": ("SMMMMMMM", "SRAARRNN"),
    "api:prefix": ("SMMMMMMM", "SRAARRNN"),
    "api:consent": ("SAAAAANN", "SMMMMMMM"),
    "api:withdraw-consent": ("SMMMMMMM", "SAAAAANN"),
    "api:renew-consent": ("SMMMMMMM", "SRAARRNN"),
    "api:evidence": ("SMMMMMMM", "SAAAAANN"),
    "api:consent-form": ("SAAAAANN", "SMMMMMMM"),
    "api:approve": ("SMMMMMMM", "SAAAAANN"),
    "api:decline": ("SMMMMMMM", "SAAAAANN"),
    "api:withdraw": ("SMMMMMMM", "SAAAAANN"),
    "api:letters": ("SAAAAANN", "SMMMMMMM"),
    "api:hold": ("SMMMMMMM", "SRRRARNN"),
    "api:keep": ("SMMMMMMM", "SRRAARNN"),
    "api:expiry": ("SRRRARRR", "SMMMMMMM"),
    "api:approve-deletions": ("SMMMMMMM", "SRRRARRR"),
    "api:approved-deletions": ("SRRRARRR", "SMMMMMMM"),
    "api:agree-deletions": ("SMMMMMMM", "SRRRARRR"),
    "api:take-back-deletion": ("SMMMMMMM", "SRRRNRRR"),
    "api:holds": ("SRRRARRR", "SMMMMMMM"),
    "api:lift-hold": ("SMMMMMMM", "SRRRNRRR"),
    "api:rejection-notes": ("SRRRARRR", "SMMMMMMM"),
    "api:tell-archive": ("SMMMMMMM", "SRRRNRRR"),
    "api:archive-told": ("SMMMMMMM", "SRRRNRRR"),
    "api:quality": ("SRRRAARR", "SMMMMMMM"),
    "api:emergencies": ("SRRRAARR", "SRRRRRRR"),
    "api:review-emergency": ("SMMMMMMM", "SRRRNNRR"),
    "api:test-destination": ("SMMMMMMM", "SRRRNRRN"),
    **dict.fromkeys(["api:policy-rules", "api:policy-versions", "api:policy-drafts"], ("SRRRAARA", "SMMMMMMM")),
    **dict.fromkeys(["api:policy-draft", "api:rehearse-draft"], ("SRRRNNRN", "SMMMMMMM")),
    **dict.fromkeys(["api:submit-draft", "api:approve-draft"], ("SMMMMMMM", "SRRRNNRN")),
    **dict.fromkeys(["api:decline-draft", "api:withdraw-draft"], ("SMMMMMMM", "SRRRNNRN")),
    "api:ledger": ("SRRRAARR", "SMMMMMMM"),
    "api:ledger-verify": ("SMMMMMMM", "SRRRAARR"),
    "api:ledger-export": ("SRRRAARR", "SMMMMMMM"),
    "api/": ("SNNNNNNN", "SNNNNNNN"),
}

# The pages of the administration, by model: what manager, auditor and superuser may there.
# l look, a add, c change, d delete. Nobody else gets in.
KEPT, SEEN, GUARDED = ("lacd", "l", "lacd"), ("l", "l", "l"), ("", "", "lacd")
REMOVABLE = ("", "", "ld")
MODELS = {
    **dict.fromkeys(["policies_source", "policies_destination", "policies_procedure", "policies_procedurerule"], KEPT),
    **dict.fromkeys(["policies_retentionrule", "policies_reason", "policies_assigningauthority"], KEPT),
    **dict.fromkeys(["policies_matchingpolicy", "orders_patient", "orders_order", "orders_accessionsequence"], KEPT),
    **dict.fromkeys(["orders_ordersystem", "orders_worklist", "orders_demographicssource", "orders_feed"], KEPT),
    **dict.fromkeys(["orders_message", "orders_merge", "orders_crossreference", "orders_claim"], SEEN),
    **dict.fromkeys(["policies_consentrule", "policies_coercionrule", "policies_qualityrule"], KEPT),
    **dict.fromkeys(["policies_secondperson", "policies_organisation"], KEPT),
    **dict.fromkeys(["policies_policydraft", "policies_policyversion", "orders_notice"], SEEN),
    "policies_grant": ("l", "", "lacd"),
    "policies_user": GUARDED,
    "auth_group": GUARDED,
    "policies_ledgerline": ("", "", "l"),
    **dict.fromkeys(["usersessions_usersession", "mfa_authenticator", "socialaccount_socialaccount"], REMOVABLE),
}
PAGES = {"changelist": ("l", ""), "add": ("a", "a"), "change": ("lc", "c"), "delete": ("d", "d")}
STAFF = ["manager", "auditor", "superuser"]


MESSAGE = b"MSH|^~\\&|A|B|C|D|20260101||ORM^O01^ORM_O01|1|P|2.5\rPID|1||MRN1\rORC|NW|1\r"
BODIES: dict[str, dict] = {
    "api:map": {"patient": "patient", "intent": "read"},
    "api:clear": {"consent": {"basis": "patient", "given_by": "The patient", "evidence": "Form 12"}},
    "api:release": {"destinations": ["to"]},
    "api:reject": {"reason": "wrong-patient"},
    "api:orders": {"study": "key", "patient": "patient", "procedure": "procedure"},
    "api:cancel-order": {"reason": "x"},
    "api:categorise": {"category": "teleradiology"},
    "api:decline": {"reason": "x"},
    "api:hold": {"reason": "x"},
    "api:decline-draft": {"reason": "x"},
    "api:keep": {"rule": "rule", "reason": "x"},
    "api:emergencies": {"number": "1", "reason": "x"},
    "api:renew-consent": {"consent": {"basis": "patient"}},
    "api:withdraw-consent": {"reason": "x", "given_by": "The patient"},
    "api:prefix": {},
    "api:tell-again": {},
    "api:retry": {},
    "api:lookup": {},
    "api:lease": {},
    "api:preview": {"patient": "patient"},
}  # where these do: one that says more


class Address:
    """One pattern of the URL configuration: its name, or its route where it has none."""

    def __init__(self, pattern: URLPattern, route: str, namespaces: tuple[str, ...]):
        self.route = route + str(pattern.pattern)
        self.label = ":".join((*namespaces, pattern.name)) if pattern.name else self.route
        self.keys = list(pattern.pattern.converters) or list(pattern.pattern.regex.groupindex)

    def __str__(self):
        return self.label

    @property
    def model(self) -> tuple[str, str]:
        """Of the pages that models have alike in the administration: the model, and which page. Else two blanks."""
        found = re.fullmatch(r"admin:(.+)_(changelist|add|change|delete|history|restore|test)", self.label)
        return found.groups() if found and found[1] in REGISTERED else ("", "")

    @property
    def is_old(self) -> bool:
        """An address of the administration as it was before Django 1.9: it leads on to the page of today."""
        return bool(re.fullmatch(r"admin/\w+/\w+/<path:object_id>/", self.label))


REGISTERED = {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}


def addresses(resolver=None, route="", namespaces=()) -> Iterator[Address]:
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLPattern):
            yield Address(entry, route, namespaces)
        else:
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from addresses(entry, route + str(entry.pattern), inner)


ALL = list(addresses())


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker) -> Iterator[dict]:
    """One client for each role, and the keys that stand in addresses; all of it gone at the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        study, elsewhere = make.study("mapped"), make.source("City Clinic")
        told = make.order(origin="generated")
        sent = {"kind": "new", "control_id": "1", "raw": MESSAGE, "due_at": timezone.now()}
        notice = Notice.objects.create(order=told, system=make.order_system(), **sent)
        people = {
            "front desk": make.user("frontdesk"),
            "reconciliation": make.user("desk"),
            "releasing officer": make.user("releaser"),
            "manager": staff(make.user("manager")),
            "auditor": staff(make.user("auditor")),
            "elsewhere": make.user("night", grants=[(power, elsewhere, None) for power in STUDY_POWERS]),
            "superuser": User.objects.create_superuser("root", password="x"),
        }
        form = {"size": 1, "kept_by": people["reconciliation"], "kept_at": timezone.now()}
        keys = {
            "key": study.pk,
            "to": make.destination().pk,
            "procedure": make.procedure().pk,
            "picture": Instance.objects.filter(series__study=study).first().pk,
            "order": told.pk,
            "notice": notice.pk,
            "patient": study.local_patient_id,
            "submission": study.submission_id,
            "rule": make.rule().pk,
            "form": ConsentEvidence.objects.create(study=study, digest="0" * 64, **form).pk,
        }
        # What the forms of the desk ask for, all at once.
        body = {
            "version": study.version,
            "choice": f"patient:{study.local_patient_id}",
            "intent": "read",
            "reason": make.reason().pk,
            "notice": notice.pk,
            "to": make.destination().pk,
            "basis": "patient",
            "given_by": "The patient",
            "evidence": "Form 12",
            "rule": make.rule().pk,
            "patient": study.local_patient_id,
            "procedure": make.procedure().pk,
            "delivery": notice.pk,
            "category": "teleradiology",
        }
        clients = {role: Client(raise_request_exception=False) for role in ROLES}
        for role, user in people.items():
            clients[role].force_login(user)
        yield {"clients": clients, "keys": keys, "body": body}
        transaction.set_rollback(True)


def staff(user: User) -> User:
    user.is_staff = True
    user.save(update_fields=["is_staff"])
    return user


def place(address: Address, keys: dict) -> str:
    """The address with real keys in it: things of a source that `elsewhere` may not know of."""
    route = address.route
    for part, name in [
        ("pictures/<uuid:key>", "picture"),
        ("api/orders/<uuid:key>", "order"),
        ("<uuid:order>", "order"),
        ("<uuid:evidence_key>", "form"),
        ("notices/<uuid:key>", "notice"),
        ("patients/<uuid:key>", "patient"),
        ("submissions/<uuid:key>", "submission"),
        ("<uuid:key>", "key"),
    ]:
        route = route.replace(part, part.replace(part[part.index("<") :], str(keys[name])))
    route = route.replace("<str:provider_id>", "hospital").replace("<path:object_id>", str(keys["key"]))
    route = route.replace("<slug:kind>", "csv").replace("<int:number>", "1").replace("<str:verb>", "submit")
    route = route.replace("<int:pk>", "1")
    route = route.replace("<path:content_type_id>", "1").replace("(?P<url>.*)$", "nowhere/")
    return "/" + (route if "(?P" not in route else route[: route.index("^")] + "policies/")


def answer(client: Client, method: str, place: str, body: dict) -> str:
    """What comes back, as a letter. What the request did is undone, a sign-out too."""
    cookies = client.cookies.copy()
    kind = "application/json" if place.startswith("/api/") else MULTIPART_CONTENT
    with transaction.atomic():
        got = client.get(place) if method == "get" else client.post(place, body, content_type=kind)
        transaction.set_rollback(True)
    client.cookies = cookies
    to = got.headers.get("Location", "")
    if got.status_code == 401 or to.startswith("/login/?next="):
        return "S"
    if to.startswith("/admin/login/"):  # which refuses whoever is signed in and has no business there
        return "R"
    return {403: "R", 404: "N", 405: "M"}.get(got.status_code, "A" if got.status_code < 500 else "!")


def body_of(address: Address, world: dict) -> dict:
    """What is sent to it: enough that the question is whether one may."""
    if not address.route.startswith("api/"):
        return world["body"]
    body = BODIES.get(address.label, {"version": world["body"]["version"]})
    return {name: filled(value, world["keys"]) for name, value in body.items()}


def filled(value: object, keys: dict) -> object:
    if isinstance(value, list):
        return [filled(one, keys) for one in value]
    return str(keys.get(value, value)) if isinstance(value, str) else value


def answers(address: Address, world: dict, roles: list[str], method: str) -> str:
    here, body = place(address, world["keys"]), body_of(address, world)
    return "".join(answer(world["clients"][role], method, here, body) for role in roles)


def test_every_address_has_a_row():
    rows = [one for one in ALL if not one.is_old and one.model == ("", "") and one.label not in ADDRESSES]
    models = {one.model[0] for one in ALL if one.model[0]} - set(MODELS)

    missing = [f"{one.label} ({one.route})" for one in rows]
    assert missing == [], "Add a row to ADDRESSES: what GET and POST answer to whom."
    assert models == set(), "Add a row to MODELS: what manager, auditor and superuser may do with these."


def test_every_row_has_an_address():
    assert set(ADDRESSES) - {one.label for one in ALL} == set()
    assert set(MODELS) - {one.model[0] for one in ALL} == set()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("address", [one for one in ALL if one.label in ADDRESSES], ids=str)
def test_an_address_answers_each_role_as_the_table_says(world, address, method):
    assert answers(address, world, ROLES, method) == ADDRESSES[address.label][method == "post"]


@pytest.mark.parametrize("address", [one for one in ALL if one.model[1] in PAGES], ids=str)
def test_a_page_of_the_administration_is_open_to_whom_the_table_says(world, address):
    model, page = address.model
    for method, enough in zip(("get", "post"), PAGES[page], strict=True):
        if enough:
            expected = ["A" if set(enough) & set(held) else "R" for held in MODELS[model]]
            assert answers(address, world, STAFF, method) == "".join(expected)
    assert answers(address, world, ["nobody", "reconciliation"], "post") == "SR"


@pytest.mark.parametrize("address", [one for one in ALL if one.is_old or one.model[1] == "history"], ids=str)
def test_the_rest_of_the_administration_is_shut_to_whom_it_is_shut(world, address):
    assert set(answers(address, world, ["nobody", "reconciliation"], "get")) <= set("SR")


@pytest.mark.parametrize("address", [one for one in ALL if one.model[1] in ("restore", "test")], ids=str)
def test_a_rule_is_restored_and_a_partner_tested_only_by_whom_may_change_it(world, address):
    """There is no such version and no such partner: who may would see that."""
    expected = ["N" if "c" in held else "R" for held in MODELS[address.model[0]]]
    assert answers(address, world, STAFF, "post") == "".join(expected)
    assert set(answers(address, world, STAFF, "get")) <= set("RM")
    assert answers(address, world, ["nobody", "reconciliation"], "post") == "SR"
