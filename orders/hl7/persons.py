"""Who a message is about: PID and MRG, XPN and CX, as far as we keep them."""

import re
from datetime import date, datetime
from typing import NamedTuple

from orders.hl7.encoding import NULL
from orders.hl7.read import Field, Message, Segment
from orders.hl7.reading import MISSING, MISTYPED, NOT_PLAIN, Reading, Wrong

LONGEST_VALUE, LONGEST_ISSUER, LONGEST_UNIVERSAL = 64, 64, 128
LONGEST_GROUP = 64  # characters of each component group of a PN (PS3.5 6.2.1)
NOT_IN_NAMES = re.compile(r"[\\^=\x00-\x1f\x7f\ud800-\udfff]+")
DAY = re.compile(r"(\d{8})(?!\d{3}(\D|$))")
UNUSED_NAMES = {"S", "U"}  # table 0200: a pseudonym, unspecified
IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
SYLLABLES = re.compile("[\u3040-\u30ff\uac00-\ud7af\uff66-\uff9d]")
LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
GROUPS = "AIP"  # table 4000: alphabetic, ideographic, phonetic; the order of a PN
SEXES = {"M": "M", "F": "F", "O": "O", "U": "", "A": "", "N": ""}
NOT_KEPT = {"A", "N"}


class Identity(NamedTuple):
    """An identifier with who issued it (CX.1, CX.4)."""

    value: str
    issuer: str
    universal_id: str = ""
    universal_id_type: str = ""

    @property
    def key(self) -> str:
        return key_of(self.value, self.issuer)

    def __str__(self):
        return f"{self.value} ({self.issuer})" if self.issuer else self.value


def key_of(value: str, issuer: str) -> str:
    return f"{value}^^^{issuer}"


class Person(NamedTuple):
    """`told` are columns of a patient; `notes` are sentences about what was left out."""

    anchor: Identity
    others: tuple[Identity, ...]
    told: dict[str, str]
    notes: tuple[str, ...] = ()


def person(pid: Segment, message: Message, reading: Reading, *, today: date) -> Person:
    """Raises Wrong where PID-3 names nobody in a domain of ours."""
    notes: list[str] = []
    anchor, others = _anchored(_identities(pid, 3, message, reading, notes), reading, ("PID", 1, 3))
    told = {}
    if name := person_name(pid.repetitions(5)):
        told["name"] = name
    told |= _birth_date(pid.component(7, 1), today, notes) | _sex(pid.component(8, 1), notes)
    return Person(anchor, others, told, tuple(notes))


def prior(mrg: Segment, of: Person, message: Message, reading: Reading) -> Person:
    """MRG: the identifiers that the person of the PID before it had until now."""
    notes: list[str] = []
    found = _identities(mrg, 1, message, reading, notes)
    found.sort(key=lambda one: one.issuer != of.anchor.issuer)  # the domain of the PID counts first
    anchor, others = _anchored(found, reading, ("MRG", 1, 1))
    name = person_name(mrg.repetitions(7))
    return Person(anchor, others, {"name": name} if name else {}, tuple(notes))


def _anchored(found: list[Identity], reading: Reading, location: tuple) -> tuple[Identity, tuple[Identity, ...]]:
    anchor = next((one for one in found if reading.names_patients(one.issuer)), None)
    if anchor is None:
        where = f"{location[0]}-{location[2]}"
        raise Wrong(MISSING, f"{where} has no identifier of {reading.domains}, so it names nobody here.", *location)
    return anchor, tuple(one for one in found if one != anchor)


def _identities(segment: Segment, number: int, message: Message, reading: Reading, notes: list) -> list[Identity]:
    found: list[Identity] = []
    for repetition in segment.repetitions(number):
        value = repetition.component(1)
        if not value or value == NULL:
            continue
        namespace, universal_id, kind = (repetition.component(4, sub) for sub in (1, 2, 3))
        issuer = reading.canonical(*(("" if one == NULL else one) for one in (namespace, universal_id)))
        issuer = issuer or reading.issuer or _sender(message, reading)
        if len(value) > LONGEST_VALUE or len(issuer) > LONGEST_ISSUER or NOT_PLAIN.search(value + issuer):
            notes.append(f"An identifier in {segment.name}-{number} is too long or has control characters; left out.")
            continue
        if all((one.value, one.issuer) != (value, issuer) for one in found):
            universal = "" if len(universal_id) > LONGEST_UNIVERSAL or NOT_PLAIN.search(universal_id) else universal_id
            found.append(Identity(value, issuer, universal, kind[:8] if universal and kind.isalnum() else ""))
    return found


def _sender(message: Message, reading: Reading) -> str:
    """Whoever issued an identifier that does not say it, and of whom the feed does not say it either."""
    return reading.canonical(message.sending_facility or message.sending_application, "")


def person_name(repetitions: list[Field], *, first: int = 1) -> str:
    """XPN (`first`=1) or XCN (`first`=2) as a DICOM PN: suffix and prefix change places, scripts become groups.

    The legal name goes before others; "" where there is none.
    """
    groups: dict[str, str] = {}
    for repetition in sorted(repetitions, key=lambda one: one.component(first + 6).upper() not in ("", "L")):
        family, given, middle, suffix, prefix = (_component(repetition, first + n) for n in range(5))
        text = "^".join([family, given, middle, prefix, suffix]).rstrip("^")[:LONGEST_GROUP].rstrip("^ ")
        if text and repetition.component(first + 6).upper() not in UNUSED_NAMES:
            groups.setdefault(_script(repetition.component(first + 7).upper(), text), text)
    return "=".join(groups.get(group, "") for group in GROUPS).rstrip("=")


def _component(repetition: Field, number: int) -> str:
    text = repetition.component(number)
    return "" if text == NULL else " ".join(NOT_IN_NAMES.sub(" ", text).split())


def _script(code: str, text: str) -> str:
    if code in GROUPS and code:
        return code
    if LATIN.search(text):
        return "A"
    return "I" if IDEOGRAPHS.search(text) else "P" if SYLLABLES.search(text) else "A"


def _birth_date(text: str, today: date, notes: list) -> dict[str, str]:
    if text in ("", NULL):
        return {"birth_date": ""} if text else {}
    try:
        found = DAY.match(text)
        read = datetime.strptime(found[1], "%Y%m%d").date() if found else date.fromisoformat(text)
    except ValueError:
        notes.append("The birth date (PID-7) is no whole date; left out.")
        return {}
    if read > today:
        notes.append("The birth date (PID-7) lies in the future; left out.")
        return {}
    return {"birth_date": read.isoformat()}


def _sex(text: str, notes: list) -> dict[str, str]:
    """PID-8: M, F, O as they are, unknown is empty (RAD TF-2 4.4); another code changes nothing."""
    if text == NULL:
        return {"sex": ""}
    code = text.upper()
    if code and code not in SEXES:
        notes.append("The sex (PID-8) is not in table 0001; left out.")
    if code in NOT_KEPT:
        notes.append(f"The sex (PID-8) {code} has no place in DICOM; kept as unknown.")
    return {"sex": SEXES[code]} if code in SEXES else {}


def pairs(message: Message) -> list[tuple[Segment, Segment]]:
    """(PID, MRG) of a merge or a change of identifiers; one message may carry several. Raises Wrong."""
    found = []
    for group in message.groups("PID"):
        mrg = next((segment for segment in group if segment.name == "MRG"), None)
        if mrg is None:
            raise Wrong(MISSING, "A PID stands without its MRG: whose record it was is not said.", "MRG", 1)
        found.append((group[0], mrg))
    if not found:
        raise Wrong(MISSING, "The segment PID is missing.", "PID", 1)
    return found


def two(message: Message) -> list[Segment]:
    """The two PID of a link (A24) or its end (A37). Raises Wrong."""
    found = message.all("PID")
    if len(found) != 2:
        code = MISSING if len(found) < 2 else MISTYPED
        raise Wrong(code, f"Two patients are linked or parted at a time; here are {len(found)} PID.", "PID", 1)
    return found
