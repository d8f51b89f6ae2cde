"""What the order system's own messages make of an order that it was told of: number given, refused, cancelled."""

import pytest

from orders import generation, inbound, outbound
from orders.hl7 import read
from orders.models import Message, Order
from tests import make

pytestmark = pytest.mark.django_db
PID = "PID|||MRN1^^^HOSP||Mueller^Anna||19610304|F"
OURS = "IMP00000001^IMGSHARE"


def message(kind: str, *segments: str) -> bytes:
    head = f"MSH|^~\\&|RIS|HOSP|IMGSHARE||20261124080000||{kind}|R{next(make.count)}|P|2.5.1"
    return "".join(f"{one}\r" for one in (head, *segments)).encode()


@pytest.fixture
def order() -> Order:
    """Placed, and accepted by the RIS."""
    return placed()


def placed(pattern: str = "placer") -> Order:
    make.order_system(pattern=pattern)
    make.sequence()
    patient = make.patient(ids=[("MRN1", "HOSP")])
    made = generation.generate(patient, procedure=make.procedure(), by=make.user("desk"))
    claimed = outbound.claim(made.notices.get().pk)
    accepted = message("ACK", f"MSA|AA|{claimed.control_id}")
    outbound._take(claimed, outbound.ordering.answer(read.parse(accepted)))
    return Order.objects.get()


def comes(raw: bytes) -> str:
    """The code of our answer."""
    return read.parse(inbound.receive(raw, peer="127.0.0.1")).first("MSA").text(1)


def test_a_status_message_brings_the_number(order):
    said = message(
        "ORM^O01", PID, f"ORC|SC|{OURS}|F9^RIS||SC", f"OBR|1|{OURS}|F9^RIS|OUT^Outside CT^L" + "|" * 14 + "ACC9"
    )

    assert comes(said) == "AA"
    order.refresh_from_db()
    assert (order.accession_number, order.filler_order_number, order.awaits_number) == ("ACC9", "F9", False)
    assert order.notices.get().state == "answered"
    assert Order.objects.count() == 1


def test_a_scheduled_procedure_by_omi_brings_all_numbers(order):
    ipc = "IPC|ACC5512^RIS|RP331^RIS|1.2.840.99.1.55|SPS331^RIS|CT"
    orc = ["ORC|NW|IMP00000001^IMGSHARE|FL991^RIS||SC", "OBR|1|IMP00000001^IMGSHARE|FL991^RIS|OUT^Outside CT^L", ipc]

    assert comes(message("OMI^O23^OMI_O23", PID, *orc)) == "AA"
    order.refresh_from_db()
    assert (order.accession_number, order.accession_issuer) == ("ACC5512", "RIS")
    assert (order.requested_procedure_id, order.scheduled_procedure_step_id) == ("RP331", "SPS331")
    assert (order.study_instance_uid, order.awaits_number) == ("1.2.840.99.1.55", False)


@pytest.mark.parametrize("control", ["UA", "CA", "OC"])
def test_an_order_that_the_ris_does_not_take_is_refused_in_its_words(order, control):
    said = message("ORM^O01", PID, f"ORC|{control}|IMP00000001^IMGSHARE{'|' * 14}^Ask the chest team", "OBR|1")

    assert comes(said) == "AA"
    order.refresh_from_db()
    notice = order.notices.get()
    assert (order.status, notice.state) == ("cancelled", "refused")
    assert (
        outbound.standing(notice) == "RIS refuses it: Ask the chest team. The order is cancelled. Generate another one."
    )


def test_a_message_that_crosses_our_cancellation_does_not_open_the_order_again(order):
    generation.cancel(order, by=make.user("desk"), reason="Wrong patient")

    assert comes(message("ORM^O01", PID, f"ORC|SC|{OURS}|F9^RIS||SC", "OBR|1" + "|" * 17 + "ACC9")) == "AA"
    order.refresh_from_db()
    assert (order.status, order.accession_number) == ("cancelled", "ACC9")


def test_a_number_assigned_to_an_order_that_we_numbered_is_kept():
    order = placed("filler")
    said = message("ORM^O01", PID, "ORC|NA|P77^RIS|IMP00000001^IMGSHARE", "OBR|1|P77^RIS|IMP00000001")

    assert comes(said) == "AA"
    order.refresh_from_db()
    assert (order.placer_order_number, order.accession_number) == ("P77", "IMP00000001")


def test_an_order_response_of_its_own_is_an_answer(order):
    control_id = order.notices.get().control_id
    orc = ["ORC|OK|IMP00000001^IMGSHARE|F9^RIS", "OBR|1" + "|" * 17 + "ACC9|RP9|SPS9"]

    assert comes(message("ORR^O02", f"MSA|AA|{control_id}", *orc)) == "AA"
    order.refresh_from_db()
    assert (order.accession_number, order.awaits_number) == ("ACC9", False)
    assert Message.objects.get().outcome == "applied"


def test_an_acknowledgement_of_something_else_is_accepted_and_changes_nothing(order):
    assert comes(message("ACK^O01^ACK", "MSA|AE|SOMETHING")) == "AA"
    assert Message.objects.get().outcome == "ignored"
    assert order.notices.get().state == "accepted"


def test_an_answer_without_a_verdict_is_refused():
    assert comes(message("ORR^O02", "ORC|OK|IMP00000001")) == "AE"
