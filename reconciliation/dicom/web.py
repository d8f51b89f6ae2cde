"""DICOMweb as a client: STOW-RS streams made heads and original tails, QIDO-RS counts (PS3.18 10.5, 10.6).

The host is the one that was configured: redirects, proxies and addresses in answers are not followed. No object passes
through memory: its head is bytes, its tail goes from the file to the socket.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from pydicom.uid import UID

from orders.dicom.calling import Connect
from policies.rules.addresses import Forbidden
from reconciliation.dicom import native, plain
from reconciliation.dicom.edit import CannotWrite, Made
from reconciliation.dicom.elements import file_head
from reconciliation.dicom.plain import PLAIN, NotPlain, Plainer
from reconciliation.dicom.scu import MEANINGS, RANGES, Outcome, Refused, Unreachable

BATCH_OBJECTS, BATCH_BYTES = 20, 16 << 20  # what one request carries, unless one object alone is larger
BLOCK = 256 << 10  # bytes, where the kernel cannot copy for us
LONGEST_ANSWER = 64 << 20  # bytes
JSON = "application/dicom+json"

OK, ACCEPTED_IN_PART, BAD_REQUEST, CONFLICT, TOO_LARGE, UNSUPPORTED = 200, 202, 400, 409, 413, 415
SAYS_OF_EACH = (OK, ACCEPTED_IN_PART, BAD_REQUEST, CONFLICT)
AGAIN_LATER = (408, 421, 425, 429)
NEVER = (501, 505)

# Tags of the Store Instances Response Module, PS3.18 annex I
FAILED_SOP, REFERENCED_SOP, SOP_INSTANCE = "00081198", "00081199", "00081155"
FAILURE_REASON, WARNING_REASON = "00081197", "00081196"
OTHER_SYNTAX, OTHER_CLASS = 0xC122, 0x0122  # some archives say the second and mean the first
WORDS = {OTHER_SYNTAX: "its transfer syntax is not supported"}


class Outgoing(Protocol):
    """One object: `made` gives what is to be sent of it, just before; it may raise CannotWrite."""

    key: str
    SOPClassUID: str
    SOPInstanceUID: str
    original: Path
    made: Callable[[], Made]


class Part(NamedTuple):
    """What is sent of one object, and the file that its tail comes from."""

    each: Outgoing
    made: Made
    file: Path

    @property
    def is_plain(self) -> bool:
        return self.made.TransferSyntaxUID in PLAIN


@dataclass(frozen=True)
class Site:
    """A DICOMweb root, what staff call it, and how many seconds we wait: for the line, for each step on it."""

    url: str
    name: str
    credentials: str = ""  # "user:password", or a whole value of Authorization: "Bearer ..."
    connections: int = 1
    connection_timeout: float = 5
    answer_timeout: float = 120
    connect: Connect = socket.create_connection
    tls: ssl.SSLContext | None = None  # the system's where there is none


def send(
    site: Site,
    objects: Sequence[Outgoing],
    *,
    told: Callable[[Outcome], None],
    idle: Callable[[], None] = lambda: None,
    scratch: Path | None = None,
) -> None:
    """Store the objects in batches, and tell each one's outcome. `scratch` is a folder for objects in transfer syntaxes
    that the archive refuses: they are written without compression, and sent again.

    `told` and `idle` (about once a second in a long wait) are called in this thread, and may end it all by raising.
    Raises Unreachable or Refused, OSError of an original, or what `made` raises; what was told, stands.
    """
    batches, failure = _batches(objects), None
    with closing(_Lines(site)) as lines, ThreadPoolExecutor(site.connections, "stow") as pool:
        running: set[Future] = set()
        while failure is None or running:
            while failure is None and len(running) < site.connections and (batch := next(batches, None)):
                running.add(pool.submit(_stored, lines, batch, scratch))
            if not running:
                break
            done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            if not done:
                idle()
            for one in done:
                failure = failure or one.exception()
                for outcome in [] if one.exception() else one.result():
                    told(outcome)
    if failure:
        raise failure


def _batches(objects: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    batch, size = [], 0
    for each in objects:
        length = each.original.stat().st_size
        if batch and (len(batch) == BATCH_OBJECTS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch


def _stored(lines: _Lines, batch: list[Outgoing], scratch: Path | None) -> list[Outcome]:
    """What the archive said to each object of a batch; one that cannot be made is told, and not sent."""
    outcomes, parts = [], []
    for each in batch:
        try:
            parts.append(Part(each, each.made(), each.original))
        except CannotWrite as problem:
            outcomes.append(Outcome(each.key, None, str(problem), final=True))
    told = {outcome.key: outcome for outcome in _posted(lines, parts)}
    refused = [part for part in parts if not part.is_plain and _is_of_syntax(told[part.each.key])]
    if refused:
        with Plainer(scratch) as plainer:
            told |= {part.each.key: _sent_plain(lines, plainer, part) for part in refused}
    return [*outcomes, *told.values()]


def _is_of_syntax(outcome: Outcome) -> bool:
    return not outcome.accepted and outcome.status in (OTHER_SYNTAX, OTHER_CLASS)


def _sent_plain(lines: _Lines, plainer: Plainer, part: Part) -> Outcome:
    """The object once more, in Explicit VR Little Endian; or why it cannot be."""
    each, made = part.each, part.made
    why = f"{lines.site.name} does not take {UID(made.TransferSyntaxUID).name}"
    try:
        fileno, length = plainer.write(made, part.file, PLAIN[0])
    except NotPlain as problem:
        sentence = f"{why}, and it cannot be written without compression: {problem}."
        return Outcome(each.key, OTHER_SYNTAX, sentence, final=True)
    head = file_head(str(each.SOPClassUID).encode(), made.SOPInstanceUID.encode(), PLAIN[0].encode())
    anew = Made(head, 0, len(head) + length, len(head), PLAIN[0], made.SOPInstanceUID, length)
    [outcome] = _posted(lines, [Part(each, anew, Path(f"/proc/self/fd/{fileno}"))])
    how = plain.told(PLAIN[0], made.TransferSyntaxUID, why)
    return replace(outcome, sentence=f"{outcome.sentence} {how}".strip())


def _posted(lines: _Lines, parts: list[Part]) -> list[Outcome]:
    if not parts:
        return []
    with lines.one() as line:
        status, body = line.post("/studies", parts)
    if status == TOO_LARGE and len(parts) > 1:
        half = len(parts) // 2
        return _posted(lines, parts[:half]) + _posted(lines, parts[half:])
    if status == TOO_LARGE:
        return [
            Outcome(parts[0].each.key, None, f"{lines.site.name} does not take an object of this size.", final=True)
        ]
    if status == UNSUPPORTED and (packed := [part for part in parts if not part.is_plain]):
        rest = [part for part in parts if part.is_plain]
        refused = f"{lines.site.name} answered HTTP 415: it does not take what was sent."
        return [Outcome(part.each.key, OTHER_SYNTAX, refused, final=True) for part in packed] + _posted(lines, rest)
    answer = _answer(body) if status in SAYS_OF_EACH else None
    if answer is None and status != CONFLICT:
        raise _refusal(lines.site, status)
    return [_outcome(lines.site, part.each, answer, status) for part in parts]


# --- what an answer means (PS3.18 10.5.3 and annex I) ----------------------------------------------------------------

Answer = dict[str, tuple[bool, int]]  # SOP Instance UID: whether it was stored, and the reason


def _answer(body: bytes) -> Answer | None:
    """What the response data set, in JSON or XML, says of each object; None if it says nothing that can be read."""
    try:
        ds = native.read(body) if body.lstrip()[:1] == b"<" else json.loads(body)
        ds = ds[0] if isinstance(ds, list) else ds
        stored = {
            _value(one, SOP_INSTANCE): (True, _value(one, WARNING_REASON) or 0) for one in _items(ds, REFERENCED_SOP)
        }
        failed = {
            _value(one, SOP_INSTANCE): (False, _value(one, FAILURE_REASON) or 0x0110) for one in _items(ds, FAILED_SOP)
        }
        answer = {str(uid).strip(" \0"): (good, int(reason)) for uid, (good, reason) in (stored | failed).items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    return answer or None


def _items(ds: dict, tag: str) -> list[dict]:
    return ds.get(tag, {}).get("Value") or []


def _value(ds: dict, tag: str):
    return (ds.get(tag, {}).get("Value") or [None])[0]


def _outcome(site: Site, each: Outgoing, answer: Answer | None, status: int) -> Outcome:
    if answer is None or (status == CONFLICT and each.SOPInstanceUID not in answer):
        return Outcome(
            each.key, None, f"{site.name} refused the object (HTTP {status}) and gave no reason.", final=True
        )
    if each.SOPInstanceUID not in answer:
        return Outcome(each.key, None, f"{site.name} said nothing of this object: unknown whether it was stored.")
    good, reason = answer[each.SOPInstanceUID]
    meaning = (
        WORDS.get(reason) or MEANINGS.get(reason) or RANGES.get(reason >> 8, "a reason that DICOM does not define")
    )
    if good:
        return Outcome(
            each.key, reason, f"The archive noted 0x{reason:04X}: {meaning}." if reason else "", accepted=True
        )
    if reason >> 12 == 0xC and reason not in WORDS:
        meaning = "cannot understand"
    sentence = f"The archive refused the object with 0x{reason:04X}: {meaning}."
    return Outcome(each.key, reason, sentence, final=reason >> 8 != 0xA7)


def _refusal(site: Site, status: int) -> Exception:
    """Unreachable for what may pass by itself, Refused for what a person must set right."""
    answer = f"{site.name} answered HTTP {status}"
    if status in (OK, ACCEPTED_IN_PART):
        return Unreachable(f"{answer}, but what it said of the objects cannot be read.")
    if status in AGAIN_LATER or (status >= 500 and status not in NEVER):
        return Unreachable(f"{answer}: it cannot take objects or queries now.")
    if 300 <= status < 400:
        return Refused(f"{answer}: it points to another address. That is not followed; correct the address here.")
    if status in (401, 403):
        return Refused(f"{answer}: it does not let us in. Check the credentials.")
    return Refused(f"{answer}: check its DICOMweb address, and ask its administrator.")


# --- counting --------------------------------------------------------------------------------------------------------


def instances(site: Site, study: str, *, wanted: set[str]) -> set[str]:
    """The SOP Instance UIDs of a study that the archive shows, page by page until all the wanted ones are found.

    Raises Unreachable or Refused. A study that is not there has no instances.
    """
    found: set[str] = set()
    with closing(_Lines(site)) as lines, lines.one() as line:
        while not wanted <= found:
            status, body = line.get(f"/studies/{study}/instances?includefield=00080018&offset={len(found)}")
            page = set() if status == 204 else _uids(site, status, body)
            if page <= found:  # no more, or a server that knows no offset
                break
            found |= page
    return found


def _uids(site: Site, status: int, body: bytes) -> set[str]:
    if status != OK:
        raise _refusal(site, status)
    try:
        return {str(_value(one, "00080018")).strip(" \0") for one in json.loads(body)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as problem:
        raise Unreachable(f"{site.name} answered a query, but not in a way that can be read.") from problem


def why_silent(site: Site) -> str:
    """Say why the site does not answer a query that finds nothing, or "". Raises Unreachable or Refused."""
    with closing(_Lines(site)) as lines, lines.one() as line:
        status, body = line.get("/studies?StudyInstanceUID=2.25.0&limit=1")
    if status not in (OK, 204):
        return str(_refusal(site, status))
    if status == OK and not _is_a_list(body):
        return f"{site.name} answered, but not as DICOMweb does. Is {site.url} the address before /studies?"
    return ""


def _is_a_list(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), list)
    except (ValueError, RecursionError):
        return False


# --- the line --------------------------------------------------------------------------------------------------------


class _Lines:
    """The open connections to a site; `one()` lends one out."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.idle: list[_Line] = []

    def one(self) -> _Line:
        try:
            return self.idle.pop()
        except IndexError:
            return _Line(self)

    def close(self) -> None:
        for line in self.idle:
            line.http.close()


class _Line:
    """One connection. Whatever breaks on it is Unreachable or Refused, in a sentence."""

    def __init__(self, lines: _Lines) -> None:
        self.lines, self.site = lines, lines.site
        address = urlsplit(self.site.url)
        self.path = address.path.rstrip("/")
        self.used = False
        self.is_secure = address.scheme == "https"
        try:
            self.host, self.port = address.hostname or "", address.port or (443 if self.is_secure else 80)
            self.http = http.client.HTTPConnection(self.host, address.port)  # it says the port where the address does
        except ValueError as problem:
            raise Refused(f"The address of {self.site.name} is not valid: {self.site.url}.") from problem

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.lines.idle.append(self)
        else:
            self.http.close()

    def get(self, path: str) -> tuple[int, bytes]:
        return self._asked(lambda: self._head("GET", path))

    def post(self, path: str, parts: list[Part]) -> tuple[int, bytes]:
        """One multipart request. It is repeated on a new connection if an old one turns out to be dead."""
        boundary = uuid4().hex
        openings = [_opening(boundary, part.made) for part in parts]
        end = f"--{boundary}--\r\n".encode()
        length = sum(len(opening) + part.made.size + 2 for opening, part in zip(openings, parts, strict=True))

        def request() -> None:
            self._head(
                "POST",
                path,
                ("Content-Type", f'multipart/related; type="application/dicom"; boundary={boundary}'),
                ("Content-Length", str(length + len(end))),
            )
            for opening, part in zip(openings, parts, strict=True):
                self.http.sock.sendall(opening + part.made.head)
                _pour(self.http.sock, part.file, part.made)
                self.http.sock.sendall(b"\r\n")
            self.http.sock.sendall(end)

        return self._asked(request)

    def _head(self, method: str, path: str, *headers: tuple[str, str]) -> None:
        if self.http.sock is None:
            self.used = False
            self.http.sock = self.site.connect((self.host, self.port), self.site.connection_timeout)
            if self.is_secure:
                context = self.site.tls or ssl.create_default_context()
                self.http.sock = context.wrap_socket(self.http.sock, server_hostname=self.host)
            self.http.sock.settimeout(self.site.answer_timeout)
            self.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.http.putrequest(method, f"{self.path}{path}", skip_accept_encoding=True)
        for name, value in [("Accept", JSON), *_authorization(self.site), *headers]:
            self.http.putheader(name, value)
        self.http.endheaders()

    def _asked(self, request: Callable[[], None]) -> tuple[int, bytes]:
        try:
            return self._once(request)
        except Forbidden as refusal:
            raise Refused(str(refusal)) from refusal
        except (OSError, http.client.HTTPException) as problem:
            self.http.close()
            if not self.used or isinstance(problem, TimeoutError):
                raise _broken(self.site, problem) from problem
        try:
            return self._once(request)
        except (OSError, http.client.HTTPException) as problem:
            self.http.close()
            raise _broken(self.site, problem) from problem

    def _once(self, request: Callable[[], None]) -> tuple[int, bytes]:
        try:
            request()
        except (BrokenPipeError, ConnectionResetError):
            if self.http.sock is None or self.used:
                raise
            # Perhaps it has said why before it stopped listening.
        answer = self.http.getresponse()
        body = answer.read(LONGEST_ANSWER + 1)
        if len(body) > LONGEST_ANSWER or answer.length:
            raise http.client.HTTPException("an answer without end, or cut off")
        self.used = True
        return answer.status, body


def _opening(boundary: str, made: Made) -> bytes:
    """The head of a part. With its length an archive need not search the pixels for the end of the part."""
    return f"--{boundary}\r\nContent-Type: application/dicom\r\nContent-Length: {made.size}\r\n\r\n".encode()


def _authorization(site: Site) -> list[tuple[str, str]]:
    if not site.credentials:
        return []
    if site.credentials.startswith(("Bearer ", "Basic ")):
        return [("Authorization", site.credentials)]
    return [("Authorization", f"Basic {b64encode(site.credentials.encode()).decode()}")]


def _broken(site: Site, problem: Exception) -> Exception:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return Refused(f"The certificate of {site.name} is not trusted here: {problem.verify_message}.")
    if isinstance(problem, ConnectionRefusedError):
        return Unreachable(f"Nobody listens where {site.name} should be: {site.url}.")
    if isinstance(problem, socket.gaierror):
        return Unreachable(f"The host of {site.name} is not known: {site.url}.")
    if isinstance(problem, ssl.SSLError):
        return Unreachable(f"{site.name} does not speak TLS, or does not trust our certificate.")
    if isinstance(problem, http.client.InvalidURL | ValueError):
        return Refused(f"The address or the credentials of {site.name} are not valid.")
    return Unreachable(f"{site.name} does not answer, or ended the connection in the middle.")


def _pour(line: socket.socket, original: Path, made: Made) -> None:
    """What of the original stays, from the file to the wire, then the foot; encrypted lines go block by block."""
    left = made.tail_end - made.tail_offset
    with original.open("rb") as file:
        if isinstance(line, ssl.SSLSocket):
            file.seek(made.tail_offset)
            while left and (block := file.read(min(BLOCK, left))):
                line.sendall(block)
                left -= len(block)
        elif left:
            left -= line.sendfile(file, made.tail_offset, left)
    if left:
        raise OSError(f"The original {os.path.basename(original)} is shorter than it was.")
    if made.foot:
        line.sendall(made.foot)
