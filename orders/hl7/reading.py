"""How one sender's messages are read: where the standard leaves it to the site, and where each fact stands."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import NamedTuple

from orders.hl7.encoding import NULL
from orders.hl7.read import Segment
from orders.hl7.write import Error

OUT_OF_ORDER, MISSING, MISTYPED, UNLISTED, UNKNOWN, DUPLICATE = 100, 101, 102, 103, 204, 205  # table 0357
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
NOT_PLAIN = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")

FIELDS = {  # as the columns of a feed that nobody has set up
    "accession_number": "IPC-1.1,OBR-18",
    "requested_procedure_id": "IPC-2.1,OBR-19",
    "scheduled_procedure_step_id": "IPC-4.1,OBR-20",
    "study_instance_uid": "IPC-3.1,ZDS-1.1",
    "modality": "IPC-5.1,OBR-24",
    "scheduled_at": "TQ1-7,OBR-27.4,ORC-7.4",
    "admission_id": "PV1-19.1,PID-18.1",
}


class Wrong(Exception):
    """Something that must be right is not; nothing of the message is kept but itself."""

    def __init__(self, code: int, sentence: str, *location: str | int) -> None:
        super().__init__(sentence)
        self.error = Error(code, sentence, location)


@dataclass(frozen=True)
class Reading:
    """`issuer` is of identifiers that name none; `anchor`, if given, the only domain whose identifiers name a patient,
    else every one of `local` does, and where that is empty too, any.
    """

    issuer: str = ""
    anchor: str = ""
    local: frozenset[str] = frozenset()
    canonical: Callable[[str, str], str] = lambda namespace, universal_id: namespace or universal_id
    zone: tzinfo = UTC
    fields: Mapping[str, str] = field(default_factory=lambda: FIELDS)

    def names_patients(self, issuer: str) -> bool:
        return issuer == self.anchor if self.anchor else not self.local or issuer in self.local

    @property
    def domains(self) -> str:
        """In words, for a refusal."""
        return self.anchor or " or ".join(sorted(self.local)) or "any domain"


class Place(NamedTuple):
    """`OBR-27.4`: a field, its component, its subcomponent."""

    segment: str
    field: int
    component: int
    sub: int

    def __str__(self):
        parts = [self.component, self.sub][: 2 if self.sub > 1 else 1 if self.component > 1 else 0]
        return f"{self.segment}-{'.'.join(map(str, [self.field, *parts]))}"


@lru_cache(256)
def places(text: str) -> tuple[Place, ...]:
    """`IPC-1.1,OBR-18`."""
    found = []
    for one in text.split(","):
        segment, _, numbers = one.partition("-")
        field_number, component, sub = (*map(int, numbers.split(".")), 1, 1)[:3]
        found.append(Place(segment, field_number, component, sub))
    return tuple(found)


class Value(NamedTuple):
    """`text` is what stands at `place`; the null of HL7 reads ""."""

    text: str
    place: Place
    segment: Segment


def pick(segments: Iterable[Segment], text: str) -> Value | None:
    """The first of these places that is filled."""
    segments = list(segments)
    for place in places(text):
        for segment in segments:
            if segment.name == place.segment and (value := segment.component(place.field, place.component, place.sub)):
                return Value("" if value == NULL else value, place, segment)
    return None


def plain(text: str, longest: int) -> str:
    """For a text: what DICOM and the database cannot hold becomes a space, and too long a text ends early."""
    return " ".join(NOT_PLAIN.sub(" ", text).split())[:longest].rstrip()


def exact(text: str, longest: int, what: str, *location: str | int) -> str:
    """For what names something: never shortened, never changed. Raises Wrong."""
    if len(text) > longest:
        raise Wrong(MISTYPED, f"{what} has {len(text)} characters; {longest} is the most that can be kept.", *location)
    if NOT_PLAIN.search(text):
        raise Wrong(MISTYPED, f"{what} has a backslash or a control character in it.", *location)
    return text
