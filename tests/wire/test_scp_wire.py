"""The DICOM door against bytes of every shape: cut anywhere, many at once, out of turn, too long, or none at all."""

import socket
import struct
import time
from contextlib import contextmanager

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import CTImageStorage

from reconciliation.dicom.command import parsed
from tests.wire.door import CT, Portal, associate, command, eventually

pytestmark = pytest.mark.wire

DATA = bytes(range(256)) * 80
A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA_TF, A_RELEASE_RP, A_ABORT = 2, 3, 4, 6, 7
STATUS, RESPONDED_TO, COMMAND_FIELD = 0x0900, 0x0120, 0x0100


@pytest.fixture(params=[False, True], ids=["direct", "plain"])
def plain(request) -> bool:
    return request.param


@pytest.fixture
def opened(tmp_path, plain):
    """`opened(maximum_pdu=4096)`: a door with these options, shut at the end."""
    portals = []

    def open_door(**options) -> Portal:
        portals.append(Portal(tmp_path / f"spool{len(portals)}", plain=plain, **options))
        return portals[-1]

    yield open_door
    for portal in portals:
        portal.server.shutdown()


@pytest.fixture
def portal(opened) -> Portal:
    return opened()


def pdu(*fragments: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF PDU of fragments (presentation context, control header, bytes)."""
    items = b"".join(struct.pack(">IBB", len(data) + 2, *head) + data for *head, data in fragments)
    return struct.pack(">BxI", P_DATA_TF, len(items)) + items


def request() -> bytes:
    """An association request: CT in context 1, verification in context 3."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(content)) + content

    syntax = item(0x40, ExplicitVRLittleEndian.encode())
    contexts = b"".join(
        item(0x20, bytes([number, 0, 0, 0]) + item(0x30, uid.encode()) + syntax)
        for number, uid in ((1, CTImageStorage), (3, "1.2.840.10008.1.1"))
    )
    user = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"2.25.1"))
    titles = f"{'IMGSHARE':16}{'MODALITY':16}".encode()
    content = struct.pack(">HH", 1, 0) + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
    return struct.pack(">BxI", 1, len(content)) + content


def echo(message_id: int = 9) -> bytes:
    values = {0x0002: b"1.2.840.10008.1.1\0", 0x0100: 0x0030, 0x0110: message_id, 0x0800: 0x0101}
    return encoded(values)


def encoded(values: dict[int, bytes | int]) -> bytes:
    pieces = [(tag, struct.pack("<H", value) if isinstance(value, int) else value) for tag, value in values.items()]
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in pieces)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


class Caller:
    """A sender with every byte in its own hand."""

    def __init__(self, portal: Portal) -> None:
        self.socket = socket.create_connection(("127.0.0.1", portal.port), timeout=10)
        self.answers = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """The next PDU: its type, and its content. Type 0 when the door has hung up."""
        try:
            head = self.answers.read(6)
            if len(head) < 6:
                return 0, b""
            kind, length = struct.unpack(">BxI", head)
            return kind, self.answers.read(length)
        except ConnectionResetError:
            return 0, b""

    def answered(self) -> dict[int, int]:
        """The command set of the next answer, its numbers by element."""
        kind, content = self.answer()
        assert kind == P_DATA_TF
        return {tag: int.from_bytes(value[:2], "little") for tag, value in parsed(content[6:]).items()}

    def is_over(self) -> bool:
        return self.answer()[0] in (A_ABORT, 0)

    def close(self) -> None:
        self.answers.close()
        self.socket.close()


@contextmanager
def caller(portal: Portal):
    """An association, not released at the end but hung up."""
    one = Caller(portal)
    try:
        one.send(request())
        assert one.answer()[0] == A_ASSOCIATE_AC
        yield one
    finally:
        one.close()


def kept(portal: Portal) -> list[bytes]:
    """What was received, without preamble and file meta information."""
    return [path.read_bytes().partition(b"IMGSHARE_1")[2] for path in portal.arrivals()]


# --- shapes that are as they should be -------------------------------------------------------------------------------


def as_one_pdu():
    return pdu((1, 3, command()), (1, 2, DATA))


def as_a_pdu_for_each():
    return pdu((1, 3, command())) + pdu((1, 2, DATA))


def with_a_command_in_pieces():
    whole = command()
    return b"".join(pdu((1, 1, whole[n : n + 1])) for n in range(len(whole))) + pdu((1, 3, b"")) + pdu((1, 2, DATA))


def with_empty_fragments():
    empty = (1, 0, b"")
    return (
        pdu((1, 3, command()), empty, (1, 0, DATA[:7]), empty) + pdu(empty, empty) + pdu((1, 0, DATA[7:]), (1, 2, b""))
    )


def with_empty_pdus():
    return pdu((1, 3, command())) + pdu() + pdu((1, 0, DATA)) + pdu() + pdu((1, 2, b""))


def with_many_small_fragments():
    pieces = [(1, 0, DATA[n : n + 3]) for n in range(0, len(DATA), 3)]
    return pdu((1, 3, command())) + pdu(*pieces, (1, 2, b""))


SHAPES = [
    as_one_pdu,
    as_a_pdu_for_each,
    with_a_command_in_pieces,
    with_empty_fragments,
    with_empty_pdus,
    with_many_small_fragments,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("step", [0, 1009, 11], ids=["at once", "in pieces", "in crumbs"])
def test_an_object_is_whole_however_it_is_cut(portal, shape, step):
    data = shape()
    with caller(portal) as one:
        for first in range(0, len(data) if step else 0, step or 1):
            one.send(data[first : first + step])
            if first < 20 * step:
                time.sleep(0.002)  # for the door to find only so much
        if not step:
            one.send(data)

        assert one.answered()[STATUS] == 0

    assert kept(portal) == [DATA]


@pytest.mark.parametrize("maximum", [4096, 16384, 1 << 20, 0])
def test_a_sender_keeps_to_the_agreed_size_of_a_pdu(opened, maximum):
    portal = opened(maximum_pdu=maximum)

    assert portal.call("storescu", CT).returncode == 0
    assert len(portal.arrivals()) == 1


def test_a_pdu_without_limit_is_taken_whole(opened):
    portal, data = opened(maximum_pdu=0), DATA * 200
    with caller(portal) as one:
        one.send(pdu((1, 3, command()), (1, 2, data)))

        assert one.answered()[STATUS] == 0

    assert kept(portal) == [data]


def test_objects_sent_without_waiting_are_answered_in_order(portal):
    with caller(portal) as one:
        for number in (1, 2, 3):
            one.send(pdu((1, 3, command({0x0110: bytes([number, 0])})), (1, 2, DATA)))

        assert [one.answered()[RESPONDED_TO] for _ in range(3)] == [1, 2, 3]

    assert kept(portal) == [DATA] * 3


def test_an_echo_in_the_middle_of_an_object_is_answered(portal):
    with caller(portal) as one:
        one.send(pdu((1, 3, command()), (1, 0, DATA[:5000])) + pdu((3, 3, echo())))
        answer = one.answered()
        assert (answer[COMMAND_FIELD], answer[RESPONDED_TO]) == (0x8030, 9)
        one.send(pdu((1, 2, DATA[5000:])))

        assert one.answered()[STATUS] == 0

    assert kept(portal) == [DATA]


def test_a_cancel_in_the_middle_of_an_object_changes_nothing(portal):
    cancel = encoded({0x0100: 0x0FFF, 0x0120: 7, 0x0800: 0x0101})
    with caller(portal) as one:
        one.send(pdu((1, 3, command()), (1, 0, DATA[:5000]), (1, 3, cancel), (1, 2, DATA[5000:])))

        assert one.answered()[STATUS] == 0

    assert kept(portal) == [DATA]


def test_many_questions_at_once_are_all_answered(portal):
    with caller(portal) as one:
        one.send(b"".join(pdu((3, 3, echo(number))) for number in range(1, 301)))

        assert [one.answered()[RESPONDED_TO] for _ in range(300)] == list(range(1, 301))


def test_a_release_is_answered_after_the_last_object(portal):
    with caller(portal) as one:
        one.send(as_one_pdu() + struct.pack(">BxI", 5, 4) + bytes(4))

        assert one.answered()[STATUS] == 0
        assert one.answer()[0] == A_RELEASE_RP

    assert kept(portal) == [DATA]


# --- what is refused, and the association goes on --------------------------------------------------------------------


def test_a_context_that_was_not_accepted_is_refused(portal):
    with caller(portal) as one:
        one.send(pdu((5, 3, command()), (5, 2, DATA)))
        assert one.answered()[STATUS] == 0x0122
        one.send(as_one_pdu())
        assert one.answered()[STATUS] == 0

    assert kept(portal) == [DATA]


def test_data_in_another_context_than_its_request_are_refused(portal):
    with caller(portal) as one:
        one.send(pdu((1, 3, command()), (1, 0, DATA[:5000]), (3, 2, DATA[5000:])))

        assert one.answered()[STATUS] == 0xC000

    assert kept(portal) == []


# --- what ends the association ---------------------------------------------------------------------------------------


def a_query():
    """C-FIND of the storage class, which nobody serves."""
    return encoded({0x0002: CTImageStorage.encode(), 0x0100: 0x0020, 0x0110: 3, 0x0700: 0, 0x0800: 0})


BEGUN = pdu((1, 3, command()), (1, 0, DATA[:5000]))
GARBAGE = {
    "a length of 4 GB": struct.pack(">BxI", P_DATA_TF, 0xFFFFFFF0) + DATA,
    "a PDU too short for a fragment": struct.pack(">BxI", P_DATA_TF, 3) + bytes(3),
    "a fragment of no length": struct.pack(">BxIIBB", P_DATA_TF, 6, 0, 1, 3),
    "a fragment without a control header": struct.pack(">BxIIBB", P_DATA_TF, 6, 1, 1, 3),
    "a fragment longer than its PDU": struct.pack(">BxIIBB", P_DATA_TF, 6, 100, 1, 0) + DATA,
    "a PDU that ends in a fragment's header": struct.pack(">BxIIBB", P_DATA_TF, 9, 2, 1, 0) + bytes(3),
    "an unknown kind of PDU": struct.pack(">BxI", 0x55, 10) + bytes(10),
    "another association request": request(),
    "an association request of 4 GB": struct.pack(">BxI", 1, 0xFFFFFFF0) + DATA,
    "an abort": struct.pack(">BxI", 7, 4) + bytes(4),
    "a request before the object was whole": pdu((1, 3, command())),
    "a query before the object was whole": pdu((1, 3, a_query())),
    "data in the middle of a request": pdu((1, 1, command()[:20]), (1, 0, DATA)),
    "a request without end": pdu(*[(1, 1, bytes(15000))] * 5),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_breaks_the_protocol_ends_the_association_and_leaves_no_arrival(portal, garbage):
    with caller(portal) as one:
        one.send(BEGUN)
        eventually(lambda: "1.part" in portal.files())
        one.send(garbage)

        assert one.is_over()

    assert kept(portal) == []
    assert portal.files() == ["origin.json"]
    assert portal.call("echoscu").returncode == 0


@pytest.mark.parametrize("sent", [pdu((1, 2, DATA)), pdu((1, 3, a_query()), (1, 2, DATA))], ids=["data", "a query"])
def test_what_nobody_asked_for_ends_the_association(portal, sent):
    with caller(portal) as one:
        one.send(sent)

        assert one.is_over()

    assert portal.files() == []
    assert portal.call("storescu", CT).returncode == 0


# --- who says nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", BEGUN, pdu((1, 3, command()))[:9], pdu((1, 3, command()), (1, 0, DATA))[:5000]])
def test_a_peer_that_is_silent_for_too_long_is_let_go(opened, sent):
    portal = opened(network_timeout=0.5)
    with caller(portal) as one:
        one.send(sent)

        assert one.is_over()
        eventually(lambda: not portal.server.open_doors)

    assert kept(portal) == []


def trickle(one: Caller, piece: bytes, *, times: int) -> None:
    for _ in range(times):
        one.send(piece)
        time.sleep(0.02)


def test_an_object_that_trickles_is_let_go(opened):
    """Each piece comes in time, the whole would take days."""
    portal = opened(network_timeout=0.5)
    with caller(portal) as one:
        one.send(pdu((1, 3, command())))
        with pytest.raises(ConnectionError):
            trickle(one, pdu((1, 0, b"x")), times=500)
        eventually(lambda: not portal.server.open_doors)

    assert kept(portal) == []


@pytest.mark.parametrize("sent", [b"", request()[:100]], ids=["nothing", "half a request"])
def test_a_connection_without_a_request_is_let_go(opened, sent):
    portal = opened(request_timeout=0.5)
    one = Caller(portal)
    one.send(sent)

    assert one.answer()[0] in (0, A_ABORT)
    eventually(lambda: not portal.server.open_doors)
    one.close()


def test_a_request_that_trickles_is_let_go(opened):
    portal = opened(request_timeout=0.5)
    one, began = Caller(portal), time.monotonic()
    try:
        for byte in request():
            one.send(bytes([byte]))
            time.sleep(0.03)
    except ConnectionError:
        pass
    finally:
        one.close()

    assert time.monotonic() - began < 3
    eventually(lambda: not portal.server.open_doors)


@pytest.mark.parametrize("state", ["gone", "silent", "in mid PDU", "in mid object"])
def test_shutting_takes_no_longer_than_a_moment(opened, state):
    portal = opened()
    one = Caller(portal)
    if state.startswith("in"):
        one.send(request())
        one.answer()
        one.send(BEGUN + (pdu((1, 0, DATA))[:100] if state == "in mid PDU" else b""))
        eventually(lambda: "1.part" in portal.files())
    if state == "gone":
        one.close()
    began = time.monotonic()
    portal.server.shutdown()

    assert time.monotonic() - began < 2
    assert not portal.server.open_doors
    assert kept(portal) == []
    one.close()


# --- who is too many -------------------------------------------------------------------------------------------------


def test_one_association_too_many_is_told_to_come_back(opened):
    portal = opened(maximum_associations=2)
    with caller(portal), caller(portal):
        one = Caller(portal)
        one.send(request())

        assert one.answer() == (A_ASSOCIATE_RJ, bytes([0, 2, 3, 2]))  # transient, local limit exceeded
        one.close()

    eventually(lambda: not portal.server.open_doors)
    assert portal.call("echoscu").returncode == 0


def test_connections_have_an_end_too(opened):
    portal = opened(maximum_associations=1)
    callers = [Caller(portal) for _ in range(40)]
    eventually(lambda: len(portal.server.open_doors) >= 33)

    assert callers[-1].answer() == (0, b"")
    assert len(portal.server.open_doors) == 33
    for one in callers:
        one.close()
    eventually(lambda: not portal.server.open_doors)
    assert portal.call("echoscu").returncode == 0


def test_two_doors_share_a_port(opened):
    first = opened(shared=True)
    second = opened(shared=True, port=first.port)
    for _ in range(20):
        assoc = associate(first.port)
        assert assoc.send_c_store(CT).Status == 0
        assoc.release()

    assert len(first.arrivals()) + len(second.arrivals()) == 20
