"""Other systems asked for the patient and the orders of a study: all of them side by side, each in its own time.

A system that is silent is said, with the reason; it holds up nobody but the worker that asks. Nothing is chosen here:
what is found becomes patients and orders (see `learning`), and those become candidates.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone

from orders.dicom import calling
from orders.hl7 import mllp, write
from orders.models import DemographicsSource, Worklist
from orders.peers import demographics, fhir, worklist
from orders.peers.found import NONE, Identifier, Person, Scheduled, Unanswered
from policies import domains, reachable
from policies.models import AssigningAuthority
from policies.rules.birthdates import birth_date_variants
from policies.rules.names import name_key

log = logging.getLogger(__name__)
GRACE = 0.5  # seconds that a system gets beyond its patience, for what is on its way
MOST_IDENTIFIERS = 8  # asked for at one worklist
System = Worklist | DemographicsSource


@dataclass(frozen=True)
class Question:
    """What a study says. `identifiers` are of patients whom it could show; `outside` is the one that came with it."""

    name: str = ""
    birth_date: str = ""
    sex: str = ""
    outside: Identifier = NONE
    identifiers: tuple[Identifier, ...] = ()
    accession_number: str = ""
    modality: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that could be asked for."""
        return not (name_key(self.name) or self.outside.value or self.identifiers or self.accession_number)

    def could_be(self, person: Person) -> bool:
        """Whether a person is worth comparing: one identifier, the name, or a birth date that could be this one."""
        mine = {(one.value, one.issuer) for one in (self.outside, *self.identifiers) if one.value and one.issuer}
        return (
            any((one.value, one.issuer) in mine for one in person.identifiers)
            or name_key(person.name) == name_key(self.name) != ""
            or (bool(person.birth_date) and person.birth_date in birth_date_variants(self.birth_date))
        )


@dataclass
class Answer:
    """What one system said; `problem` is a sentence where it said nothing, `more` one where not all was read."""

    system: System
    problem: str = ""
    more: str = ""
    people: list[Person] = field(default_factory=list)
    orders: list[Scheduled] = field(default_factory=list)
    cross_references: list[Identifier] = field(default_factory=list)  # of the outside identifier that was asked for


class Systems:
    """Those that are asked, read once. One that was silent is not asked again in the same round."""

    def __init__(self) -> None:
        self.demographics = list(DemographicsSource.objects.filter(active=True))
        self.worklists = list(Worklist.objects.filter(active=True))

    def __bool__(self) -> bool:
        return bool(self.demographics or self.worklists)

    def leave_out(self, answers: Iterable[Answer]) -> None:
        silent = {answer.system.pk for answer in answers if answer.problem}
        self.demographics = [one for one in self.demographics if one.pk not in silent]
        self.worklists = [one for one in self.worklists if one.pk not in silent]


def ask(question: Question, systems: Systems | None = None) -> list[Answer]:
    """Demographics first, for the identifiers by which worklists are asked. No row is read or written meanwhile."""
    systems = systems or Systems()
    known = domains.known()
    named = replace(question, outside=_canonical(question.outside, known))
    first = together([(one, _demographics(one, named, known)) for one in systems.demographics])
    people = [person for answer in first for person in answer.people if named.could_be(person)]
    wanted = dict.fromkeys([*question.identifiers, *(one for person in people for one in person.identifiers)])
    asked = replace(named, identifiers=tuple(wanted))
    return [*first, *together([(one, _worklist(one, asked, known)) for one in systems.worklists])]


def together(calls: list[tuple[System, Callable[[], Answer]]]) -> list[Answer]:
    """Make the calls side by side; a system that has not answered in its time is left to itself."""
    answers: dict[int, Answer] = {}

    def run(number: int, system: System, call: Callable[[], Answer]) -> None:
        try:
            answers[number] = call()
        except Unanswered as problem:
            answers[number] = Answer(system, str(problem))
        except Exception as problem:  # a door of its own; what it says may hold what the system said
            log.error("%s could not be asked: %s", system.pk, type(problem).__name__)
            answers[number] = Answer(system, f"{system} answered in a way that cannot be read.")

    started = time.monotonic()
    threads = [threading.Thread(target=run, args=[n, *call], daemon=True) for n, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread, (system, _) in zip(threads, calls, strict=True):
        thread.join(max(0.0, started + system.patience + GRACE - time.monotonic()))
    late = "{} has not answered within {} seconds."
    return [answers.get(n) or Answer(one, late.format(one, one.patience)) for n, (one, _) in enumerate(calls)]


def trial(system: System) -> tuple[bool, str]:
    """Whether a system answers, and how, in words: for whoever has just entered its address."""
    asked = _try_worklist if isinstance(system, Worklist) else _try_demographics
    [answer] = together([(system, asked(system))])
    return not answer.problem, answer.problem or answer.more


def _try_worklist(row: Worklist) -> Callable[[], Answer]:
    today, called = timezone.localdate(), peer(row)

    def call() -> Answer:
        if refusal := calling.echo(called):
            raise Unanswered(refusal)
        found, more = worklist.find(called, [worklist.Query(day=today)], seconds=row.patience)
        return Answer(row, more=f"{row} answers, and has {len(found)} orders for today. {more}".strip())

    return call


def _try_demographics(row: DemographicsSource) -> Callable[[], Answer]:
    found = _demographics(row, Question(name="Test^Test"), domains.known())

    def call() -> Answer:
        return Answer(row, more=f"{row} answers, and knows {len(found().people)} people by the name of Test Test.")

    return call


def _canonical(one: Identifier, known: domains.Domains) -> Identifier:
    return replace(one, issuer=known.canonical(one.issuer, one.universal_id))


def _issued(people: Iterable[Person], known: domains.Domains, default: str) -> list[Person]:
    """With issuers as we write them; who issued an identifier that does not say it, the system's row says."""
    return [replace(person, identifiers=_named(person.identifiers, known, default)) for person in people]


def _named(found: Iterable[Identifier], known: domains.Domains, default: str) -> tuple[Identifier, ...]:
    """An address that nobody has called an alias of a domain names none of ours."""
    named = [replace(one, issuer=known.canonical(one.issuer, one.universal_id) or default) for one in found]
    ours = known.universal.keys()
    return tuple(one for one in named if one.issuer and (one.universal_id_type != "URI" or one.issuer in ours))


# --- worklists -------------------------------------------------------------------------------------------------------


def peer(row: Worklist) -> calling.Peer:
    title, connect = settings.AE_TITLE, reachable.connect
    return calling.Peer(row.host, row.port, row.ae_title, title, *[row.patience] * 3, connect=connect)


def _worklist(row: Worklist, question: Question, known: domains.Domains) -> Callable[[], Answer]:
    """By Patient ID first (RAD-5), then by accession and by name, then whoever is expected today."""
    default, today = known.canonical(row.issuer), timezone.localdate()
    issued = {(one.value, one.issuer): one for one in (*question.identifiers, question.outside)}
    queries = [worklist.by_patient_id(value) for value, _ in list(issued)[:MOST_IDENTIFIERS]]
    queries += [worklist.by_accession_number(question.accession_number), worklist.by_name(question.name)]
    if question.modality:
        queries.append(worklist.Query(day=today, modality=question.modality))

    def call() -> Answer:
        found, more = worklist.find(peer(row), [one for one in queries if one], seconds=row.patience)
        orders = [replace(one, person=_issued([one.person], known, default)[0]) for one in found]
        return Answer(row, more=more, orders=[one for one in orders if question.could_be(one.person)])

    return call


# --- demographics ----------------------------------------------------------------------------------------------------


def _demographics(row: DemographicsSource, question: Question, known: domains.Domains) -> Callable[[], Answer]:
    default = known.canonical(row.issuer)
    ours = [one for one in question.identifiers if one.issuer in known.local or one.issuer == default]
    by_fhir = row.protocol == DemographicsSource.Protocol.FHIR
    found = _by_fhir(row, question, ours) if by_fhir else _by_pdq(row, question, ours, known)

    def call() -> Answer:
        answer = found()
        answer.people = _issued(answer.people, known, default)
        answer.cross_references = list(_named(answer.cross_references, known, default))
        return answer

    return call


def _by_fhir(row: DemographicsSource, question: Question, ours: list[Identifier]) -> Callable[[], Answer]:
    secret = os.environ.get(row.credentials, "") if row.credentials else ""
    tls = reachable.context() if row.url.startswith("https") else None
    server = fhir.Server(row.name, row.url, secret, row.patience, reachable.connect, tls)

    def call() -> Answer:
        if row.credentials and not secret:
            missing = f"the portal's environment has no {row.credentials}"
            raise Unanswered(f"The credentials of {row} are not set: {missing}.")
        return Answer(row, people=_people(question, ours, _FHIR(server)))

    return call


def _by_pdq(row: DemographicsSource, question: Question, ours: list[Identifier], known) -> Callable[[], Answer]:
    way = _way(row, known)

    def call() -> Answer:
        with exchanging(row) as exchange:
            supplier = _PDQ(exchange, way)
            answer = Answer(row, people=_people(question, ours, supplier))
            if row.cross_references and question.outside.issuer:
                answer.cross_references = demographics.cross_references(exchange, way, question.outside)
                for one in answer.cross_references[:MOST_IDENTIFIERS]:
                    answer.people += supplier.by_identifier(one)
        return answer

    return call


class _PDQ(NamedTuple):
    exchange: demographics.Exchange
    way: demographics.Way

    def by_person(self, name: str, born: str) -> list[Person]:
        return demographics.people(self.exchange, self.way, demographics.by_person(name, born))

    def by_identifier(self, one: Identifier) -> list[Person]:
        return demographics.people(self.exchange, self.way, demographics.by_identifier(one))


class _FHIR(NamedTuple):
    server: fhir.Server

    def by_person(self, name: str, born: str) -> list[Person]:
        return fhir.people(self.server, fhir.by_person(name, born))

    def by_identifier(self, one: Identifier) -> list[Person]:
        return fhir.people(self.server, fhir.by_identifier(one))


def _people(question: Question, ours: list[Identifier], supplier: _PDQ | _FHIR) -> list[Person]:
    """By name and birth date; where that finds nobody, the given name may be written otherwise, or the date wrong."""
    family, _, given = question.name.split("=")[0].partition("^")
    asked = dict.fromkeys([(question.name, question.birth_date), (family, question.birth_date)])
    if given:
        asked |= {(question.name, ""): None}
    found: list[Person] = []
    for name, born in asked:
        if not found and (born or given):
            found = [one for one in supplier.by_person(name, born) if question.could_be(one)]
    for one in ours[:MOST_IDENTIFIERS]:
        found += supplier.by_identifier(one)
    return list(dict.fromkeys(found))


@contextmanager
def exchanging(row: DemographicsSource) -> Iterator[demographics.Exchange]:
    """With a PDQ supplier on one connection, all of it within the patience of its row."""
    until = time.monotonic() + row.patience
    tls = reachable.context() if row.tls else None
    way = {"tls": tls, "connect": reachable.connect, "connect_seconds": row.patience}
    with mllp.Connection(row.host, row.port, **way) as line:
        yield lambda asked: line.ask(asked, timeout=max(0.01, until - time.monotonic()))


def _way(row: DemographicsSource, known: domains.Domains) -> demographics.Way:
    issuer = known.canonical(row.issuer)
    authority = AssigningAuthority.objects.filter(namespace_id=issuer).first() if issuer else None
    universal = (authority.universal_id, authority.universal_id_type) if authority else ("", "")
    return demographics.Way(
        name=row.name,
        sender=write.Site(settings.AE_TITLE, settings.INSTITUTION_NAME),
        receiver=write.Site(row.receiving_application, row.receiving_facility),
        domain=Identifier("", issuer, *universal),
    )
