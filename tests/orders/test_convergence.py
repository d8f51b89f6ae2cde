"""Messages about one patient end in one state, in whatever order they arrive and however often."""

import pytest
from django.db import transaction

from orders.models import Order, Patient
from tests.orders import hl7, state

pytestmark = pytest.mark.django_db


def ends(messages: list[bytes]) -> list[dict]:
    """Every different state in which the messages end, in all orders. A common beginning is applied once."""
    found: list[dict] = []

    def go_on(left: list[bytes]) -> None:
        if not left and (now := state.of_everything()) not in found:
            found.append(now)
        for n, message in enumerate(left):
            with transaction.atomic():
                assert hl7.tell(message) == ["AA"]
                go_on(left[:n] + left[n + 1 :])
                transaction.set_rollback(True)

    go_on(messages)
    return found


STORIES = {
    "merged and parted again": [
        hl7.adt("A04", "MRN1", at=1, name="Muller^Anna", birth_date="19610403"),
        hl7.adt("A08", "MRN1", "99^^^CITY", at=2),
        hl7.order("NW", at=3),
        hl7.merge("MRN2", "MRN1", at=4),
        hl7.order("XO", "MRN2", at=5, accession="ACC1", text="CT head"),
        hl7.two("A37", "MRN2", "MRN1", at=6),
    ],
    "another identifier": [
        hl7.adt("A04", "MRN1", at=1, name="Muller^Anna"),
        hl7.order("NW", "MRN1", at=2),
        hl7.rename("MRN7", "MRN1", at=3),
        hl7.adt("A31", "MRN7", at=4, name="Mueller-Lys^Anna"),
        hl7.order("SC", "MRN7", at=5, filler="F1^RIS", accession="ACC1", status="IP"),
        hl7.order("CA", "MRN7", at=6, placer="", filler="F1^RIS"),
    ],
}
SHORTER = {
    "a chain": [
        hl7.merge("MRN2", "MRN1", at=1),
        hl7.merge("MRN3", "MRN2", at=2),
        hl7.order("NW", "MRN1", at=0),
        hl7.adt("A08", "MRN1", at=3, name="Someone^Else"),
        hl7.two("A37", "MRN2", "MRN3", at=4),
    ],
    "a reversal": [
        hl7.merge("MRN2", "MRN1", at=1),
        hl7.merge("MRN1", "MRN2", at=2),
        hl7.order("NW", "MRN2", at=0),
        hl7.adt("A08", "MRN2", at=3),
    ],
    "a circle": [
        hl7.merge("MRN2", "MRN1", at=1),
        hl7.merge("MRN3", "MRN2", at=2),
        hl7.merge("MRN1", "MRN3", at=3),
        hl7.order("NW", "MRN2", at=0),
    ],
    "merged, parted, merged": [
        hl7.merge("MRN2", "MRN1", at=1),
        hl7.two("A37", "MRN1", "MRN2", at=2),
        hl7.merge("MRN2", "MRN1", at=3),
        hl7.order("NW", "MRN1", at=0),
    ],
    "linked, parted, linked": [
        hl7.two("A24", "MRN1", "MRN2", at=1),
        hl7.two("A37", "MRN1", "MRN2", at=2),
        hl7.two("A24", "MRN2", "MRN1", at=3),
        hl7.merge("MRN3", "MRN1", at=4),
    ],
    "one identifier of two patients": [
        hl7.adt("A04", "MRN1", "55^^^CITY", at=1),
        hl7.adt("A04", "MRN2", "55^^^CITY", at=2),
        hl7.adt("A04", "MRN3", "55^^^CITY", at=3),
        hl7.merge("MRN2", "MRN3", at=4),
    ],
    "numbers that come one by one": [
        hl7.order("NW", at=1, placer="P1^RIS"),
        hl7.order("SC", at=2, placer="", filler="F1^RIS", status="IP"),
        hl7.order("XO", at=3, placer="P1^RIS", filler="F1^RIS", text="CT head"),
        hl7.order("XO", at=4, placer="", filler="F1^RIS", accession="ACC1"),
        hl7.order("SC", at=5, placer="", accession="ACC1", status="CM"),
    ],
    "two changes of the identifier": [
        hl7.adt("A04", "MRN1", at=1),
        hl7.rename("MRN2", "MRN1", at=2),
        hl7.rename("MRN3", "MRN2", at=3),
        hl7.order("NW", "MRN2", at=2),
        hl7.merge("MRN9", "MRN1", at=1),
    ],
    "null and nothing": [
        hl7.adt("A04", "MRN1", at=1),
        hl7.adt("A08", "MRN1", at=2, sex='""', birth_date='""'),
        hl7.adt("A08", "MRN1", at=3, sex="", birth_date=""),
        hl7.order("NW", at=4),
    ],
    "at the same minute": [
        hl7.adt("A04", "MRN1", at=1, sex="F"),
        hl7.adt("A08", "MRN1", at=1, sex="M"),
        hl7.adt("A08", "MRN1", at=1, sex="O"),
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
    hl7.tell(*messages)
    before = state.of_everything()

    hl7.tell(*(raw.replace(b"|P|2.5.1", b"|P|2.5.1|||") for raw in reversed(messages)))

    assert state.of_everything() == before


def test_the_end_of_the_first_story_is_the_right_one():
    hl7.tell(*reversed(STORIES["merged and parted again"]))

    order, patient = Order.objects.get(), Patient.objects.get(identifiers__value="MRN1")
    assert (order.patient, order.own, order.accession_number, order.description) == (patient, None, "ACC1", "CT head")
    assert (patient.name, patient.merged_into) == ("Mueller^Anna", None)
    assert {one.value for one in patient.identifiers.all()} == {"MRN1", "99"}


def test_the_end_of_the_second_story_is_the_right_one():
    hl7.tell(*reversed(STORIES["another identifier"]))

    order, patient = Order.objects.get(), Patient.objects.get()
    assert (order.patient, order.status, order.accession_number) == (patient, "cancelled", "ACC1")
    assert (patient.name, patient.identifier().value) == ("Mueller-Lys^Anna", "MRN7")
