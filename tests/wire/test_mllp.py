"""The HL7 door as it runs: every message gets its answer, and no peer keeps another from theirs."""

import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from orders.hl7 import mllp, read
from tests.wire.certificates import Trust
from tests.wire.conftest import answers, wait_until

pytestmark = pytest.mark.django_db


def message(control_id: str, *, mode: str = "|", text: str = "") -> bytes:
    """A report: nothing that the portal would apply, so every one of them is answered with AR."""
    lines = [f"MSH|^~\\&|RIS|HOSP|PORTAL|RAD|20250131143000||ZZZ^Z99|{control_id}|P|2.5.1|||{mode}"]
    return "\r".join([*lines, f"NTE|1||{text}", ""]).encode()


def verdict(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    acknowledgement = read.parse(answer).first("MSA")
    return acknowledgement.text(1), acknowledgement.text(2)


class Sender:
    """A bare socket: sends just the bytes that it is told to."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.decoder = mllp.Decoder()
        self.frames: list[mllp.Frame] = []

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> bytes:
        """The next one; b"" when the door has hung up."""
        while not self.frames:
            data = self.socket.recv(65536)
            if not data:
                return b""
            self.frames += self.decoder.feed(data)
        return self.frames.pop(0).content

    def ask(self, raw: bytes) -> tuple[str, str]:
        self.send(mllp.framed(raw))
        return verdict(self.answer())


@pytest.fixture(scope="module")
def limits() -> dict[str, int]:
    return {"IMGSHARE_MLLP_IDLE_SECONDS": 3, "IMGSHARE_MLLP_MESSAGE_BYTES": 20_000, "IMGSHARE_MLLP_CONNECTIONS": 30}


@pytest.fixture
def portal(new_portal, limits):
    return new_portal("mllp", **limits)


def test_many_messages_over_one_connection_each_get_their_answer(portal):
    with Sender(portal.mllp_port) as sender:
        assert [sender.ask(message(f"M{n}")) for n in range(50)] == [("AR", f"M{n}") for n in range(50)]


def test_messages_may_come_in_pieces_together_and_with_garbage_between(portal):
    stream = b"garbage\r\n".join(mllp.framed(message(f"M{n}")) for n in range(20))
    with Sender(portal.mllp_port) as sender:
        for start in range(0, len(stream), 37):
            sender.send(stream[start : start + 37])
            time.sleep(0.001)
        sender.send(stream)

        assert [verdict(sender.answer())[1] for _ in range(40)] == [f"M{n}" for n in range(20)] * 2


def test_many_connections_are_answered_at_the_same_time(portal):
    got: list[tuple[str, str]] = []

    def talk(name: str) -> None:
        with Sender(portal.mllp_port) as sender:
            got.extend(sender.ask(message(f"{name}-{n}")) for n in range(20))

    threads = [threading.Thread(target=talk, args=[f"C{n}"]) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(got) == sorted(("AR", f"C{c}-{n}") for c in range(20) for n in range(20))


def test_one_connection_too_many_is_hung_up_on_until_another_ends(portal, limits):
    senders = [Sender(portal.mllp_port) for _ in range(limits["IMGSHARE_MLLP_CONNECTIONS"])]
    assert [sender.ask(message("1")) for sender in senders] == [("AR", "1")] * len(senders)
    with Sender(portal.mllp_port) as late:
        assert late.socket.recv(1) == b""
    for sender in senders:
        sender.socket.close()

    wait_until(lambda: answered(portal.mllp_port), seconds=20, failing="there is no room any more")


def answered(port: int) -> bool:
    try:
        with Sender(port) as sender:
            return sender.ask(message("1")) == ("AR", "1")
    except (OSError, read.NotHL7):
        return False


def test_what_is_too_long_is_refused_by_name_and_the_connection_goes_on(portal):
    with Sender(portal.mllp_port) as sender:
        assert sender.ask(message("LONG", text="x" * 5_000_000)) == ("AE", "LONG")
        assert sender.ask(message("SHORT")) == ("AR", "SHORT")


def test_what_is_no_message_is_refused_and_the_connection_goes_on(portal):
    with Sender(portal.mllp_port) as sender:
        assert sender.ask(b"Dear colleague,")[0] == "AE"
        assert sender.ask(b"")[0] == "AE"
        assert sender.ask(bytes(range(32, 256)))[0] == "AE"
        assert sender.ask(message("A") + message("B")) == ("AE", "A")
        sender.send(b"\x0b" + message("CUT") + mllp.framed(message("NEXT")))
        assert [verdict(sender.answer()) for _ in range(2)] == [("AE", "CUT"), ("AR", "NEXT")]


def test_a_sender_in_enhanced_mode_gets_the_acknowledgement_that_it_asks_for(portal):
    with Sender(portal.mllp_port) as sender:
        assert sender.ask(message("1", mode="AL|NE")) == ("CR", "1")
        assert sender.ask(message("2", mode="NE|AL")) == ("AR", "2")


def test_a_silent_connection_is_ended_and_a_new_one_is_welcome(portal):
    with Sender(portal.mllp_port) as sender:
        assert sender.ask(message("1")) == ("AR", "1")
        begun = time.monotonic()
        assert sender.answer() == b""
        assert 2 < time.monotonic() - begun < 10

    assert answered(portal.mllp_port)


def test_garbage_that_drips_is_silence_too(portal):
    with Sender(portal.mllp_port) as sender, pytest.raises(OSError, match=r"reset|Broken pipe"):
        drip(sender)


def drip(sender: Sender) -> None:
    for _ in range(100):
        sender.send(b"x")
        time.sleep(0.1)


def test_a_peer_that_has_sent_all_and_only_listens_is_answered(portal):
    with Sender(portal.mllp_port) as sender:
        sender.send(mllp.framed(message("1")) + mllp.framed(message("2")))
        sender.socket.shutdown(socket.SHUT_WR)

        assert [verdict(sender.answer())[1] for _ in range(2)] == ["1", "2"]
        assert sender.answer() == b""


def test_a_peer_that_stops_within_a_message_is_told_so(portal):
    with Sender(portal.mllp_port) as sender:
        sender.send(b"\x0b" + message("CUT"))
        sender.socket.shutdown(socket.SHUT_WR)

        assert verdict(sender.answer()) == ("AE", "CUT")


def test_peers_that_vanish_or_never_speak_hold_nobody_up(portal):
    for n in range(10):
        with Sender(portal.mllp_port) as sender:
            sender.send(b"\x0b" + message("HALF")[: n * 10])
            reset = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    silent = [Sender(portal.mllp_port) for _ in range(10)]

    assert answered(portal.mllp_port)
    for sender in silent:
        sender.socket.close()


def test_a_peer_that_does_not_read_its_answers_holds_nobody_up(portal):
    with Sender(portal.mllp_port) as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            deaf.send(mllp.framed(message("D")) * 1_000_000)

        assert answered(portal.mllp_port)


def test_every_real_message_gets_its_answer_and_none_stops_the_door(new_portal, shared):
    portal = new_portal("mllp")
    raws = {path: path.read_bytes() for path in sorted((shared / "hl7").rglob("*")) if path.is_file()}
    codes: Counter[str] = Counter()
    with Sender(portal.mllp_port) as sender:
        for raw in raws.values():
            try:
                expected = read.parse(raw).control_id
            except read.NotHL7 as problem:
                expected = problem.header.control_id
            code, control_id = sender.ask(raw)
            assert control_id == expected
            codes[code] += 1

    assert sum(codes.values()) == len(raws)
    assert set(codes) <= {"AA", "AE", "AR", "CA", "CE", "CR"}


# --- stop, kill, database --------------------------------------------------------------------------------------------


def test_a_door_that_is_asked_to_end_answers_what_it_has_in_hand(portal):
    senders = [Sender(portal.mllp_port) for _ in range(5)]
    for sender in senders:
        assert sender.ask(message("1")) == ("AR", "1")
    stream = b"".join(mllp.framed(message(f"M{n}")) for n in range(3000))
    feeding = [threading.Thread(target=quietly, args=[sender, stream], daemon=True) for sender in senders]
    for thread in feeding:
        thread.start()
    first = [sender.answer() for sender in senders]
    portal.kill("mllp", signal.SIGTERM)

    assert all(first)
    assert portal.processes["mllp"].popen.returncode == 0
    for sender in senders:
        got = []
        while answer := sender.answer():  # whole ones, to the last
            got.append(verdict(answer)[1])
        assert got == [f"M{n}" for n in range(1, len(got) + 1)]
    assert not answers(portal.mllp_port)


def quietly(sender: Sender, stream: bytes) -> None:
    try:
        sender.send(stream)
    except OSError:
        pass


def test_a_killed_door_answers_again_once_it_is_back(portal):
    with Sender(portal.mllp_port) as sender:
        assert sender.ask(message("1")) == ("AR", "1")
        portal.kill("mllp")
        assert sender.answer() == b""
    portal.start("mllp")

    assert answered(portal.mllp_port)


def test_a_database_that_is_down_is_told_and_the_connection_goes_on_when_it_is_back(portal):
    with Sender(portal.mllp_port) as sender:
        assert sender.ask(update("1")) == ("AA", "1")
        with database_down(portal.env["DATABASE_URL"]), Sender(portal.mllp_port) as other:
            assert other.ask(update("2")) == ("AR", "2")
            assert other.ask(update("3")) == ("AR", "3")
        with Sender(portal.mllp_port) as other:
            assert other.ask(update("2")) == ("AA", "2")


def test_every_connection_works_again_after_the_database_was_down(portal):
    with Sender(portal.mllp_port) as busy, Sender(portal.mllp_port) as new:
        assert busy.ask(update("1")) == ("AA", "1")
        with database_down(portal.env["DATABASE_URL"]):
            assert new.ask(update("2")) == ("AR", "2")
        assert new.ask(update("2")) == ("AA", "2")
        busy.ask(update("3"))  # may be the one that finds out that its database connection has died
        assert busy.ask(update("3")) == ("AA", "3")


def update(control_id: str) -> bytes:
    header = f"MSH|^~\\&|RIS|HOSP|PORTAL|RAD|20250131143000||ADT^A08^ADT_A01|{control_id}|P|2.5.1"
    pid = "PID|1||4711^^^HOSP^MR||Doe^Jane||19700101|F"
    return "\r".join([header, "EVN|A08|20250131143000", pid, "PV1|1|O", ""]).encode()


@contextmanager
def database_down(url: str) -> Iterator[None]:
    """Nobody comes in any more, and with PostgreSQL those who are in are thrown out."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = Path(parts.path)
        away = path.rename(path.with_suffix(".away"))
        path.mkdir()
        yield
        path.rmdir()
        away.rename(path)
        return
    name = parts.path.removeprefix("/")
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


def test_a_door_that_cannot_be_opened_says_so_and_ends(new_portal):
    done = new_portal(IMGSHARE_BIND_ADDRESS="192.0.2.1").manage("mllp")  # nobody's, RFC 5737

    assert done.returncode != 0
    assert "The HL7 door cannot be opened" in done.stderr


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secured(new_portal, trust: Trust):
    files = {"CERTIFICATE": trust.ours.certificate, "KEY": trust.ours.key, "AUTHORITIES": trust.authority}
    return new_portal("mllp", **{f"IMGSHARE_MLLP_TLS_{name}": path for name, path in files.items()})


def client(trust: Trust, shown) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trust.authority)
    context.load_cert_chain(shown.certificate, shown.key)
    return context


def test_a_known_peer_speaks_tls(secured, trust):
    with Sender(secured.mllp_port, tls=client(trust, trust.theirs)) as sender:
        assert [sender.ask(message(f"M{n}", text="x" * 50_000)) for n in range(5)] == [
            ("AR", f"M{n}") for n in range(5)
        ]
        portal_ends_in_peace(secured, sender)


def portal_ends_in_peace(portal, sender: Sender) -> None:
    sender.send(mllp.framed(message("LAST")))
    assert verdict(sender.answer()) == ("AR", "LAST")
    portal.kill("mllp", signal.SIGTERM)
    assert portal.processes["mllp"].popen.returncode == 0
    assert sender.answer() == b""


def test_a_stranger_and_who_speaks_no_tls_are_not_talked_to(secured, trust):
    with (
        pytest.raises(OSError, match=r"alert|closed|EOF|reset"),
        Sender(secured.mllp_port, tls=client(trust, trust.stranger)) as stranger,
    ):
        stranger.ask(message("1"))
    with Sender(secured.mllp_port) as plain:
        plain.send(mllp.framed(message("1")))
        assert b"ACK" not in everything(plain)

    with Sender(secured.mllp_port, tls=client(trust, trust.theirs)) as sender:
        assert sender.ask(message("1")) == ("AR", "1")


def everything(sender: Sender) -> bytes:
    got = b""
    try:
        while data := sender.socket.recv(4096):
            got += data
    except OSError:
        pass
    return got
