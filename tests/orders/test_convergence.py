"""Messages about one patient end in one state, in whatever order they arrive and however often."""

import pytest
from django.db import transaction

from orders.models import Order, Patient
from tests.orders import said, state

pytestmark = pytest.mark.django_db


def ends(messages: list[bytes]) -> list[dict]:
    """Every different state in which the messages end, in all orders. A common beginning is applied once."""
    found: list[dict] = []

    def go_on(left: list[bytes]) -> None:
        if not left and (now := state.of_everything()) not in found:
            found.append(now)
        for n, message in enumerate(left):
            with transaction.atomic():
                assert said.tell(message) == ["AA"]
                go_on(left[:n] + left[n + 1 :])
                transaction.set_rollback(True)

    go_on(messages)
    return found


STORIES = {
    "merged and parted again": [
        said.adt("A04", "MRN1", at=1, name="Muller^Anna", birth_date="19610403"),
        said.adt("A08", "MRN1", "99^^^CITY", at=2),
        said.order("NW", at=3),
        said.merge("MRN2", "MRN1", at=4),
        said.order("XO", "MRN2", at=5, accession="ACC1", text="CT head"),
        said.two("A37", "MRN2", "MRN1", at=6),
    ],
    "another identifier": [
        said.adt("A04", "MRN1", at=1, name="Muller^Anna"),
        said.order("NW", "MRN1", at=2),
        said.rename("MRN7", "MRN1", at=3),
        said.adt("A31", "MRN7", at=4, name="Mueller-Lys^Anna"),
        said.order("SC", "MRN7", at=5, filler="F1^RIS", accession="ACC1", status="IP"),
        said.order("CA", "MRN7", at=6, placer="", filler="F1^RIS"),
    ],
}
SHORTER = {
    "a chain": [
        said.merge("MRN2", "MRN1", at=1),
        said.merge("MRN3", "MRN2", at=2),
        said.order("NW", "MRN1", at=0),
        said.adt("A08", "MRN1", at=3, name="Someone^Else"),
        said.two("A37", "MRN2", "MRN3", at=4),
    ],
    "a reversal": [
        said.merge("MRN2", "MRN1", at=1),
        said.merge("MRN1", "MRN2", at=2),
        said.order("NW", "MRN2", at=0),
        said.adt("A08", "MRN2", at=3),
    ],
    "a circle": [
        said.merge("MRN2", "MRN1", at=1),
        said.merge("MRN3", "MRN2", at=2),
        said.merge("MRN1", "MRN3", at=3),
        said.order("NW", "MRN2", at=0),
    ],
    "merged, parted, merged": [
        said.merge("MRN2", "MRN1", at=1),
        said.two("A37", "MRN1", "MRN2", at=2),
        said.merge("MRN2", "MRN1", at=3),
        said.order("NW", "MRN1", at=0),
    ],
    "linked, parted, linked": [
        said.two("A24", "MRN1", "MRN2", at=1),
        said.two("A37", "MRN1", "MRN2", at=2),
        said.two("A24", "MRN2", "MRN1", at=3),
        said.merge("MRN3", "MRN1", at=4),
    ],
    "one identifier of two patients": [
        said.adt("A04", "MRN1", "55^^^CITY", at=1),
        said.adt("A04", "MRN2", "55^^^CITY", at=2),
        said.adt("A04", "MRN3", "55^^^CITY", at=3),
        said.merge("MRN2", "MRN3", at=4),
    ],
    "numbers that come one by one": [
        said.order("NW", at=1, placer="P1^RIS"),
        said.order("SC", at=2, placer="", filler="F1^RIS", status="IP"),
        said.order("XO", at=3, placer="P1^RIS", filler="F1^RIS", text="CT head"),
        said.order("XO", at=4, placer="", filler="F1^RIS", accession="ACC1"),
        said.order("SC", at=5, placer="", accession="ACC1", status="CM"),
    ],
    "two changes of the identifier": [
        said.adt("A04", "MRN1", at=1),
        said.rename("MRN2", "MRN1", at=2),
        said.rename("MRN3", "MRN2", at=3),
        said.order("NW", "MRN2", at=2),
        said.merge("MRN9", "MRN1", at=1),
    ],
    "links of a patient whose identifier changes": [
        said.two("A24", "MRN1", "MRN9", at=1),
        said.two("A24", "MRN7", "MRN9", at=2),
        said.rename("MRN7", "MRN1", at=3),
        said.two("A37", "MRN7", "MRN9", at=4),
    ],
    "null and nothing": [
        said.adt("A04", "MRN1", at=1),
        said.adt("A08", "MRN1", at=2, sex='""', birth_date='""'),
        said.adt("A08", "MRN1", at=3, sex="", birth_date=""),
        said.order("NW", at=4),
    ],
    "at the same minute": [
        said.adt("A04", "MRN1", at=1, sex="F"),
        said.adt("A08", "MRN1", at=1, sex="M"),
        said.adt("A08", "MRN1", at=1, sex="O"),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_720_permutations_of_six_messages_about_one_patient_end_in_one_state(story):
    assert len(ends(STORIES[story])) == 1


@pytest.mark.parametrize("story", SHORTER)
def test_every_order_of_arrival_ends_in_one_state(story):
    assert len(ends(SHORTER[story])) == 1


@pytest.mark.parametrize("story", STORIES | SHORTER)
def test_messages_that_come_again_under_another_control_id_change_nothing(story):
    messages = (STORIES | SHORTER)[story]
    said.tell(*messages)
    before = state.of_everything()

    said.tell(*(raw.replace(b"|P|2.5.1", b"|P|2.5.1|||") for raw in reversed(messages)))

    assert state.of_everything() == before


def test_the_end_of_the_first_story_is_the_right_one():
    said.tell(*reversed(STORIES["merged and parted again"]))

    order, patient = Order.objects.get(), Patient.objects.get(identifiers__value="MRN1")
    assert (order.patient, order.own, order.accession_number, order.description) == (patient, None, "ACC1", "CT head")
    assert (patient.name, patient.merged_into) == ("Mueller^Anna", None)
    assert {one.value for one in patient.identifiers.all()} == {"MRN1", "99"}


def test_the_end_of_the_second_story_is_the_right_one():
    said.tell(*reversed(STORIES["another identifier"]))

    order, patient = Order.objects.get(), Patient.objects.get()
    assert (order.patient, order.status, order.accession_number) == (patient, "cancelled", "ACC1")
    assert (patient.name, patient.identifier().value) == ("Mueller-Lys^Anna", "MRN7")
