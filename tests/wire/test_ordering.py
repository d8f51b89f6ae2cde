"""Orders out against a system that answers AA, AE, AR, nothing, late, nonsense, or hangs up; and a worker that dies."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from orders import generation, inbound, outbound
from orders.hl7 import mllp
from orders.models import Notice, Order
from reconciliation import tasks
from tests import make
from tests.wire import ris as peer
from tests.wire.rest import furnish
from tests.wire.ris import RIS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _impatient(settings):
    settings.NOTICE_ANSWER_SECONDS = 0.5


@pytest.fixture
def ris() -> Iterator[Callable[..., RIS]]:
    """`ris(peer.says("AA"), ...)`: one that listens, and is told of orders from now on."""
    opened = []

    def listening(*plays: peer.Play, **columns) -> RIS:
        opened.append(RIS(*plays))
        make.order_system(port=opened[-1].port, **columns)
        return opened[-1]

    yield listening
    for one in opened:
        one.close()


def generated() -> Order:
    make.sequence()
    return generation.generate(make.patient(), procedure=make.procedure(modality="CT"), by=make.user("desk"))


def told(order: Order) -> Notice:
    outbound.send(order.notices.first().pk)
    return order.notices.first()


def again(order: Order) -> Notice:
    """The next attempt, without the pause before it."""
    Notice.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    return told(order)


@pytest.mark.parametrize("form", ["ORM_O01", "OMI_O23"])
def test_an_accepted_order_waits(ris, form):
    system = ris(peer.says("AA"), form=form)
    notice = told(generated())

    assert notice.state == "accepted"
    assert system.control_ids() == [notice.control_id]
    assert system.received[0] == bytes(notice.raw)


def test_an_answer_with_numbers_ends_the_wait(ris):
    ris(peer.numbers("7712"))
    order = generated()

    assert told(order).state == "answered"
    order.refresh_from_db()
    assert (order.accession_number, order.requested_procedure_id, order.awaits_number) == ("7712", "RP7712", False)


def test_a_refusal_is_kept_in_words_and_not_repeated(ris):
    system = ris(peer.says("AE", "ERR|OBR^1^4^103&Table value not found"))
    order = generated()
    notice = told(order)
    again(order)

    assert (notice.state, notice.problem) == ("refused", "Table value not found (OBR-4)")
    assert len(system.received) == 1


ONCE_MORE = {
    "rejected": (peer.says("AR"), "cannot take it now"),
    "silent": (peer.nothing, "has not answered in time"),
    "late": (peer.late(0.8), "has not answered in time"),
    "nonsense": (peer.garbage, "has not answered"),
    "another's": (peer.to_another_message, "only to other messages"),
    "hung up": (peer.closes, "hung up without an answer"),
    "cut off": (peer.closes_in_the_middle, "hung up without an answer"),
}


@pytest.mark.parametrize("kind", ONCE_MORE)
def test_what_was_not_answered_is_told_again_under_the_same_control_id(ris, kind):
    play, words = ONCE_MORE[kind]
    system = ris(play, peer.numbers("7712"))
    order = generated()
    first = told(order)

    assert first.state == "queued"
    assert words in first.problem
    assert again(order).state == "answered"
    assert system.received == [bytes(first.raw)] * 2
    assert Order.objects.filter(accession_number="7712").count() == 1


def test_a_system_that_is_down_is_tried_again_later():
    make.order_system(port=1)
    notice = told(generated())

    assert (notice.state, notice.attempts) == ("queued", 1)
    assert "cannot be reached" in notice.problem
    assert timezone.now() < notice.due_at < timezone.now() + timedelta(seconds=10)


def test_the_sweep_finds_what_no_bell_was_rung_for(ris):
    ris(peer.numbers("7712"))
    order = generated()

    assert tasks.sweep()["told"] == 1
    assert order.notices.get().state == "answered"


def test_an_order_that_we_numbered_learns_the_placers_number(ris):
    ris(lambda ris, line, message: peer.acknowledgement(message, "AA", "ORC|NA|P77^RIS"), pattern="filler")
    order = generated()
    told(order)

    assert Order.objects.get().placer_order_number == "P77"


def test_a_cancellation_is_told_after_the_order(ris):
    system = ris(peer.says("AA"))
    order = generated()
    told(order)
    generation.cancel(order, by=make.user("desk"), reason="Wrong patient")

    assert told(order).state == "answered"
    assert [peer.field(message, b"ORC", 1) for message in system.received] == [b"NW", b"CA"]


# --- the worker dies -------------------------------------------------------------------------------------------------

GENERATE = """
import json
from orders import generation
from orders.models import OrderSystem, Patient
from policies.models import Procedure, User
OrderSystem.objects.create(name="RIS", pattern="placer", host="127.0.0.1", port=%(port)s)
patient = Patient.objects.create(name="Mueller^Anna")
patient.identifiers.create(value="MRN1", issuer="LOCAL", primary=True)
generation.generate(patient, procedure=Procedure.objects.get(), by=User.objects.get(username="desk"))
"""
SHOW = """
import json
from orders.models import Notice, Order
print(json.dumps([list(Order.objects.values_list("accession_number")), list(Notice.objects.values_list("state"))]))
"""


def test_a_worker_killed_before_the_answer_tells_the_same_message_again_and_makes_no_second_order(new_portal):
    system = RIS(peer.nothing, peer.numbers("7712"))
    portal = new_portal("qcluster", IMGSHARE_NOTICE_LEASE_SECONDS=2)
    furnish(portal, ae_title="X", port=1)
    portal.shell(GENERATE % {"port": system.port})
    deadline = time.monotonic() + 30
    while not system.received and time.monotonic() < deadline:
        time.sleep(0.05)
    portal.kill("qcluster")
    time.sleep(2.2)  # until the lease of the dead worker has run out

    assert portal.manage("sweep").returncode == 0
    assert len(system.received) == 2
    assert len(set(system.received)) == 1
    assert json.loads(portal.shell(SHOW)) == [[["7712"]], [["answered"]]]
    system.close()


# --- and what comes back through our own door ------------------------------------------------------------------------


@pytest.fixture
def door() -> Iterator[mllp.Connection]:
    """A line of the RIS to our own listener."""
    answer = lambda raw, peer: inbound.receive(raw, peer=str(peer))  # noqa: E731
    listener = mllp.Listener(answer, host="127.0.0.1", port=0, parted=connections.close_all)
    listener.start()
    with mllp.Connection("127.0.0.1", listener.port) as line:
        yield line
    listener.stop()


COMES = "MSH|^~\\&|RIS|HOSP|IMGSHARE||20261124080000||ORM^O01|R77|P|2.3.1\rPID|||{}^^^LOCAL||Mueller^Anna||19610304|F\r"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("placer", "ORC|SC|IMP00000001^IMGSHARE|F9^RIS||SC\rOBR|1" + "|" * 17 + "7712|RP7712|SPS7712\r"),
        ("filler", "ORC|NA|P77^RIS|IMP00000001^IMGSHARE\rOBR|1|P77^RIS|IMP00000001^IMGSHARE\r"),
    ],
)
def test_what_the_system_says_later_comes_through_our_door(ris, door, pattern, said):
    ris(peer.says("AA"), pattern=pattern)
    order = generated()
    told(order)
    number = order.patient.identifier().value
    answer = door.ask((COMES.format(number) + said).encode(), timeout=10)

    order.refresh_from_db()
    assert b"MSA|AA|R77" in answer
    assert (order.awaits_number, order.notices.get().state) == (False, "answered")
    assert order.accession_number == {"placer": "7712", "filler": "IMP00000001"}[pattern]
    assert order.placer_order_number == {"placer": "IMP00000001", "filler": "P77"}[pattern]
