"""A radiology information system written out by hand: takes orders by MLLP, and answers as a test asks it to."""

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

Play = Callable[["RIS", socket.socket, bytes], bytes | None]  # what goes back to a message, None: nothing


def field(message: bytes, segment: bytes, number: int) -> bytes:
    """The first component of a field; MSH is counted as any other segment, one less than the standard does."""
    line = next((one for one in message.split(b"\r") if one.startswith(segment + b"|")), b"")
    fields = line.split(b"|")
    return fields[number].split(b"^")[0] if number < len(fields) else b""


def acknowledgement(message: bytes, code: str, *segments: str, kind: str = "ACK") -> bytes:
    head = f"MSH|^~\\&|RIS|HOSP|IMGSHARE||20250131143001||{kind}|R1|P|2.3.1"
    verdict = f"MSA|{code}|{field(message, b'MSH', 9).decode()}"
    return "".join(f"{one}\r" for one in (head, verdict, *segments)).encode()


def says(code: str, *segments: str) -> Play:
    return lambda ris, line, message: acknowledgement(message, code, *segments)


def nothing(ris: "RIS", line: socket.socket, message: bytes) -> None:
    return None


def closes(ris: "RIS", line: socket.socket, message: bytes) -> None:
    line.shutdown(socket.SHUT_RDWR)


def closes_in_the_middle(ris: "RIS", line: socket.socket, message: bytes) -> None:
    line.sendall(b"\x0b" + acknowledgement(message, "AA")[:40])
    line.shutdown(socket.SHUT_RDWR)


def garbage(ris: "RIS", line: socket.socket, message: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def to_another_message(ris: "RIS", line: socket.socket, message: bytes) -> bytes:
    return acknowledgement(message.replace(field(message, b"MSH", 9), b"SOMETHINGELSE"), "AA")


def late(seconds: float) -> Play:
    def play(ris: "RIS", line: socket.socket, message: bytes) -> bytes:
        time.sleep(seconds)
        return acknowledgement(message, "AA")

    return play


def numbers(number: str) -> Play:
    """Accepts the order, and says its numbers in the acknowledgement itself (ORR^O02)."""

    def play(ris: "RIS", line: socket.socket, message: bytes) -> bytes:
        order = f"ORC|OK|{field(message, b'ORC', 2).decode()}^IMGSHARE|F{number}^RIS"
        obr = "OBR|1" + "|" * 17 + f"{number}|RP{number}|SPS{number}"
        return acknowledgement(message, "AA", order, obr, kind="ORR^O02")

    return play


class RIS:
    """Plays its answers one after the other, the last one for ever. `received` is every message as it came."""

    def __init__(self, *plays: Play) -> None:
        self.plays = list(plays)
        self.received: list[bytes] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.lines: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def control_ids(self) -> list[str]:
        return [field(message, b"MSH", 9).decode() for message in self.received]

    def close(self) -> None:
        for one in (self.server, *self.lines):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self.server.accept()
                self.lines.append(line)
                threading.Thread(target=self._talk, args=[line], daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        coming = b""
        with suppress(OSError):
            while piece := line.recv(65536):
                coming += piece
                while found := re.match(rb"\x0b(.*?)\x1c\r", coming, re.DOTALL):
                    coming = coming[found.end() :]
                    self.received.append(found[1])
                    play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
                    if answer := play(self, line, found[1]):
                        line.sendall(b"\x0b" + answer + b"\x1c\r")
