"""A receiver written out by hand, which breaks the rules of DICOM in whatever way a test asks for."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

RESPONSE, SUCCESS = 0x8001, 0x0000
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(content)) + content


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def response(message_id: int, status: int = SUCCESS, *, field: int = RESPONSE) -> bytes:
    """A C-STORE-RSP as a command set."""
    numbers = {0x0100: field, 0x0120: message_id, 0x0800: 0x0101, 0x0900: status}
    body = b"".join(element(number, struct.pack("<H", value)) for number, value in numbers.items())
    return element(0x0000, struct.pack("<I", len(body))) + body


def data(fragment: bytes, *, context: int = 1, control: int = 3) -> bytes:
    return pdu(0x04, struct.pack(">IBB", len(fragment) + 2, context, control) + fragment)


class Wire:
    """One connection of the peer, from its side."""

    def __init__(self, line: socket.socket) -> None:
        self.line, self.contexts = line, []
        self.file = line.makefile("rb")

    def read(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self.file.read(6))
        return kind, self.file.read(length)

    def accept(self, *, maximum: int = 16384, result: int = 0, syntax: int = 0) -> None:
        """Take every context in its first transfer syntax (or in the one with this number)."""
        _, request = self.read()
        answers, position = b"", 68
        while position < len(request):
            kind, length = struct.unpack_from(">BxH", request, position)
            if kind == 0x20:
                content = request[position + 4 : position + 4 + length]
                self.contexts.append(content[0])
                syntaxes = [piece for number, piece in self._items(content[4:]) if number == 0x40]
                taken = item(0x40, syntaxes[min(syntax, len(syntaxes) - 1)])
                answers += item(0x21, bytes([content[0], 0, result, 0]) + taken)
            position += 4 + length
        told = item(0x51, struct.pack(">I", maximum)) + item(0x52, b"1.2.3")
        fixed = struct.pack(">HH16s16s32x", 1, 0, b"STORESCP".ljust(16), b"IMGSHARE".ljust(16))
        self.send(pdu(0x02, fixed + item(0x10, APPLICATION_CONTEXT) + answers + item(0x50, told)))

    def _items(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        position = 0
        while position < len(content):
            kind, length = struct.unpack_from(">BxH", content, position)
            yield kind, content[position + 4 : position + 4 + length]
            position += 4 + length

    def fragments(self) -> Iterator[tuple[int, bytes]]:
        """Control header and bytes of what comes, to the end of one message with its data set."""
        while True:
            kind, content = self.read()
            assert kind == 0x04, kind
            length, _, control = struct.unpack_from(">IBB", content)
            assert length + 4 == len(content)
            yield control, content[6:]
            if control == 2:
                return

    def message(self) -> tuple[int, bytes]:
        """The id of the next C-STORE-RQ, and its data set."""
        command, body = b"", b""
        for control, fragment in self.fragments():
            if control & 1:
                command += fragment
            else:
                body += fragment
        return self.message_id(command), body

    def message_id(self, command: bytes) -> int:
        return struct.unpack_from("<H", command, command.index(struct.pack("<HHI", 0, 0x0110, 2)) + 8)[0]

    def send(self, raw: bytes) -> None:
        self.line.sendall(raw)

    def reset(self) -> None:
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.line.close()


@contextmanager
def raw_peer(script: Callable[[Wire], None]) -> Iterator[int]:
    """Runs the script for each connection; gives the port. What the script asserts, the test hears at the end."""
    server, failed, threads = socket.create_server(("127.0.0.1", 0)), [], []

    def serve(line: socket.socket) -> None:
        with line:
            try:
                script(Wire(line))
            except AssertionError as problem:
                failed.append(problem)
            except (OSError, struct.error):
                pass  # the other side has gone

    def listen() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(server.accept()[0],), daemon=True))
                threads[-1].start()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for thread in [listener, *threads]:
            thread.join(5)
    assert failed == []
