"""Passing powers on: never wider, never longer, never to oneself; every change in the ledger."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import authority
from policies.models import Grant, LedgerLine, Power, User
from policies.rules import scopes
from policies.rules.scopes import Facts, Limits

pytestmark = pytest.mark.django_db
TODAY = date(2026, 11, 24)
LIMITS = st.builds(
    Limits,
    source=st.sampled_from([None, "a", "b"]),
    destination=st.sampled_from([None, "x"]),
    modality=st.sampled_from(["", "CT", "MR"]),
    intent=st.sampled_from(["", "read", "reference"]),
    category=st.sampled_from(["", "incorporated"]),
    valid_from=st.sampled_from([None, TODAY - timedelta(3), TODAY + timedelta(3)]),
    valid_until=st.sampled_from([None, TODAY, TODAY + timedelta(9)]),
)
FACTS = st.builds(
    Facts,
    source=st.sampled_from(["a", "b"]),
    destination=st.sampled_from(["x", "y"]),
    modalities=st.sampled_from([(), ("CT",), ("CT", "MR")]),
    intent=st.sampled_from(["", "read", "reference"]),
    category=st.sampled_from(["incorporated", "teleradiology"]),
)


def lets(one: Limits, facts: Facts, day: date, lenient: bool) -> bool:
    return one.holds_on(day) and not scopes.bar([one], facts, undecided_is_covered=lenient)[0]


@settings(max_examples=500, deadline=None)
@given(LIMITS, LIMITS, FACTS, st.integers(-5, 12), st.booleans())
def test_what_is_within_a_grant_lets_nobody_do_more_on_any_day(inner, outer, facts, days, lenient):
    day = TODAY + timedelta(days)
    if scopes.within(inner, outer) and lets(inner, facts, day, lenient):
        assert lets(outer, facts, day, lenient)


def holder(*held: dict, name: str = "lee", superuser: bool = False) -> User:
    group = Group.objects.create(name=f"group of {name}")
    user = User.objects.create(username=name, is_staff=True, is_superuser=superuser)
    user.groups.add(group)
    for columns in held:
        Grant.objects.create(group=group, **columns)
    return user


def to_others(**columns) -> Grant:
    return Grant(group=Group.objects.get_or_create(name="Others")[0], **columns)


CT = {"power": Power.RELEASE, "modality": "CT", "valid_until": date(2099, 1, 1)}
PASSED = CT | {"may_pass_on": True}


@pytest.mark.parametrize(
    ("held", "given", "sentence"),
    [
        (PASSED, CT, ""),
        (PASSED, PASSED, ""),
        (CT, CT, "Your role may not grant powers to others."),
        (PASSED, CT | {"valid_until": None}, "only within your own scope and time"),
        (PASSED, CT | {"valid_until": date(2099, 1, 2)}, "only within your own scope and time"),
        (PASSED, CT | {"modality": ""}, "only within your own scope and time"),
        (PASSED, CT | {"intent": "read"}, ""),
        (PASSED, CT | {"power": Power.RECALL}, "may not pass on the power to recall studies"),
        (PASSED | {"valid_until": date(2020, 1, 1)}, CT, "Your role may not grant powers to others."),
        ({"power": Power.GRANT}, CT, ""),
        ({"power": Power.GRANT}, PASSED, ""),
        ({"power": Power.GRANT, "modality": "MR"}, CT, "only within your own scope and time"),
        ({"power": Power.GRANT}, {"power": Power.GRANT}, "may not pass on the power to grant"),
        ({"power": Power.GRANT, "may_pass_on": True}, {"power": Power.GRANT}, ""),
    ],
)
def test_what_may_be_passed_on(held, given, sentence):
    said = authority.why_not_pass_on(holder(held), to_others(**given))

    assert sentence in said
    assert bool(said) == bool(sentence)


def test_nobody_gives_to_a_group_of_their_own_but_a_superuser():
    lee, root = holder({"power": Power.GRANT}), holder(name="root", superuser=True)

    assert "ask another person" in authority.why_not_pass_on(lee, Grant(group=lee.groups.get(), **CT))
    assert authority.why_not_pass_on(root, Grant(group=root.groups.get(), **CT)) == ""


def posted(user: User, address: str, **said):
    client = Client()
    client.force_login(user)
    empty = dict.fromkeys(("source", "destination", "modality", "intent", "category", "valid_from", "valid_until"), "")
    return client.post(f"/admin/policies/grant/{address}", empty | said)


def test_the_page_of_grants_refuses_what_is_not_ones_own_to_give_and_records_what_is():
    lee, others = holder(PASSED), Group.objects.create(name="Others")
    until = {"group": others.pk, "power": "release", "valid_until": "2098-01-01"}

    refused = posted(lee, "add/", **until)
    assert "only within your own scope and time" in refused.content.decode()
    assert posted(lee, "add/", **until | {"modality": "ct"}).status_code == 302
    grant = Grant.objects.get(group=others)
    assert (grant.modality, grant.may_pass_on) == ("CT", False)
    assert LedgerLine.objects.get(verb="add", subject="grant").actor_key == str(lee.pk)


def test_a_wider_grant_of_somebody_else_is_neither_changed_nor_deleted():
    lee, wide = holder(PASSED), to_others(power=Power.RELEASE)
    wide.save()

    assert posted(lee, f"{wide.pk}/change/", group=wide.group_id, power="release", modality="CT").status_code == 403
    assert posted(lee, f"{wide.pk}/delete/", post="yes").status_code == 403
    assert Grant.objects.get(pk=wide.pk).modality == ""


def test_who_may_give_nothing_has_no_page_to_give():
    client = Client()
    client.force_login(holder(CT))

    assert client.get("/admin/policies/grant/").status_code == 403


def test_a_group_page_refuses_a_grant_to_a_group_of_ones_own():
    lee = holder({"power": Power.GRANT})
    lee.user_permissions.add(*_of_groups())
    group, client = lee.groups.get(), Client()
    client.force_login(lee)
    row = {"grants-0-group": group.pk, "grants-0-power": "release", "grants-0-modality": ""}
    form = {"name": group.name, "why": "Nights.", "grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 0, **row}

    assert "ask another person" in client.post(f"/admin/auth/group/{group.pk}/change/", form).content.decode()
    other = Group.objects.create(name="Others")
    row |= {"grants-0-group": other.pk}
    assert client.post(f"/admin/auth/group/{other.pk}/change/", form | row | {"name": "Others"}).status_code == 302
    assert LedgerLine.objects.get(verb="change grants").detail["new"] == ["Others: release any source"]


def _of_groups():
    return Permission.objects.filter(codename__in=["change_group", "view_group"])
