"""How we call on an HL7 receiver: its answer, or a sentence that says what came in its place."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from orders.hl7 import mllp, read, write
from policies.rules.tls import Acceptor, Credentials
from tests.wire.certificates import Trust
from tests.wire.conftest import a_free_port

Script = Callable[[socket.socket], None]


def order(control_id: str) -> bytes:
    return f"MSH|^~\\&|PORTAL|RAD|RIS|HOSP|2025||ORM^O01^ORM_O01|{control_id}|P|2.5.1\rORC|NW\r".encode()


def accepted(raw: bytes, peer: mllp.Peer) -> bytes:
    return write.acknowledge(read.parse(raw), "AA", now=datetime.now(UTC))


@contextmanager
def receiver(answer: mllp.Answer = accepted, **settings) -> Iterator[mllp.Listener]:
    listener = mllp.Listener(answer, host="127.0.0.1", port=0, **settings)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


@contextmanager
def stubborn(*scripts: Script) -> Iterator[int]:
    """A receiver that does with each connection what its script says; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for script in scripts:
            connection, _ = listening.accept()
            with connection:
                script(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.close()
    thread.join(10)


def taking(then: bytes = b"", *, wait: float = 0) -> Script:
    """Take a message, wait, say something, and hang up."""

    def script(connection: socket.socket) -> None:
        taken = b""
        while not taken.endswith(mllp.END):
            taken += connection.recv(4096)
        time.sleep(wait)
        connection.sendall(then)

    return script


def acknowledgement(control_id: str) -> bytes:
    return mllp.framed(f"MSH|^~\\&|RIS|H|P|R|2025||ACK|9|P|2.5.1\rMSA|AA|{control_id}\r".encode())


def test_each_message_gets_its_own_answer_over_one_connection():
    seen: set[mllp.Peer] = set()

    def answer(raw: bytes, peer: mllp.Peer) -> bytes:
        seen.add(peer)
        return accepted(raw, peer)

    with receiver(answer) as listener, mllp.Connection("127.0.0.1", listener.port) as connection:
        answers = [read.parse(connection.ask(order(f"M{n}"))) for n in range(20)]

    assert [one.first("MSA").text(2) for one in answers] == [f"M{n}" for n in range(20)]
    assert len(seen) == 1


def test_a_connection_that_was_closed_while_it_was_idle_is_opened_again():
    with (
        receiver(limits=mllp.Limits(idle_seconds=0.2)) as listener,
        mllp.Connection("127.0.0.1", listener.port) as connection,
    ):
        connection.ask(order("1"))
        time.sleep(1)

        assert b"MSA|AA|2" in connection.ask(order("2"))


def test_an_answer_to_another_message_is_not_taken_for_ours():
    with (
        stubborn(taking(acknowledgement("OTHER") + b"noise" + acknowledgement("1"))) as port,
        mllp.Connection("127.0.0.1", port) as connection,
    ):
        assert b"MSA|AA|1" in connection.ask(order("1"))


NO_ANSWERS = {
    "hangs up": (taking(), "hung up"),
    "silent": (taking(wait=2), "not answered in time"),
    "late": (taking(acknowledgement("1"), wait=2), "not answered in time"),
    "another's": (taking(acknowledgement("2"), wait=0), "hung up"),
    "no HL7": (taking(mllp.framed(b"HTTP/1.1 400 Bad Request")), "hung up"),
    "half a frame": (taking(acknowledgement("1")[:-5]), "hung up"),
}


@pytest.mark.parametrize(("script", "words"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_no_answer_is_said_in_words(script, words):
    with (
        stubborn(script) as port,
        mllp.Connection("127.0.0.1", port) as connection,
        pytest.raises(mllp.NoAnswer, match=words) as problem,
    ):
        connection.ask(order("1"), timeout=1)

    assert str(problem.value).startswith(f"127.0.0.1:{port} ")
    assert str(problem.value).endswith(".")


def test_after_no_answer_the_next_message_goes_over_a_new_connection():
    with (
        stubborn(taking(acknowledgement("1"), wait=1), taking(acknowledgement("2"))) as port,
        mllp.Connection("127.0.0.1", port) as connection,
    ):
        with pytest.raises(mllp.NoAnswer):
            connection.ask(order("1"), timeout=0.5)

        assert b"MSA|AA|2" in connection.ask(order("2"))


def test_a_message_is_sent_once_more_at_most():
    """The receiver that hangs up upon everything hears the message from an idle connection twice, and then no more."""
    with stubborn(taking(acknowledgement("1")), taking()) as port, mllp.Connection("127.0.0.1", port) as connection:
        connection.ask(order("1"))
        with pytest.raises(mllp.NoAnswer, match="hung up"):
            connection.ask(order("2"), timeout=2)


def test_nobody_there_is_said_in_words():
    port = a_free_port()
    with (
        mllp.Connection("127.0.0.1", port) as connection,
        pytest.raises(mllp.Refused, match=f"127.0.0.1:{port} cannot be reached: Connection refused."),
    ):
        connection.ask(order("1"))


def test_what_the_answering_side_raises_is_answered_and_the_connection_goes_on():
    def answer(raw: bytes, peer: mllp.Peer) -> bytes:
        if b"|1|P" in raw:
            raise KeyError("a bug")
        return accepted(raw, peer)

    with receiver(answer) as listener, mllp.Connection("127.0.0.1", listener.port) as connection:
        assert read.parse(connection.ask(order("1"))).first("MSA").text(1) == "AR"
        assert read.parse(connection.ask(order("2"))).first("MSA").text(1) == "AA"


def test_a_stop_waits_for_the_answer_in_hand():
    begun = threading.Event()

    def answer(raw: bytes, peer: mllp.Peer) -> bytes:
        begun.set()
        time.sleep(1)
        return accepted(raw, peer)

    got: list[bytes] = []
    with receiver(answer) as listener, mllp.Connection("127.0.0.1", listener.port) as connection:
        asking = threading.Thread(target=lambda: got.append(connection.ask(order("1"))))
        asking.start()
        begun.wait(5)
        listener.stop()
        asking.join(5)

    assert b"MSA|AA|1" in got[0]


def test_a_message_that_drips_is_given_up_and_told_so():
    with (
        receiver(limits=mllp.Limits(message_seconds=0.5)) as listener,
        socket.create_connection(("127.0.0.1", listener.port), timeout=10) as slow,
    ):
        slow.sendall(mllp.START + order("1"))
        began, answer = time.monotonic(), b""
        while not answer.endswith(mllp.END):
            answer += slow.recv(4096)

        assert time.monotonic() - began < 3
        assert b"MSA|AE|1" in answer
        assert slow.recv(1) == b""


@pytest.fixture
def secured(trust: Trust) -> Iterator[mllp.Listener]:
    credentials = Credentials(trust.ours.certificate, trust.ours.key, trust.authority)
    with receiver(tls=Acceptor(credentials)) as listener:
        yield listener


def context(trust: Trust, shown) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=trust.authority)
    made.check_hostname = False
    made.load_cert_chain(shown.certificate, shown.key)
    return made


def test_a_receiver_is_called_over_tls(secured, trust):
    with mllp.Connection("127.0.0.1", secured.port, tls=context(trust, trust.theirs)) as connection:
        assert b"MSA|AA|1" in connection.ask(order("1"))


def test_a_receiver_whose_certificate_nobody_vouches_for_hears_nothing(secured, trust):
    with (
        mllp.Connection("127.0.0.1", secured.port, tls=ssl.create_default_context()) as connection,
        pytest.raises(mllp.Refused, match="does not speak TLS as it must"),
    ):
        connection.ask(order("1"))


def test_a_receiver_that_does_not_know_us_gives_no_answer(secured, trust):
    """With TLS 1.3 we are refused only after our first bytes are out."""
    with (
        mllp.Connection("127.0.0.1", secured.port, tls=context(trust, trust.stranger)) as connection,
        pytest.raises((mllp.NoAnswer, mllp.Refused)),
    ):
        connection.ask(order("1"), timeout=5)
