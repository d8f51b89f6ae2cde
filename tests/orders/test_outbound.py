"""Orders that an order system is told of: three patterns, what answers and messages mean, what people may do."""

from datetime import timedelta

import pytest
from django.utils import timezone

from orders import generation, outbound
from orders.hl7 import ordering, read
from orders.models import Notice, Order, OrderSystem
from policies.models import LedgerLine
from policies.problems import Conflict, Denied, Invalid
from tests import make

pytestmark = pytest.mark.django_db
HEAD = "MSH|^~\\&|RIS|HOSP|IMGSHARE|Local Hospital|20250131143001||ORR^O02|R1|P|2.3.1\r"


def generated(pattern: str = "placer", **columns) -> Order:
    make.order_system(pattern=pattern, **columns)
    make.sequence()
    return generation.generate(make.patient(), procedure=make.procedure(modality="CT"), by=make.user("desk"))


def answered(notice: Notice, *segments: str, code: str = "AA") -> Notice:
    """What the worker does when this comes back."""
    claimed = outbound.claim(notice.pk)
    raw = HEAD + f"MSA|{code}|{notice.control_id}\r" + "".join(f"{one}\r" for one in segments)
    outbound._take(claimed, ordering.answer(read.parse(raw.encode())))
    return Notice.objects.get(pk=notice.pk)


def numbered(order: Order) -> list[str]:
    """An answer with all numbers of this order."""
    return [f"ORC|OK|{order.placer_order_number}^IMGSHARE|F9^RIS", f"OBR|1||||{'|' * 13}ACC1|RP1|SPS1"]


def verbs() -> list[str]:
    return list(LedgerLine.objects.order_by("id").values_list("verb", flat=True))


# --- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [{"pattern": "local", "host": ""}, {"active": False}])
def test_where_nobody_is_told_an_order_has_its_number_at_once(columns):
    order = generated(**columns)

    assert (order.accession_number, order.awaits_number) == ("IMP00000001", False)
    assert not Notice.objects.exists()


def test_a_placed_order_waits_under_our_number():
    order = generated("placer")
    said = read.parse(bytes(order.notices.get().raw))

    assert (order.placer_order_number, order.accession_number, order.awaits_number) == ("IMP00000001", "", True)
    assert (said.type, said.first("ORC").component(1, 1)) == ("ORM", "NW")
    assert said.first("ORC").component(2, 1) == "IMP00000001"


def test_an_order_that_we_number_can_be_used_at_once():
    order = generated("filler", form="OMI_O23")
    said = read.parse(bytes(order.notices.get().raw))

    assert (order.accession_number, order.filler_order_number, order.awaits_number) == (*["IMP00000001"] * 2, False)
    assert (said.type, said.first("ORC").component(1, 1)) == ("OMI", "SN")
    assert said.first("IPC").component(1, 1) == "IMP00000001"


def test_a_number_is_not_given_twice_as_placer_and_accession_number():
    order = generated("placer")
    OrderSystem.objects.update(active=False)
    again = generation.generate(order.patient, procedure=make.procedure(), by=make.user("desk"))

    assert again.accession_number == "IMP00000002"


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_accepted_order_waits_for_its_number():
    order = generated()
    notice = answered(order.notices.get())

    assert notice.state == "accepted"
    assert "its accession number is awaited" in outbound.standing(notice)
    assert outbound.why_waiting(Order.objects.get()).startswith("This order has no accession number yet. RIS accepted")


def test_numbers_in_the_acknowledgement_end_the_wait():
    order = generated()
    notice = answered(order.notices.get(), *numbered(order))
    order.refresh_from_db()

    assert (notice.state, order.awaits_number) == ("answered", False)
    assert (order.accession_number, order.requested_procedure_id, order.filler_order_number) == ("ACC1", "RP1", "F9")
    assert verbs() == ["generate", "order accepted", "number order"]


def test_an_answer_about_another_order_gives_no_number():
    order = generated()
    other = [one.replace("IMP00000001", "IMP00000002") for one in numbered(order)]

    assert answered(order.notices.get(), *other).state == "accepted"
    assert Order.objects.get().awaits_number


def test_a_number_that_another_order_has_is_refused_in_words():
    order = generated()
    make.order(accession_number="ACC1", accession_issuer="")
    notice = answered(order.notices.get(), *numbered(order))

    assert notice.state == "refused"
    assert "accession number ACC1, which is another order's" in notice.problem
    assert Order.objects.get(pk=order.pk).awaits_number


def test_a_number_too_long_for_an_object_is_refused_in_words():
    order = generated()
    answer = [one.replace("ACC1", "ACC1" * 5) for one in numbered(order)]
    notice = answered(order.notices.get(), *answer)

    assert (notice.state, Order.objects.get().accession_number) == ("refused", "")
    assert "at most 16 characters" in notice.problem


def test_the_placers_number_of_an_order_that_we_numbered_is_kept():
    order = generated("filler")
    notice = answered(order.notices.get(), "ORC|NA|P77^RIS|IMP00000001^IMGSHARE")

    assert (notice.state, Order.objects.get().placer_order_number) == ("answered", "P77")


def test_what_is_refused_is_not_sent_again_by_itself():
    order = generated()
    notice = answered(order.notices.get(), "ERR|PID^1^3^204&Unknown key identifier", code="AE")

    assert notice.state == "refused"
    assert outbound.due() == []
    assert "RIS refuses it: Unknown key identifier (PID-3)." in outbound.standing(notice)


def test_what_is_rejected_is_sent_again_later():
    notice = answered(generated().notices.get(), code="AR")

    assert (notice.state, notice.attempts) == ("queued", 1)
    assert notice.due_at > timezone.now()
    assert "Tried once, again at" in outbound.standing(notice)


def test_a_late_answer_is_taken_while_the_next_attempt_waits():
    order = generated()
    notice = answered(order.notices.get(), code="AR")
    raw = HEAD + f"MSA|AA|{notice.control_id}\r" + "\r".join(numbered(order))

    assert outbound.late(read.parse(raw.encode()))
    assert Notice.objects.get().state == "answered"
    assert not outbound.late(read.parse(raw.encode()))


def test_after_its_patience_the_desk_is_told_that_nothing_came_back():
    notice = answered(generated(patience=60).notices.get())
    Notice.objects.update(sent_at=timezone.now() - timedelta(seconds=61))

    assert "nothing came back since" in outbound.standing(Notice.objects.get())
    assert not outbound.is_silent(notice)


# --- messages that come later ----------------------------------------------------------------------------------------


def test_a_message_that_brought_the_number_ends_the_wait():
    order = generated()
    answered(order.notices.get())
    order.accession_number = "ACC7"
    order.save(update_fields=["accession_number"])
    outbound.heard(order, by="RIS")

    order = Order.objects.get()
    assert (order.awaits_number, order.requested_procedure_id) == (False, "ACC7")
    assert order.notices.get().state == "answered"


def test_a_number_that_came_before_the_acknowledgement_stays():
    order = generated()
    claimed = outbound.claim(order.notices.get().pk)
    Order.objects.update(accession_number="ACC7", requested_procedure_id="RP7")
    outbound.heard(Order.objects.get(), by="RIS")
    raw = HEAD + f"MSA|AA|{claimed.control_id}\r" + "\r".join(numbered(order))
    outbound._take(claimed, ordering.answer(read.parse(raw.encode())))

    assert Order.objects.get().accession_number == "ACC7"
    assert Notice.objects.get().state == "answered"


def test_a_later_word_that_it_cannot_be_accepted_is_shown():
    order = generated()
    answered(order.notices.get())
    outbound.heard(order, by="RIS", control="UA", words="No such procedure here.")

    assert "No such procedure here." in outbound.why_waiting(Order.objects.get())


def test_an_order_that_the_system_cancelled_while_it_waited_is_refused_in_words():
    order = generated()
    Order.objects.update(status="cancelled")
    outbound.heard(Order.objects.get(), by="RIS")

    assert order.notices.get().problem == "The order system has cancelled the order."


def test_an_order_of_somebody_else_is_no_business_of_ours():
    order = make.order(awaits_number=True, accession_number="X1")
    outbound.heard(order, by="RIS")

    assert verbs() == []


# --- people ----------------------------------------------------------------------------------------------------------


def test_a_person_sends_the_same_message_again_under_the_same_control_id():
    order = generated()
    notice = answered(order.notices.get(), code="AE")
    before = (notice.control_id, bytes(notice.raw))
    outbound.retry(notice, by=make.user("desk"))

    again = Notice.objects.get()
    assert (again.state, again.control_id, bytes(again.raw)) == ("queued", *before)
    assert outbound.due() == [again.pk]


def test_what_was_corrected_is_another_message():
    order = generated()
    notice = answered(order.notices.get(), code="AE")
    Order.objects.update(procedure_code="CORRECT")
    outbound.retry(Notice.objects.get(), by=make.user("desk"))

    again = Notice.objects.get()
    assert again.control_id != notice.control_id
    assert read.parse(bytes(again.raw)).control_id == again.control_id
    assert b"|CORRECT^" in bytes(again.raw)


def test_sending_again_takes_the_power_to_create_orders():
    notice = answered(generated().notices.get(), code="AE")
    with pytest.raises(Denied):
        outbound.retry(notice, by=make.user("frontdesk"))


def test_what_is_answered_is_not_sent_again():
    order = generated()
    notice = answered(order.notices.get(), *numbered(order))
    with pytest.raises(Conflict, match="answered"):
        outbound.retry(notice, by=make.user("desk"))


def test_an_order_that_nobody_has_heard_of_is_withdrawn_unsaid():
    order = generated()
    generation.cancel(order, by=make.user("desk"), reason="Wrong patient")

    assert [(one.kind, one.state) for one in Notice.objects.all()] == [("new", "withdrawn")]
    assert outbound.due() == []
    assert verbs() == ["generate", "cancel order"]


@pytest.mark.parametrize(("pattern", "control"), [("placer", "CA"), ("filler", "OC")])
def test_a_system_that_has_heard_of_an_order_hears_of_its_end(pattern, control):
    order = generated(pattern)
    answered(order.notices.get())
    generation.cancel(order, by=make.user("desk"), reason="Wrong patient")

    told = read.parse(bytes(order.notices.get(kind="cancel").raw)).first("ORC")
    assert (told.component(1, 1), told.component(16, 2)) == (control, "Wrong patient")


def test_what_the_system_refused_it_need_not_be_told_the_end_of():
    order = generated()
    notice = answered(order.notices.get(), code="AE")
    generation.cancel(order, by=make.user("desk"), reason="Wrong patient")

    assert not order.notices.filter(kind="cancel").exists()
    with pytest.raises(Conflict, match="cancelled"):
        outbound.retry(Notice.objects.get(pk=notice.pk), by=make.user("desk"))


def test_a_cancellation_waits_while_the_order_is_being_sent():
    order = generated()
    outbound.claim(order.notices.get().pk)
    generation.cancel(order, by=make.user("desk"), reason="Wrong patient")
    assert outbound.due() == []

    Notice.objects.filter(kind="new").update(lease_until=timezone.now() - timedelta(seconds=1))
    assert outbound.due() == [order.notices.get(kind="cancel").pk]


def test_only_an_order_of_ours_is_cancelled_here_and_only_once_and_with_a_reason():
    desk = make.user("desk")
    with pytest.raises(Conflict, match="cancelled where it was made"):
        generation.cancel(make.order(), by=desk, reason="No")
    order = generated("local", host="")
    with pytest.raises(Invalid, match="Say why"):
        generation.cancel(order, by=desk, reason=" ")
    generation.cancel(order, by=desk, reason="No")
    with pytest.raises(Conflict, match="already"):
        generation.cancel(order, by=desk, reason="No")


def test_cancelling_takes_the_power_to_create_orders():
    with pytest.raises(Denied):
        generation.cancel(generated(), by=make.user("frontdesk"), reason="No")


def test_two_workers_do_not_send_one_notice():
    notice = generated().notices.get()

    assert outbound.claim(notice.pk)
    assert outbound.claim(notice.pk) is None


def test_a_notice_of_a_worker_that_died_is_due_again_unchanged():
    notice = generated().notices.get()
    outbound.claim(notice.pk)
    Notice.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    again = outbound.claim(notice.pk)

    assert (again.control_id, bytes(again.raw), again.attempts) == (notice.control_id, bytes(notice.raw), 2)
