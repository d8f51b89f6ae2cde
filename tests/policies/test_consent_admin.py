import pytest
from django.test import Client

from policies import consent
from policies.models import ConsentRule, LedgerLine, User
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager():
    user = make.user("manager")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def test_a_manager_makes_a_rule_by_ticking_and_it_is_in_the_ledger(manager):
    form = {"name": "Research", "priority": 5, "suffices": ["patient"], "purposes": ["research"], "evidence": "scan"}
    answer = manager.post("/admin/policies/consentrule/add/", form | {"active": "on", "period": "P2Y"})
    rule = ConsentRule.objects.get()

    assert answer.status_code == 302
    assert (rule.suffices, rule.purposes, rule.period) == (["patient"], ["research"], "P2Y")
    assert LedgerLine.objects.filter(verb="add", subject_key=str(rule.pk)).exists()


@pytest.mark.parametrize("wrong", [{"suffices": []}, {"period": "2 years"}, {"purposes": ["marketing"]}])
def test_a_rule_that_says_nothing_or_nonsense_is_not_saved(manager, wrong):
    form = {"name": "Research", "priority": 5, "suffices": ["patient"], "evidence": "any"}

    assert manager.post("/admin/policies/consentrule/add/", form | wrong).status_code == 200
    assert not ConsentRule.objects.exists()


def test_the_list_says_what_each_rule_is_for_and_what_suffices(manager):
    consent.install()
    page = manager.get("/admin/policies/consentrule/").content.decode()

    assert "Out to another organisation, younger than 18" in page
    assert "Consent of a guardian, Legal duty" in page


def test_the_tester_names_the_rule_and_why_the_others_do_not_speak(manager):
    consent.install()
    facts = {"direction": "in", "purpose": "teaching", "age": 40, "category": "incorporated", "intent": "reference"}
    page = manager.get("/admin/policies/consentrule/try/", facts).content.decode()

    assert "<h2>Teaching and research</h2>" in page
    assert "It is for patients younger than 18." in page


def test_the_tester_is_for_who_may_see_the_rules():
    client = Client()
    client.force_login(make.user("desk"))

    assert client.get("/admin/policies/consentrule/try/").status_code == 302
