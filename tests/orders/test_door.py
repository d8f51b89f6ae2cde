"""The HL7 door's table of refusals: every sender hears whether to correct a message or to repeat it."""

import pytest

from orders import inbound
from orders.hl7 import mllp, read
from orders.management.commands.mllp import REFUSALS, answer
from policies import problems

PEER = mllp.Peer("192.0.2.1", 40000)
RAW = b"MSH|^~\\&|RIS|HOSP|PORTAL|RAD|2025||ADT^A08^ADT_A01|M1|P|2.5.1\r"


def test_the_table_knows_every_refusal():
    assert set(REFUSALS) == set(problems.Problem.__subclasses__())


@pytest.mark.parametrize(
    ("problem", "code"), [(problems.Denied, "AR"), (problems.Conflict, "AE"), (problems.Invalid, "AE")]
)
@pytest.mark.django_db
def test_a_refusal_is_told_in_the_words_of_the_portal(monkeypatch, problem, code):
    def refuse(raw, *, peer):
        raise problem("This sender is switched off.")

    monkeypatch.setattr(inbound, "receive", refuse)
    told = read.parse(answer(RAW, PEER))

    assert (told.first("MSA").text(1), told.first("MSA").text(2)) == (code, "M1")
    assert told.first("ERR").text(8) == "This sender is switched off."


@pytest.mark.django_db
def test_what_is_no_message_is_answered_too():
    assert read.parse(answer(b"Dear colleague,", PEER)).first("MSA").text(1) == "AE"
