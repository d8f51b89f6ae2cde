"""Two connections bring the same thing at the same moment: one row, one truth, an answer to each."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from orders import inbound
from orders.hl7 import read
from orders.models import Message, Order, Patient
from tests.orders import said

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(messages: list[bytes]) -> list[str]:
    def one(raw: bytes) -> str:
        try:
            return read.parse(inbound.receive(raw, peer="10.0.0.9")).first("MSA").text(1)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, messages))


def test_a_new_patient_in_four_messages_at_once_is_one_patient():
    messages = [said.adt("A08", "MRN1", at=n, name=f"Mueller^Anna{n}") for n in range(12)]

    assert at_once(messages) == ["AA"] * 12
    assert Patient.objects.get().name == "Mueller^Anna11"


def test_one_message_over_four_connections_is_applied_once():
    raw = said.order("NW", accession="ACC1")

    assert at_once([raw] * 4) == ["AA"] * 4
    assert sorted(Message.objects.values_list("outcome", flat=True)) == ["applied", "repeated", "repeated", "repeated"]


def test_parts_of_one_order_at_once_are_one_order():
    messages = [said.order("XO", at=n, text=f"CT {n}") for n in range(6)]
    messages += [said.merge("MRN2", "MRN1", at=9), said.adt("A08", "MRN2", at=9)]

    assert at_once(messages) == ["AA"] * 8
    assert (Order.objects.get().description, Order.objects.get().patient.merged_into) == ("CT 5", None)
