"""The managers' pages of the procedure map, order systems and orders."""

import pytest
from django.urls import reverse

from orders import generation
from orders.models import Notice, Order, OrderSystem
from policies.models import LedgerLine, ProcedureRule, User
from tests import make
from tests.reconciliation.views.browsing import signed_in, text

pytestmark = pytest.mark.django_db
TRY = "admin:policies_procedurerule_try"


@pytest.fixture
def admin():
    user = make.user("desk", group="Reconciliation")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    return signed_in(User.objects.get(pk=user.pk))


def manager():
    User.objects.filter(pk=make.user("manager").pk).update(is_staff=True)
    return signed_in(make.user("manager"))


@pytest.fixture
def lines():
    """A line for magnetic resonance, then one for chests."""
    procedure = make.procedure()
    ProcedureRule.objects.create(procedure=procedure, priority=10, modality="MR")
    return ProcedureRule.objects.create(procedure=procedure, priority=20, body_part="CHEST")


def test_facts_typed_in_show_the_line_and_what_was_passed_over(lines):
    shown = text(manager().get(reverse(TRY), {"modality": "CT, SR", "body_part": "thorax"}))

    assert "Outside CT, import (OUTCT)" in shown
    assert "Outside studies CHEST." in shown
    assert "It is for MR, and this study has CT, SR." in shown


def test_a_held_study_is_tried_by_its_address(admin, lines):
    study = make.study(BodyPartExamined="CHEST")
    shown = text(admin.get(reverse(TRY), {"study": f"http://portal/studies/{study.pk}/?choice=1"}))

    assert "Outside studies CHEST." in shown
    assert "The study says: General Hospital; CT; CHEST; “CT CHEST”" in shown


@pytest.mark.parametrize("address", ["nothing", "00000000-0000-0000-0000-000000000000"])
def test_an_address_that_leads_to_no_study_says_so(admin, lines, address):
    shown = text(admin.get(reverse(TRY), {"study": address}))

    assert "This is no address of a study." in shown or "There is no such study that you may see." in shown


def test_a_study_out_of_sight_is_not_tried(lines):
    lee = make.user("lee", grants=[("view", make.source("City Clinic"), None)])
    User.objects.filter(pk=lee.pk).update(is_staff=True, is_superuser=True)
    shown = text(signed_in(User.objects.get(pk=lee.pk)).get(reverse(TRY), {"study": str(make.study().pk)}))

    assert "There is no such study that you may see." in shown


def test_the_map_is_for_managers():
    User.objects.filter(pk=make.user("desk").pk).update(is_staff=True)

    assert signed_in(make.user("desk")).get(reverse(TRY)).status_code == 403


def test_an_order_system_that_is_told_has_an_address_and_a_character_set_of_hl7():
    client = manager()
    form = {"name": "RIS", "pattern": "placer", "form": "ORM_O01", "port": "2575", "patience": "900", "active": "on"}
    add = reverse("admin:orders_ordersystem_add")

    assert "Give the host" in text(client.post(add, form | {"character_set": "8859/1"}))
    assert "no such character set" in text(client.post(add, form | {"host": "ris", "character_set": "KOI8"}))
    assert client.post(add, form | {"host": "ris", "character_set": "8859/1"}).status_code == 302
    assert OrderSystem.objects.get().receiving_application == ""


def test_generated_orders_are_cancelled_from_the_list_and_others_say_why_not(admin):
    mine, theirs = make.order(origin="generated", requested_procedure_id="R"), make.order()
    form = {"action": "cancel_orders", "_selected_action": [str(mine.pk), str(theirs.pk)]}
    shown = text(admin.post(reverse("admin:orders_order_changelist"), form, follow=True))

    assert "it is cancelled where it was made" in shown
    assert list(Order.objects.filter(status="cancelled")) == [mine]
    assert LedgerLine.objects.filter(verb="cancel order").count() == 1


def test_a_manager_without_the_power_cancels_nothing():
    mine = make.order(origin="generated", requested_procedure_id="R")
    form = {"action": "cancel_orders", "_selected_action": [str(mine.pk)]}
    shown = text(manager().post(reverse("admin:orders_order_changelist"), form, follow=True))

    assert "may not create reconciliation orders" in shown
    assert Order.objects.get().is_open


def test_notices_are_looked_at_and_sent_again(admin):
    notice = _notice()
    page = text(admin.get(reverse("admin:orders_notice_change", args=[notice.pk])))
    form = {"action": "tell_again", "_selected_action": [str(notice.pk)]}
    admin.post(reverse("admin:orders_notice_changelist"), form)

    assert "ORC|NW|IMP00000001^IMGSHARE" in page
    assert Notice.objects.get().state == "queued"


def _notice() -> Notice:
    make.order_system()
    make.sequence()
    order = generation.generate(make.patient(), procedure=make.procedure(), by=make.user("desk"))
    Notice.objects.update(state="refused", attempts=1, problem="No.")
    return order.notices.get()
