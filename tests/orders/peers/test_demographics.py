"""QBP^Q22 and QBP^Q23: what is asked, page by page, and what an answer is taken for."""

import pytest

from orders.hl7 import mllp, read, write
from orders.peers.demographics import PIX, Way, by_identifier, by_person, cross_references, message, people
from orders.peers.found import Identifier, Person, Unanswered

WAY = Way("EMR", write.Site("IMGSHARE", "HOSP"), write.Site("PDS", "HOSP"), Identifier("", "HOSP", "1.2.3", "ISO"))
MUELLER = "PID|1||L-1^^^HOSP&1.2.3&ISO~77^^^SSN||Müller^Anna^Maria^Jr^Dr||19610304|F"


def answering(*bodies: str, sent: list | None = None):
    """A supplier that answers each query with the next of these: segments after MSH, {tag} for QPD-2."""
    waiting = iter(bodies)

    def exchange(raw: bytes) -> bytes:
        asked = read.parse(raw)
        if sent is not None:
            sent.append(asked)
        tag = asked.first("QPD").text(2)
        head = "MSH|^~\\&|PDS|HOSP|IMGSHARE|HOSP|20260101||RSP^K22^RSP_K21|1|P|2.5||||||UNICODE UTF-8\r"
        return (head + next(waiting).replace("{tag}", tag).replace("\n", "\r")).encode()

    return exchange


def found(*pids: str, more: str = "") -> str:
    end = f"\nDSC|{more}|I" if more else ""
    return "\n".join(["MSA|AA|1", "QAK|{tag}|OK", *pids]) + end


def test_a_query_names_the_person_the_domain_and_a_page():
    asked = read.parse(message(WAY, {1: ("IHE PDQ Query",), 2: "T", 3: by_person("Müller^Anna", "19610304"), 8: "x"}))

    assert (asked.type, asked.trigger, asked.structure) == ("QBP", "Q22", "QBP_Q21")
    said = [(one.component(1), one.component(2)) for one in asked.first("QPD").repetitions(3)]
    assert said == [("@PID.5.1.1", "Müller"), ("@PID.5.2", "Anna"), ("@PID.7.1", "19610304")]
    assert asked.first("RCP").field(1) == "I"


@pytest.mark.parametrize(("name", "born"), [("", "19610304"), ("^Anna", "19610304"), ("A*^B", ""), ("?", "")])
def test_without_a_family_name_to_match_nobody_is_asked_for(name, born):
    assert by_person(name, born) == []


def test_a_name_cannot_break_out_of_its_query():
    raw = message(WAY, {1: ("x",), 3: by_person("A|B~C&D^E", "")})

    assert [segment.name for segment in read.parse(raw).segments] == ["MSH", "QPD", "RCP"]


def test_a_person_is_read_with_every_identifier():
    [person] = people(answering(found(MUELLER)), WAY, by_person("Müller", ""))

    ids = (Identifier("L-1", "HOSP", "1.2.3", "ISO"), Identifier("77", "SSN"))
    assert person == Person("Müller^Anna^Maria^Dr^Jr", "19610304", "F", ids)


def test_pages_are_asked_for_until_there_are_no_more():
    sent = []
    second = MUELLER.replace("L-1", "L-2")
    supplier = answering(found(MUELLER, more="P2"), found(second), sent=sent)

    assert len(people(supplier, WAY, by_person("Müller", ""))) == 2
    assert sent[1].first("DSC").text(1) == "P2"
    assert sent[0].control_id != sent[1].control_id
    assert sent[0].first("QPD").raw == sent[1].first("QPD").raw


def test_a_pointer_that_leads_in_a_circle_is_left():
    supplier = answering(*[found(MUELLER, more="P2")] * 5)

    assert len(people(supplier, WAY, by_person("Müller", ""))) == 2


def test_endless_pages_end_at_a_hundred_people():
    bodies = [found(*[MUELLER.replace("L-1", f"L-{n}-{k}") for k in range(30)], more=f"P{n}") for n in range(9)]

    assert len(people(answering(*bodies), WAY, by_person("Müller", ""))) == 100


@pytest.mark.parametrize("body", ["MSA|AA|1\nQAK|{tag}|NF", "MSA|AE|1\nQAK|{tag}|NF", "MSA|AA|1\nQAK|{tag}|OK\nPID|1"])
def test_nobody_found_is_an_answer(body):
    assert people(answering(body), WAY, by_person("Müller", "")) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("MSA|AE|1\nERR||QPD^1^8^1|204|E\nQAK|{tag}|AE", "does not know the domain"),
        ("MSA|AR|1", "refused the query"),
        ("MSA|AA|1\nQAK|another|OK", "something else"),
        ("MSA|AA|1\nQAK|{tag}|AE", "cannot answer"),
        ("PID|1", "no code"),
    ],
)
def test_a_refusal_is_a_sentence(body, said):
    with pytest.raises(Unanswered, match=said):
        people(answering(body), WAY, by_person("Müller", ""))


def test_a_supplier_that_hangs_up_is_a_sentence():
    def exchange(raw):
        raise mllp.NoAnswer("127.0.0.1:1 hung up without an answer.")

    with pytest.raises(Unanswered, match=r"EMR at .* hung up"):
        people(exchange, WAY, by_identifier(Identifier("1", "HOSP")))


def test_a_cross_reference_names_the_outside_identifier_and_the_domain_wanted():
    sent = []
    supplier = answering(found("PID|||L-1^^^HOSP&1.2.3&ISO||^^^^^^S"), sent=sent)

    assert cross_references(supplier, WAY, Identifier("OUT-1", "OUTSIDE")) == [
        Identifier("L-1", "HOSP", "1.2.3", "ISO")
    ]
    query = sent[0].first("QPD")
    assert (query.component(1, 1), query.component(3, 1), query.component(3, 4)) == (PIX, "OUT-1", "OUTSIDE")
    assert query.component(4, 4, 1) == "HOSP"


@pytest.mark.parametrize("code", ["AE", "AR"])
def test_an_identifier_that_the_index_never_heard_of_is_no_trouble(code):
    body = "MSA|AE|1\nERR||QPD^1^3^1^1|204|E\nQAK|{tag}|" + code

    assert cross_references(answering(body), WAY, Identifier("OUT-1", "OUTSIDE")) == []
