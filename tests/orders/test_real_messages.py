"""All messages of the data set, one after the other into one portal: the answer to each, and what it changed.

`real_messages.txt` has a line for each: answer (MSA-1), outcome, file, and what it changed or why it was refused.
"""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from orders import inbound
from orders.hl7 import read
from orders.models import Message, Order, Patient

pytestmark = pytest.mark.django_db
TABLE = Path(__file__).with_name("real_messages.txt")
SHOWN = 200  # characters of what a message changed


@pytest.fixture
def messages(shared, monkeypatch) -> dict[str, bytes]:
    """In one order on every machine; some say that they are of a day to come, which is believed here for once."""
    monkeypatch.setattr(inbound, "AHEAD", timedelta(days=36500))
    folder = shared / "hl7"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {name: (folder / name).read_bytes() for name in names}


def line(name: str, raw: bytes) -> str:
    answer = read.parse(inbound.receive(raw, peer="127.0.0.1")).first("MSA").text(1)
    row = Message.objects.latest("received_at", "pk")
    what = " ".join(row.changed) if answer in ("AA", "CA") else row.problem
    return f"{answer} {row.outcome} {name}: {what}"[: SHOWN + len(name)].strip()


def test_each_message_gets_the_answer_that_the_standard_asks_for_and_changes_what_it_says(messages):
    assert [line(name, raw) for name, raw in messages.items()] == TABLE.read_text().splitlines()


def test_every_message_is_kept_as_it_came_with_its_outcome(messages):
    for raw in messages.values():
        inbound.receive(raw, peer="127.0.0.1")

    assert sorted(bytes(raw) for raw in Message.objects.values_list("raw", flat=True)) == sorted(messages.values())
    counts = Counter(Message.objects.values_list("type", "outcome"))
    assert {key: count for key, count in counts.items() if key[0] in inbound.KINDS} == {
        ("ADT", "applied"): 135,
        ("ADT", "ignored"): 6,
        ("ADT", "refused"): 48,
        ("ORM", "applied"): 19,
        ("ORM", "ignored"): 12,
        ("ORM", "refused"): 2,
        ("OMG", "refused"): 2,
    }
    assert (Patient.objects.count(), Order.objects.count()) == (89, 16)


def test_all_of_them_again_change_nothing(messages):
    for raw in messages.values():
        inbound.receive(raw, peer="127.0.0.1")
    before = [list(model.objects.order_by("pk").values()) for model in (Patient, Order)]

    for raw in reversed(messages.values()):
        inbound.receive(raw, peer="127.0.0.1")

    assert [list(model.objects.order_by("pk").values()) for model in (Patient, Order)] == before
