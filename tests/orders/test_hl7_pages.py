"""Pages about messages: found, read segment by segment, replayed; pasted ones read without being kept."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orders import inbound, preview
from orders.models import Feed, Identifier, Merge, Message, Order, Patient
from policies.models import LedgerLine, User
from tests import make
from tests.orders import said

pytestmark = pytest.mark.django_db
LISTS = ["message", "feed", "merge", "crossreference", "claim"]


@pytest.fixture
def manager(client):
    user = make.user("manager")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))
    return client


def page(client, name: str, **query) -> str:
    answer = client.get(f"/admin/orders/{name}/", query)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("word", ["MRN1", "ACC1", "P1", "C-77"])
def test_a_message_is_found_by_what_it_names(manager, word):
    said.tell(said.order("NW", accession="ACC1"), said.adt("A04", "MRN2", control="X"))
    said.tell(said.adt("A08", "MRN1", "ACC1^^^CITY", "P1^^^CITY", at=1, control="C-77"))

    shown = page(manager, "message", q=word)
    assert "ADT^A08" in shown
    assert "ADT^A04" not in shown


def test_a_message_is_shown_field_by_field_as_text(manager):
    said.tell(said.adt("A04", "MRN1", name="<script>alert(1)</script>^Anna"))
    row = Message.objects.get()

    shown = page(manager, f"message/{row.pk}/change")
    assert "Patient Identifier List" in shown
    assert "New patient MRN1 (HOSP)." in shown
    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_even_what_is_no_message_can_be_looked_at(manager):
    inbound.receive(b"\x00\xff nonsense", peer="10.0.0.9")

    assert "nonsense" in page(manager, f"message/{Message.objects.get().pk}/change")


@pytest.mark.parametrize("name", ["message", "merge", "crossreference", "claim"])
def test_nothing_of_it_is_added_or_deleted_by_hand(manager, name):
    assert manager.get(f"/admin/orders/{name}/add/").status_code == 403


def test_a_message_is_neither_changed_nor_deleted(manager):
    said.tell(said.adt("A04", "MRN1"))
    address = f"/admin/orders/message/{Message.objects.get().pk}"

    assert manager.post(f"{address}/change/", {"outcome": "refused"}).status_code == 403
    assert manager.post(f"{address}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("name", LISTS)
def test_whoever_has_no_business_there_sees_nothing(client, name):
    user = make.user("desk")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))

    assert client.get(f"/admin/orders/{name}/").status_code == 403
    assert client.get("/admin/orders/feed/read/").status_code == 403


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_as_many_queries_however_long_it_is(manager, name):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            page(manager, name)
        return len(asked)

    def one_more(n: int) -> None:
        said.tell(said.merge(f"S{n}", f"V{n}"), said.two("A24", f"L{n}", f"M{n}"))
        said.tell(said.adt("A04", f"A{n}", f"{n}^^^CITY"), said.adt("A04", f"B{n}", f"{n}^^^CITY", at=1))
        Feed.objects.create(name=f"Feed {n}", sending_application=f"App {n}")

    one_more(1)
    queries()  # the first page of a session writes down that it began
    few = queries()
    for n in range(2, 6):
        one_more(n)

    assert queries() == few


def test_replay_from_the_list_says_what_it_changed(manager):
    feed = Feed.objects.create(name="EMR", sending_application="EMR", active=False)
    said.tell(said.adt("A04", "MRN1"))
    Feed.objects.filter(pk=feed.pk).update(active=True)
    form = {"action": "replay", "_selected_action": [str(Message.objects.get().pk)]}

    shown = manager.post("/admin/orders/message/", form, follow=True).content.decode()

    assert "New patient MRN1 (HOSP)." in shown
    assert Patient.objects.count() == 1


def test_a_merge_is_undone_from_the_list_after_the_reason_was_asked(manager):
    said.tell(said.order("NW", "MRN1"), said.merge("MRN2", "MRN1", at=1))
    form = {"action": "undo", "_selected_action": [str(Merge.objects.get().pk)]}

    asked = manager.post("/admin/orders/merge/", form).content.decode()
    assert "MRN1, Mueller Anna" in asked
    assert Merge.objects.get().undone_at is None

    manager.post("/admin/orders/merge/", form | {"reason": "Two sisters"}, follow=True)
    assert Order.objects.get().patient == Identifier.objects.get(value="MRN1").patient
    assert LedgerLine.objects.get(verb="unmerge").reason == "Two sisters"


# --- how would this message be read? ---------------------------------------------------------------------------------


def facts(raw: bytes) -> dict[str, tuple[str, str]]:
    shown = preview.preview(raw.decode().replace("\r", "\r\n"))
    return {fact.what: (fact.value, fact.place) for part in shown.parts for fact in part.facts}


def test_each_fact_is_shown_with_the_field_that_it_stands_in():
    found = facts(said.order("NW", accession="ACC1"))

    assert found["names the patient"] == ("MRN1 (HOSP)", "PID-3")
    assert found["accession number"] == ("ACC1", "OBR-18")
    assert found["placer order number"] == ("P1 (RIS)", "ORC-2")
    assert found["description"] == ("CT chest", "OBR-4.2")


def test_a_feed_changes_where_it_is_read():
    Feed.objects.create(name="RIS", sending_application="EMR", accession_number="OBR-3,ORC-3")

    assert facts(said.order("NW", filler="F77", accession="ACC1"))["accession number"] == ("F77", "OBR-3")


def test_the_page_keeps_nothing(manager):
    Feed.objects.create(name="The RIS", sending_application="EMR")
    shown = manager.post("/admin/orders/feed/read/", {"text": said.merge("MRN2", "MRN1").decode()}).content.decode()

    assert "The RIS" in shown
    assert "Until now MRN1 (HOSP)" in shown
    assert "Merged MRN1 (HOSP) into MRN2 (HOSP)." in shown
    assert (Message.objects.count(), Patient.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hello", "does not begin with the segment MSH"),
        (said.message("ORU^R01", said.pid("MRN1")).decode(), "type ORU are not taken"),
        (said.message("ADT^A40", said.pid("MRN1")).decode(), "without its MRG"),
        (said.message("ADT^A08").decode(), "PID is missing"),
    ],
)
def test_the_page_says_why_a_message_would_be_refused(text, why):
    assert why in preview.preview(text).problem


def test_a_feed_is_not_saved_with_a_time_zone_that_does_not_exist(manager):
    form = {"name": "RIS", "time_zone": "Mars/Olympus", "character_set": "8859/77"}
    shown = manager.post("/admin/orders/feed/add/", form).content.decode()

    assert "There is no such time zone" in shown
    assert Feed.objects.count() == 0
