"""HL7 messages over one persistent MLLP connection, each committed before its AA, against other ways to read them.

Every door is `manage.py mllp` on a SQLite database of its own; the peers' differ in how they read, and in nothing else.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from imgshare_site.bench.material import empty
from imgshare_site.bench.measure import Row, compare
from imgshare_site.bench.peers import child, free_port
from orders import inbound
from orders.hl7 import charsets, read
from orders.hl7.encoding import Encoding
from orders.hl7.mllp import END, START

MESSAGES = 200  # in each round: for every patient a demographic update and an order
MANAGE = str(settings.BASE_DIR / "manage.py")
DOOR = """
import sys, django
django.setup()
from imgshare_site.bench import hl7
hl7.keep_door(sys.argv[1])
"""


def against_hl7apy(folder: Path) -> Row:
    return _against(folder, "hl7apy", "the same with hl7apy", at_most=0.33)


def against_splitting(folder: Path) -> Row:
    return _against(folder, "splitting", "the same, bare splitting", at_most=2)


WORKS = {"hl7-in": against_hl7apy, "hl7-in-split": against_splitting}


def _against(folder: Path, reading: str, peer: str, *, at_most: float) -> Row:
    peers = [sys.executable, "-c", DOOR, reading]
    with door(folder / "ours", [sys.executable, MANAGE, "mllp"]) as ours, door(folder / "theirs", peers) as theirs:
        work = f"{MESSAGES} HL7 messages in over MLLP"
        return compare(work, peer, feed(ours), feed(theirs), at_most=at_most)


@contextmanager
def door(folder: Path, command: list[str]) -> Iterator[int]:
    """The port of a door that has seen nothing yet."""
    port = free_port()
    environment = {
        "IMGSHARE_DATA_DIR": str(empty(folder)),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "IMGSHARE_MLLP_PORT": str(port),
        "IMGSHARE_LOG_LEVEL": "ERROR",
    }
    migrate = [sys.executable, MANAGE, "migrate", "--verbosity", "0"]
    subprocess.run(migrate, env=os.environ | environment, check=True)
    with child(command, port, **environment):
        yield port


def feed(port: int) -> Callable[[], None]:
    """Each call sends the messages of a round, one by one as interfaces do; the control IDs are always new ones."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    numbers = count()

    def send() -> None:
        for number in range(MESSAGES):
            connection.sendall(START + message(number // 2, next(numbers), KINDS[number % 2]) + END)
            answer = b""
            while not answer.endswith(END):
                answer += connection.recv(4096)
            if b"|AA|" not in answer:
                raise RuntimeError(f"the door answered {answer!r}")

    return send


ADT = """EVN|A08|20250131143000
PID|1||{patient}^^^HOSP&1.2.3&ISO^MR~{patient}9^^^CITY&1.2.4&ISO^PI||Müller\\T\\Söhne{patient}^Anna^Maria^^Dr||19700101|F|||\
Main Street 1^^Springfield^IL^62701||555-0100^PRN^PH|||M||V{patient}^^^HOSP
PV1|1|O|RAD^1^2|||||99^House^Greg|||||||||||V{patient}^^^HOSP"""
ORM = """PID|1||{patient}^^^HOSP&1.2.3&ISO^MR||Müller\\T\\Söhne{patient}^Anna^Maria^^Dr||19700101|F
PV1|1|O|RAD^1^2|||||99^House^Greg|||||||||||V{patient}^^^HOSP
ORC|NW|P{number}^EMR|F{number}^RIS||SC||1^once^^20250201080000^^R||20250131143000|||99^House^Greg
OBR|1|P{number}^EMR|F{number}^RIS|CTCH^CT chest^L|||20250131143000||||||Cough \\F\\ fever|||99^House^Greg||A{number}|\
RP{number}|S{number}||||CT|||1^once^^20250201080000^^R||||^follow-up
ZDS|1.2.840.99.1.{number}^RIS^Application^DICOM"""
KINDS = {0: ("ADT^A08^ADT_A01", ADT), 1: ("ORM^O01^ORM_O01", ORM)}


def message(patient: int, number: int, kind: tuple[str, str]) -> bytes:
    name, segments = kind
    header = f"MSH|^~\\&|RIS|HOSP|PORTAL|RAD|20250131143000||{name}|M{number}|P|2.5.1||||||UNICODE UTF-8"
    lines = [header, *segments.format(patient=100_000 + patient, number=number).split("\n"), ""]
    return "\r".join(lines).encode()


# --- how the peers read ----------------------------------------------------------------------------------------------


def keep_door(reading: str) -> None:
    """Run `manage.py mllp` with another reading in its place, until this process is ended."""
    READINGS[reading]()
    call_command("mllp")


def _by_hl7apy() -> None:
    """It parses the whole message and reads five fields, before ours is taken: our own reading is lost beside that."""
    receive = inbound.receive

    def parsed_first(raw: bytes, *, peer: str) -> bytes:
        message = parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        pid = message.pid
        for field in (message.msh.msh_10, pid.pid_3, pid.pid_5, pid.pid_7, pid.pid_8):
            field.to_er7()
        return receive(raw, peer=peer)

    inbound.receive = parsed_first


class Unescaped(Encoding):
    """Values as they came."""

    def unquote(self, text: str) -> str:
        return text


def _by_splitting() -> None:
    """UTF-8 and CR whatever comes, the usual delimiters, and no escapes."""
    charsets.decode = lambda raw, declared: charsets.Decoded(raw.decode(), charsets.UTF_8)
    read._encoding = lambda line, codec: Unescaped()
    read._segments = lambda lines, encoding: [read.Segment(line[:3], line, encoding) for line in lines if line]


READINGS = {"hl7apy": _by_hl7apy, "splitting": _by_splitting}
