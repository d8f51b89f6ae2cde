"""Patient Demographics Query and Patient Identifier Cross-reference Query (QBP^Q22, QBP^Q23; ITI-21, ITI-9).

`exchange` sends a message and gives its answer: an open connection, with its own time limit and its own errors.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from orders.hl7 import mllp, read, write
from orders.hl7.encoding import NULL
from orders.hl7.persons import SEXES, person_name
from orders.hl7.read import Field, Message, Segment
from orders.peers.found import MOST_IDENTIFIERS, NONE, Identifier, Person, Unanswered, birth_date, literal, written

MOST_PEOPLE, PAGE = 100, 25  # of one query; of one answer
PDQ, PIX = "IHE PDQ Query", "IHE PIX Query"
VERSION = "2.5"

Exchange = Callable[[bytes], bytes]
Parameters = list[tuple[str, str]]  # @PID.7.1 and what it is to be


class Way(NamedTuple):
    """Who asks whom, and in which domain the answers are wanted ("": all)."""

    name: str
    sender: write.Site
    receiver: write.Site
    domain: Identifier = NONE


def by_person(name: str, born: str, *, sex: str = "") -> Parameters:
    """By family name, given name and birth date as far as they are known; nothing without a family name."""
    family, given = (*name.split("=")[0].split("^"), "", "")[:2]
    values = {"@PID.5.1.1": family, "@PID.5.2": given, "@PID.7.1": birth_date(born), "@PID.8": sex}
    found = [(key, value) for key, text in values.items() if (value := literal(text))]
    return found if any(key == "@PID.5.1.1" for key, _ in found) else []


def by_identifier(one: Identifier) -> Parameters:
    values = {"@PID.3.1": one.value, "@PID.3.4.1": one.issuer, "@PID.3.4.2": one.universal_id}
    found = [(key, value) for key, text in values.items() if (value := literal(text))]
    return found if any(key == "@PID.3.1" for key, _ in found) else []


def people(exchange: Exchange, way: Way, asked: Parameters) -> list[Person]:
    """Whom the supplier knows by this, page by page. Raises Unanswered."""
    found: list[Person] = []
    if not asked:
        return found
    for answer in _pages(exchange, way, {3: list(asked)}):
        found += [person for pid in answer.all("PID") if (person := person_of(pid))]
        if len(found) >= MOST_PEOPLE:
            break
    return found[:MOST_PEOPLE]


def cross_references(exchange: Exchange, way: Way, outside: Identifier) -> list[Identifier]:
    """By which identifiers of our domain the same person is known. Raises Unanswered."""
    if not literal(outside.value):
        return []
    parameters = {3: (outside.value, "", "", _authority(outside))}
    [answer] = _pages(exchange, way, parameters, query=PIX, domain_field=4)
    return [one for pid in answer.all("PID") for one in identifiers(pid) if one.issuer or one.universal_id]


# --- the question ----------------------------------------------------------------------------------------------------


def _pages(
    exchange: Exchange, way: Way, parameters: dict, *, query: str = PDQ, domain_field: int = 8
) -> Iterator[Message]:
    """Each answer, until there is no pointer to a next one or it leads nowhere new."""
    tag, pointer, seen = secrets.token_hex(8), "", {""}
    if way.domain.issuer or way.domain.universal_id:
        parameters = parameters | {domain_field: ("", "", "", _authority(way.domain))}
    while True:
        asked = message(way, {1: (query,), 2: tag} | parameters, query=query, pointer=pointer)
        answer = judged(read.parse(_exchanged(exchange, asked, way)), way, tag)
        yield answer
        continuation = answer.first("DSC")
        pointer = continuation.text(1).strip() if continuation and query == PDQ else ""
        if pointer in seen:
            return
        seen.add(pointer)


def message(way: Way, parameters: dict, *, query: str = PDQ, pointer: str = "") -> bytes:
    kind = ("QBP", "Q22", "QBP_Q21") if query == PDQ else ("QBP", "Q23", "QBP_Q21")
    segments = [
        write.header(
            kind,
            control_id=write.control_id(),
            sender=way.sender,
            receiver=way.receiver,
            now=datetime.now(UTC),
            version=VERSION,
        ),
        ("QPD", parameters),
        ("RCP", {1: "I", 2: (PAGE, "RD")} if query == PDQ else {1: "I"}),
    ]
    return write.message(*segments, *([("DSC", {1: pointer, 2: "I"})] if pointer else []))


def _authority(one: Identifier) -> tuple[str, ...]:
    """CX.4 (HD): namespace, universal ID, its type."""
    return one.issuer, one.universal_id, one.universal_id_type or ("ISO" if one.universal_id else "")


def _exchanged(exchange: Exchange, asked: bytes, way: Way) -> bytes:
    try:
        return exchange(asked)
    except (mllp.Refused, mllp.NoAnswer) as problem:
        raise Unanswered(f"{way.name} at {problem}") from problem


# --- the answer ------------------------------------------------------------------------------------------------------


def judged(answer: Message, way: Way, tag: str) -> Message:
    """The answer if it is a good one; nobody found (NF) is one too. Raises Unanswered."""
    acknowledgement, status = answer.first("MSA"), answer.first("QAK")
    code = acknowledgement.text(1).strip() if acknowledgement else ""
    verdict = status.text(2).strip() if status else ""
    if code == "AE" and _is_not_known(answer):
        return answer
    if code == "AE" and verdict != "NF":
        raise Unanswered(f"{way.name} cannot answer: {_why(answer)}")
    if code not in ("AA", "AE"):
        raise Unanswered(f"{way.name} refused the query ({code or 'no code'}): {_why(answer)}")
    if answer.type != "RSP" or (status and status.text(1).strip() not in ("", tag)):
        raise Unanswered(f"{way.name} answered something else than it was asked.")
    if verdict in ("AE", "AR"):
        raise Unanswered(f"{way.name} cannot answer: {_why(answer)}")
    return answer


def _is_not_known(answer: Message) -> bool:
    """An identifier that a cross-reference index never heard of (ITI-9, case 3): nobody found, and no trouble."""
    error = answer.first("ERR")
    return bool(error and error.component(3, 1) == "204" and error.text(2).startswith("QPD^1^3^1^1"))


def _why(answer: Message) -> str:
    """The code alone: what the other side writes in words may name the patient."""
    error = answer.first("ERR")
    code = error.component(3, 1) if error else ""
    where = error.text(2).replace("^", "-").strip("-") if error else ""
    words = write.TEXTS.get(int(code), code[:20]) if code.isdecimal() and len(code) < 4 else ""
    if code == "204" and where.startswith("QPD-1-8"):
        return "it does not know the domain that is asked for (QPD-8)."
    return f"{words or 'it gave no reason'}{f' ({where[:20]})' if where else ''}."


def person_of(pid: Segment) -> Person | None:
    """Somebody with a name and an identifier, else None."""
    name = written("PatientName", person_name(pid.repetitions(5)))
    found = identifiers(pid)
    if not name or not found:
        return None
    gender = SEXES.get(pid.component(8, 1).upper(), "")
    return Person(name, birth_date(pid.component(7, 1)), gender, tuple(found))


def identifiers(pid: Segment) -> list[Identifier]:
    found = [_identifier(one) for one in pid.repetitions(3)[:MOST_IDENTIFIERS]]
    return list(dict.fromkeys(one for one in found if one.value))


def _identifier(cx: Field) -> Identifier:
    value = cx.component(1)
    namespace, universal_id, kind = (cx.component(4, sub) for sub in (1, 2, 3))
    if value == NULL or not written("PatientID", value):
        return NONE
    return Identifier(value, written("IssuerOfPatientID", namespace), universal_id[:128], kind[:8])
