"""FHIR Patient search (R4): one page, from the address that was configured and from no other.

Redirects, proxies and addresses in answers are not followed; an answer is read up to a size, all of it within a time.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from orders.hl7.persons import NOT_IN_NAMES
from orders.peers.found import MOST_IDENTIFIERS, NONE, Identifier, Person, Unanswered, birth_date, literal, written
from policies.rules.addresses import Forbidden

LONGEST_ANSWER = 2 << 20  # bytes
PAGE = 50
OID, UUID = "urn:oid:", "urn:uuid:"
SEXES = {"male": "M", "female": "F", "other": "O"}
SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "\\,|$"})  # FHIR R4 3.1.1.5.8
Connect = Callable[[tuple[str, int], float], socket.socket]
USES = ("official", "usual", "")


@dataclass(frozen=True)
class Server:
    """`url` stands before /Patient; `credentials` are user:password, or a whole Authorization."""

    name: str
    url: str
    credentials: str = ""
    seconds: float = 5
    connect: Connect = socket.create_connection
    tls: ssl.SSLContext | None = None  # the system's where there is none


Criteria = list[tuple[str, str]]


def by_person(name: str, born: str) -> Criteria:
    """By family name, given name and birth date as far as they are known; nothing without a family name."""
    family, given = (*name.split("=")[0].split("^"), "", "")[:2]
    day = birth_date(born)
    values = {"family": family, "given": given, "birthdate": f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else ""}
    found = [(key, value.translate(SPECIAL)) for key, text in values.items() if (value := literal(text))]
    return found if any(key == "family" for key, _ in found) else []


def by_identifier(one: Identifier) -> Criteria:
    """A token `system|value`; the value alone where its system is not known."""
    value = literal(one.value)
    system = f"{OID}{one.universal_id}" if one.universal_id_type == "ISO" else one.universal_id
    token = f"{system.translate(SPECIAL)}|{value.translate(SPECIAL)}" if system else value.translate(SPECIAL)
    return [("identifier", token)] if value else []


def people(server: Server, asked: Criteria, *, most: int = PAGE) -> list[Person]:
    """Whom the server knows by this. Raises Unanswered."""
    if not asked:
        return []
    status, body = _get(server, f"/Patient?{urlencode([*asked, ('_count', str(most))])}")
    if status != 200:
        raise Unanswered(_refusal(server, status))
    try:
        return read(json.loads(body))[:most]
    except (ValueError, RecursionError) as problem:
        raise Unanswered(f"{server.name} answered, but not with what FHIR calls a Bundle.") from problem


# --- what an answer says ---------------------------------------------------------------------------------------------


def read(bundle: object) -> list[Person]:
    """The patients of a searchset; what cannot be read of it is left. Raises ValueError for what is no Bundle."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise ValueError("no Bundle")
    resources = [each.get("resource") for each in _objects(bundle, "entry")]
    found = [person_of(each) for each in resources if isinstance(each, dict)]
    return [person for person in found if person]


def person_of(resource: dict) -> Person | None:
    """Somebody with a name and an identifier; nobody who was replaced by another record."""
    if resource.get("resourceType") != "Patient" or resource.get("active") is False:
        return None
    if any(link.get("type") == "replaced-by" for link in _objects(resource, "link")):
        return None
    names = sorted(_objects(resource, "name"), key=lambda one: _rank(_text(one, "use")))
    name = next((text for one in names if (text := _name(one))), "")
    found = [_identifier(one) for one in _objects(resource, "identifier")[:MOST_IDENTIFIERS]]
    kept = tuple(dict.fromkeys(one for one in found if one.value))
    if not name or not kept:
        return None
    return Person(name, birth_date(_text(resource, "birthDate")), SEXES.get(_text(resource, "gender"), ""), kept)


def _rank(use: str) -> int:
    return USES.index(use) if use in USES else len(USES)


def _name(name: dict) -> str:
    """HumanName as a DICOM PN: Family^Given^Middle^Prefix^Suffix."""
    given, *middle = [*_texts(name, "given"), ""]
    parts = [_text(name, "family"), given, " ".join(middle), " ".join(_texts(name, "prefix"))]
    parts.append(" ".join(_texts(name, "suffix")))
    plain = "^".join(" ".join(NOT_IN_NAMES.sub(" ", part).split()) for part in parts).rstrip("^")
    return written("PatientName", plain)


def _identifier(one: dict) -> Identifier:
    """Its system is an OID, a UUID, or an address that somebody has to have called an alias."""
    value, system = written("PatientID", _text(one, "value")), _text(one, "system")
    if _text(one, "use") == "old" or len(system) > 128:
        return NONE
    for prefix, kind in ((OID, "ISO"), (UUID, "UUID")):
        if system.startswith(prefix):
            return Identifier(value, "", system.removeprefix(prefix), kind)
    return Identifier(value, "", system, "URI" if system else "")


def _objects(of: dict, name: str) -> list[dict]:
    found = of.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _texts(of: dict, name: str) -> list[str]:
    found = of.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _text(of: dict, name: str) -> str:
    found = of.get(name)
    return found if isinstance(found, str) else ""


# --- the line --------------------------------------------------------------------------------------------------------


def _get(server: Server, path: str) -> tuple[int, bytes]:
    address, until = urlsplit(server.url), time.monotonic() + server.seconds
    try:
        with _connected(server, address, until) as line:
            line.request("GET", f"{address.path.rstrip('/')}{path}", headers=_headers(server))
            answer = line.getresponse()
            body = answer.read(LONGEST_ANSWER + 1)
            if time.monotonic() >= until:  # what was cut may look like a short answer
                raise TimeoutError
    except Forbidden as refusal:
        raise Unanswered(str(refusal)) from refusal
    except ssl.SSLCertVerificationError as problem:
        raise Unanswered(
            f"The certificate of {server.name} is not trusted here: {problem.verify_message}."
        ) from problem
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise Unanswered(f"{server.name} does not answer within {server.seconds:g} seconds, or hung up.") from problem
    if len(body) > LONGEST_ANSWER:
        raise Unanswered(f"{server.name} answered with more than can be read.")
    return answer.status, body


@contextmanager
def _connected(server: Server, address, until: float) -> Iterator[http.client.HTTPConnection]:
    """A connection that is cut when the time is over, however slowly its bytes come."""
    is_secure = address.scheme == "https"
    host, port = address.hostname or "", address.port or (443 if is_secure else 80)
    line = http.client.HTTPConnection(host, address.port)  # the port is said where it is in the address
    line.sock = server.connect((host, port), server.seconds)
    try:
        if is_secure:
            context = server.tls or ssl.create_default_context()
            line.sock = context.wrap_socket(line.sock, server_hostname=host)
        cut = threading.Timer(max(0.0, until - time.monotonic()), _cut, [line.sock])
        cut.daemon = True
        cut.start()
        try:
            yield line
        finally:
            cut.cancel()
    finally:
        line.close()


def _cut(line: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)


def _headers(server: Server) -> dict[str, str]:
    headers = {"Accept": "application/fhir+json"}
    if server.credentials.startswith(("Bearer ", "Basic ")):
        headers["Authorization"] = server.credentials
    elif server.credentials:
        headers["Authorization"] = f"Basic {b64encode(server.credentials.encode()).decode()}"
    return headers


def _refusal(server: Server, status: int) -> str:
    answer = f"{server.name} answered HTTP {status}"
    if 300 <= status < 400:
        return f"{answer}: it points to another address. That is not followed; correct the address here."
    if status in (401, 403):
        return f"{answer}: it does not let us in. Check the credentials."
    return f"{answer}: check its address, and ask its administrator."
