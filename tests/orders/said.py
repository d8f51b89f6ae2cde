"""Messages for the tests, by what they say; times are minutes of one morning."""

import itertools

from orders import inbound
from orders.hl7 import read

count = itertools.count(1)
SENDER = ("EMR", "HOSPITAL")


def message(kind: str, *segments: str, at: int = 0, control: str = "", sender: tuple[str, str] = SENDER) -> bytes:
    """`kind` is MSH-9; `at` is MSH-7 and EVN-2, in minutes after eight."""
    time = f"202611240{8 + at // 60}{at % 60:02}00"
    header = (
        rf"MSH|^~\&|{sender[0]}|{sender[1]}|IMGSHARE|HOSPITAL|{time}||{kind}|{control or f'C{next(count)}'}|P|2.5.1"
    )
    event = [f"EVN||{time}"] if kind.startswith("ADT") else []
    return "".join(f"{segment}\r" for segment in (header, *event, *segments)).encode()


def pid(*identifiers: str, name: str = "Mueller^Anna", birth_date: str = "19610304", sex: str = "F") -> str:
    """`identifiers` as `MRN1^^^HOSP`; without an issuer they are HOSP's."""
    listed = "~".join(one if "^" in one else f"{one}^^^HOSP" for one in identifiers)
    return f"PID|1||{listed}||{name}||{birth_date}|{sex}"


def adt(trigger: str, *identifiers: str, at: int = 0, control: str = "", **person) -> bytes:
    return message(f"ADT^{trigger}", pid(*identifiers, **person), at=at, control=control)


def merge(survivor: str, victim: str, *, at: int = 0, **person) -> bytes:
    return message("ADT^A40^ADT_A39", pid(survivor, **person), f"MRG|{victim}^^^HOSP", at=at)


def rename(now: str, before: str, *, at: int = 0, **person) -> bytes:
    return message("ADT^A47^ADT_A30", pid(now, **person), f"MRG|{before}^^^HOSP", at=at)


def two(trigger: str, one: str, other: str, *, at: int = 0, **person) -> bytes:
    """A link (A24) or its end (A37)."""
    return message(f"ADT^{trigger}", pid(one, **person), pid(other, **person), at=at)


def order(
    control: str,
    patient: str = "MRN1",
    *,
    placer: str = "P1^RIS",
    filler: str = "",
    accession: str = "",
    status: str = "",
    text: str = "CT chest",
    at: int = 0,
    kind: str = "ORM^O01",
) -> bytes:
    obr = f"OBR|1|{placer}|{filler}|CT1^{text}^L" + "|" * 14 + accession + "|" * 6 + "CT"
    return message(kind, pid(patient), f"ORC|{control}|{placer}|{filler}||{status}", obr, at=at)


def tell(*messages: bytes) -> list[str]:
    """What was answered (MSA-1)."""
    answers = [read.parse(inbound.receive(raw, peer="127.0.0.1:1")) for raw in messages]
    return [answer.first("MSA").text(1) for answer in answers]
