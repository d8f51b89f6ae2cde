"""One message in: kept, applied, answered; refused with a sentence; and never applied twice."""

import re

import pytest
from django.db import DatabaseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from orders import inbound, patients
from orders.hl7 import read
from orders.models import Feed, Identifier, Message, Order, Patient
from policies.models import AssigningAuthority, LedgerLine
from policies.problems import Conflict, Denied, Invalid
from tests import make
from tests.orders import said

pytestmark = pytest.mark.django_db


def answer(raw: bytes) -> read.Message:
    return read.parse(inbound.receive(raw, peer="10.0.0.9"))


def error(raw: bytes) -> tuple[str, str, str]:
    """(MSA-1, ERR-3.1, ERR-8)."""
    said = answer(raw)
    return said.first("MSA").text(1), said.first("ERR").component(3, 1), said.first("ERR").text(8)


def test_a_message_is_kept_as_it_came_with_what_it_changed():
    raw = said.adt("A04", "MRN1", control="C-7")
    assert answer(raw).first("MSA").text(2) == "C-7"

    row = Message.objects.get()
    assert (bytes(row.raw), row.outcome, row.answer, row.peer) == (raw, "applied", "AA", "10.0.0.9")
    assert (row.changed, row.type, row.trigger) == (["New patient MRN1 (HOSP)."], "ADT", "A04")


@pytest.mark.parametrize("word", ["MRN1", "C-7", "ACC1", "P-1"])
def test_a_message_is_found_by_its_identifiers_and_numbers(word):
    said.tell(said.message("ORM^O01", said.pid("MRN1"), "ORC|NW|P-1", "OBR|1||||" + "|" * 13 + "ACC1", control="C-7"))

    assert Message.objects.get(search_key__contains=word)


def test_every_change_is_a_ledger_line_with_its_message():
    said.tell(said.adt("A04", "MRN1"), said.order("NW"))

    lines = LedgerLine.objects.order_by("id").values_list("verb", "subject", "actor")
    assert list(lines) == [("register", "patient", "HL7 EMR|HOSPITAL"), ("receive", "order", "HL7 EMR|HOSPITAL")]
    assert LedgerLine.objects.first().detail["message"] == str(Message.objects.first().pk)


def test_the_same_bytes_again_are_acknowledged_and_ignored():
    raw = said.adt("A04", "MRN1")
    assert said.tell(raw, said.adt("A08", "MRN1", at=1, name="Mueller^Anne"), raw) == ["AA", "AA", "AA"]

    assert Patient.objects.get().name == "Mueller^Anne"
    assert [row.outcome for row in Message.objects.order_by("received_at")] == ["applied", "applied", "repeated"]


def test_a_control_id_that_comes_again_with_other_words_is_another_message():
    said.tell(said.adt("A04", "MRN1", control="1"), said.adt("A08", "MRN1", control="1", at=5, name="Mueller^Anne"))

    assert Patient.objects.get().name == "Mueller^Anne"
    assert Message.objects.filter(outcome="applied", control_id="1").count() == 2


def test_the_same_control_id_of_another_sender_is_another_message():
    raw = said.adt("A04", "MRN1", control="1")
    said.tell(raw, raw.replace(b"|EMR|", b"|RIS|"))

    assert Message.objects.filter(outcome="applied").count() == 2


def test_a_refused_message_may_come_again():
    raw = said.adt("A04", "MRN1")
    feed = Feed.objects.create(name="EMR", sending_application="EMR", active=False)
    assert said.tell(raw) == ["AR"]
    Feed.objects.filter(pk=feed.pk).update(active=True)

    assert said.tell(raw) == ["AA"]
    assert Patient.objects.count() == 1


REFUSALS = {
    "an unknown type": (said.message("ORU^R01", said.pid("MRN1")), "AR", "200"),
    "an unknown trigger": (said.message("ADT^A99", said.pid("MRN1")), "AR", "201"),
    "an unknown version": (said.adt("A04", "MRN1").replace(b"|2.5.1", b"|3.0"), "AR", "203"),
    "no type": (said.message("", said.pid("MRN1")), "AR", "200"),
    "no control ID": (said.adt("A04", "MRN1", control="C1").replace(b"|C1|", b"||"), "AE", "101"),
    "no PID": (said.message("ADT^A04"), "AE", "101"),
    "no identifier": (said.adt("A04"), "AE", "101"),
    "no MRG": (said.message("ADT^A40", said.pid("MRN1")), "AE", "101"),
    "an empty MRG": (said.message("ADT^A40", said.pid("MRN1"), "MRG|"), "AE", "101"),
    "merged into itself": (said.merge("MRN1", "MRN1"), "AE", "102"),
    "one PID to link": (said.message("ADT^A24", said.pid("MRN1")), "AE", "101"),
    "no ORC": (said.message("ORM^O01", said.pid("MRN1")), "AE", "101"),
    "an unknown order control": (said.order("ZZ"), "AE", "103"),
    "an order without a number": (said.order("NW", placer=""), "AE", "101"),
    "an order without a patient": (said.message("ORM^O01", "ORC|CA|P9"), "AE", "204"),
    "an accession number that is too long": (said.order("NW", accession="A" * 17), "AE", "102"),
    "no HL7": (b"GET / HTTP/1.1\r\n", "AE", "100"),
    "nothing": (b"", "AE", "100"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_says_why_and_keeps_the_message(what):
    raw, code, number = REFUSALS[what]
    assert error(raw)[:2] == (code, number)

    row = Message.objects.get()
    assert (row.outcome, row.answer, bytes(row.raw)) == ("refused", code, raw)
    assert row.problem.endswith(".")
    assert (Patient.objects.count(), LedgerLine.objects.count()) == (0, 0)


def test_the_location_of_an_unknown_trigger_is_that_of_the_standard():
    location = answer(said.message("ADT^A99", said.pid("MRN1"))).first("ERR").text(2)

    assert location == "MSH^1^9^1^2"


def test_a_message_that_fails_halfway_leaves_nothing_but_itself():
    raw = said.message("ORM^O01", said.pid("MRN1"), "ORC|NW|P1", "ORC|NW|")
    assert error(raw)[0] == "AE"

    assert (Patient.objects.count(), Order.objects.count(), Message.objects.count()) == (0, 0, 1)


def test_whatever_goes_wrong_the_sender_hears_that_it_may_send_again(monkeypatch, caplog):
    secret = "SECRET-7"

    def broken(*_, **__):
        raise DatabaseError(f"Key (value)=({secret}) is not there")

    monkeypatch.setattr(patients, "load", broken)

    assert error(said.adt("A04", secret))[:2] == ("AR", "207")
    assert "DatabaseError" in caplog.text
    assert secret not in caplog.text
    assert Message.objects.get().outcome == "refused"


# --- which identifier names the patient ------------------------------------------------------------------------------


def test_the_first_identifier_of_a_domain_of_ours_names_the_patient():
    AssigningAuthority.objects.create(namespace_id="HOSP", local=True).aliases.create(name="1.2.3")
    said.tell(said.adt("A04", "77^^^CITY", "MRN1^^^&1.2.3&ISO", "55^^^SSA"))

    patient = Patient.objects.get()
    assert (patient.identifier().value, patient.identifier().issuer) == ("MRN1", "HOSP")
    assert {str(one) for one in patient.identifiers.all()} == {"MRN1 (HOSP)", "77 (CITY)", "55 (SSA)"}


def test_a_message_without_an_identifier_of_ours_is_refused_in_a_sentence():
    AssigningAuthority.objects.create(namespace_id="HOSP", local=True)

    assert error(said.adt("A04", "77^^^CITY")) == (
        "AE",
        "101",
        "PID-3 has no identifier of HOSP, so it names nobody here.",
    )


def test_a_feed_says_whose_an_identifier_without_issuer_is():
    Feed.objects.create(name="RIS", sending_application="EMR", issuer="HOSP")
    said.tell(said.adt("A04", "MRN1^"))

    assert str(Identifier.objects.get()) == "MRN1 (HOSP)"


def test_a_feed_says_which_repetition_counts():
    for name in ("HOSP", "CLINIC"):
        AssigningAuthority.objects.create(namespace_id=name, local=True)
    Feed.objects.create(name="RIS", sending_application="EMR", anchor="CLINIC")
    said.tell(said.adt("A04", "MRN1^^^HOSP", "C1^^^CLINIC"))

    assert str(Patient.objects.get().identifier()) == "C1 (CLINIC)"


def test_a_feed_says_where_the_accession_number_stands():
    Feed.objects.create(name="RIS", sending_application="EMR", accession_number="OBR-3,ORC-3")
    said.tell(said.order("NW", filler="F77"))

    assert Order.objects.get().accession_number == "F77"


def test_the_feed_that_names_the_sender_most_closely_counts():
    Feed.objects.create(name="any", issuer="ANY")
    Feed.objects.create(name="EMR", sending_application="EMR", issuer="EMR")
    Feed.objects.create(name="EMR of us", sending_application="EMR", sending_facility="HOSPITAL", issuer="OURS")
    said.tell(said.adt("A04", "MRN1^"))

    assert (Identifier.objects.get().issuer, Message.objects.get().feed.name) == ("OURS", "EMR of us")


# --- again -----------------------------------------------------------------------------------------------------------


def test_a_replay_applies_what_was_refused_and_says_who_did_it():
    raw = said.adt("A04", "MRN1")
    feed = Feed.objects.create(name="EMR", sending_application="EMR", active=False)
    said.tell(raw)
    Feed.objects.filter(pk=feed.pk).update(active=True)

    changed = inbound.replay(Message.objects.get(), by=make.user("manager"))

    assert (changed, Message.objects.get().outcome) == (["New patient MRN1 (HOSP)."], "applied")
    assert LedgerLine.objects.filter(verb="replay", actor="Manager").count() == 1


def test_a_replay_overrules_nothing_that_is_newer():
    said.tell(said.adt("A04", "MRN1"), said.adt("A08", "MRN1", at=5, name="Mueller^Anne"))
    before = list(Patient.objects.values())

    inbound.replay(Message.objects.get(trigger="A04"), by=make.user("manager"))

    assert list(Patient.objects.values()) == before


@pytest.mark.parametrize("name", ["desk", "frontdesk", "auditor"])
def test_a_replay_takes_the_power(name):
    said.tell(said.adt("A04", "MRN1"))

    with pytest.raises(Denied, match="may not replay"):
        inbound.replay(Message.objects.get(), by=make.user(name))


def test_what_is_no_message_cannot_be_replayed():
    said.tell(b"nonsense")

    with pytest.raises(Invalid):
        inbound.replay(Message.objects.get(), by=make.user("manager"))


def test_a_refused_message_that_was_accepted_since_is_not_replayed():
    raw = said.adt("A04", "MRN1")
    feed = Feed.objects.create(name="EMR", sending_application="EMR", active=False)
    said.tell(raw)
    Feed.objects.filter(pk=feed.pk).update(active=True)
    said.tell(raw)

    with pytest.raises(Conflict, match="another time"):
        inbound.replay(Message.objects.get(outcome="refused"), by=make.user("manager"))


# --- fuzz ------------------------------------------------------------------------------------------------------------

WHOLE = [
    said.adt("A04", "MRN1", "9^^^CITY", control="1"),
    said.order("NW", filler="F1", accession="ACC1"),
    said.merge("MRN2", "MRN1"),
    said.rename("MRN3", "MRN1"),
    said.two("A24", "MRN1", "MRN2"),
    said.two("A37", "MRN1", "MRN2"),
]
PIECES = [
    b"|",
    b"^",
    b"~",
    b"&",
    b"\\",
    b"\r",
    b"\n",
    b'""',
    b"\x00",
    b"\\X00\\",
    b"\xff",
    "ü".encode(),
    b"PID",
    b"MRG|",
]
PIECES += [b"ORC|NW|", b"A" * 300, b"99991231", b"-1", b"\\.br\\", "\u2028".encode(), b"\xed\xa0\x80", b"\\X1C0D\\"]


@some.composite
def damaged(draw) -> bytes:
    """A good message with a few bytes of it cut out, or replaced by something that means something."""
    raw = draw(some.sampled_from(WHOLE))
    for _ in range(draw(some.integers(1, 5))):
        at, length = draw(some.integers(0, len(raw))), draw(some.integers(0, 12))
        raw = raw[:at] + draw(some.sampled_from([b"", *PIECES])) + raw[at + length :]
    return raw


@given(
    raw=damaged() | some.binary(max_size=200) | some.text(max_size=100).map(lambda text: b"MSH|^~\\&|" + text.encode())
)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_is_answered_and_kept(raw, caplog):
    caplog.clear()
    kept = Message.objects.count()

    code = answer(raw).first("MSA").text(1)

    assert code in {"AA", "AE", "AR", "CA", "CE", "CR"}
    assert caplog.text == ""
    assert Message.objects.count() == kept + 1


NUL = [b"\x00", b"\\X00\\"]


@pytest.mark.parametrize("where", range(2, 60))
def test_a_nul_anywhere_is_kept_as_bytes_and_breaks_nothing(where, caplog):
    """PostgreSQL holds no NUL in a text: every field of a real message gets one, raw and escaped."""
    for nul in NUL:
        fields = re.split(rb"([|^\r])", WHOLE[0])
        fields[where % len(fields)] += nul
        raw = b"".join(fields)

        assert answer(raw).first("MSA").text(1) in {"AA", "AE", "AR"}
        assert bytes(Message.objects.latest("received_at").raw) == raw
    assert caplog.text == ""
