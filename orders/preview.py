"""How a message would be read: every fact, where it stands, and the feed that says so. Nothing is kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from django.utils import timezone

from orders import feeds, inbound
from orders.hl7 import charsets, dictionary, persons, read, requests
from orders.hl7.reading import Reading, Wrong, pick
from orders.models import Feed
from policies.problems import Problem

STANDS = {  # what no feed changes
    "name": "PID-5",
    "birth_date": "PID-7",
    "sex": "PID-8",
    "status": "ORC-5,ORC-1",
    "placer_order_number": "ORC-2,OBR-2",
    "filler_order_number": "ORC-3,OBR-3",
    "procedure_code": "OBR-44,OBR-4",
    "procedure_scheme": "OBR-44.3,OBR-4.3",
    "description": "OBR-44.2,OBR-4.2,OBR-4.5",
    "referring_physician": "PV1-8.2,ORC-12.2,OBR-16.2",
}


class Fact(NamedTuple):
    what: str
    value: str
    place: str


class Part(NamedTuple):
    """One patient, or one order."""

    title: str
    facts: list[Fact]


@dataclass
class Preview:
    """`problem` is why the message would be refused, `changes` what it would change now; `remark` is what the standard
    would have otherwise."""

    problem: str = ""
    kind: str = ""
    feed: Feed | None = None
    sender: str = ""
    parts: list[Part] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remark: str = ""


def preview(text: str) -> Preview:
    """Of a pasted message."""
    site, shown = feeds.load(), Preview()
    try:
        message = read.parse(text.encode("utf_8", "replace"), charset=charsets.UTF_8)
        shown.feed = site.feed_of(message)
        reading = site.reading(shown.feed)
        message = read.parse(text.encode("utf_8", "replace"), charset=charsets.UTF_8, zone=reading.zone)
    except read.NotHL7 as problem:
        shown.problem = str(problem)
        return shown
    shown.kind = f"{message.type}^{message.trigger}".strip("^")
    shown.sender = f"{message.sending_application}|{message.sending_facility}"
    shown.remark = dictionary.complaint(message)
    try:
        shown.parts += _parts(message, reading, shown)
        shown.changes = inbound.trial(message, shown.feed, reading)
    except (Wrong, inbound.Unsupported, Problem) as refused:
        shown.problem = str(refused)
    return shown


def _parts(message: read.Message, reading: Reading, shown: Preview) -> Iterator[Part]:
    if message.type not in inbound.KINDS:
        return
    today = timezone.localdate()
    for group in message.groups("PID"):
        person = persons.person(group[0], message, reading, today=today)
        shown.notes += person.notes
        yield Part(f"Patient {person.anchor}", [*_identities(person, "PID-3"), *_told(person.told)])
        for mrg in (segment for segment in group if segment.name == "MRG"):
            prior = persons.prior(mrg, person, message, reading)
            yield Part(f"Until now {prior.anchor}", [*_identities(prior, "MRG-1"), *_told(prior.told)])
    if message.type == "ADT":
        return
    asked = requests.requests(message, reading)
    groups = [group for group in message.groups("ORC") if requests.is_imaging(group)]
    for request, group in zip(asked, groups, strict=True):
        shown.notes += request.notes
        yield Part(f"Order: {request}", list(_order(request, [*group, *message.segments], reading)))
    if left := len(message.all("ORC")) - len(asked):
        shown.notes.append(f"Orders that make no images are left out: {left}.")


def _identities(person: persons.Person, place: str) -> list[Fact]:
    others = [Fact("further identifier", str(one), place) for one in person.others]
    return [Fact("names the patient", str(person.anchor), place), *others]


def _told(told: dict[str, str]) -> list[Fact]:
    return [Fact(_words(column), value or "(deleted)", STANDS[column]) for column, value in told.items()]


def _order(request: requests.Request, segments: list[read.Segment], reading: Reading) -> Iterator[Fact]:
    for column, value in request.told.items():
        if column.endswith("_issuer"):
            continue
        found = pick(segments, reading.fields.get(column) or STANDS[column])
        issuer = request.told.get(column.replace("_order_number", "").replace("_number", "") + "_issuer", "")
        place = str(found.place) if found else ""
        yield Fact(_words(column), f"{value} ({issuer})" if issuer else value or "(deleted)", place)


def _words(column: str) -> str:
    return {"scheduled_at": "scheduled time", "study_instance_uid": "Study Instance UID"}.get(
        column, column.replace("_", " ")
    )
