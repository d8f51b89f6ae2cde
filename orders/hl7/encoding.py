"""How a message is written down: its delimiters, its escapes (HL7 2.5.1, 2.5.4 and 2.7), and the null that deletes."""

import re
from functools import lru_cache
from typing import NamedTuple

LONGEST_SKIP = 99  # lines or spaces that one escape may ask for: a few letters must not become megabytes

NAMES = {"F": "field", "S": "component", "T": "subcomponent", "R": "repetition", "E": "escape"}
FORMATS = re.compile(r"\.(br|ce|sp|sk|in|ti|fi|nf) ?([+-]?\d{0,3})$")
LINES, SPACES = {"br", "ce", "sp"}, {"sk"}
HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)$")


class Null(str):
    """A type of its own, so that a text which happens to read `""` is never written as an order to delete."""


NULL = Null('""')  # HL7 2.5.1, 2.5.3: the receiver deletes its value; an empty field changes nothing


class Encoding(NamedTuple):
    """Delimiters that MSH-1 and MSH-2 declare, "" for one that is not there, and Python's codec of the text."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    codec: str = "utf_8"

    @property
    def characters(self) -> str:
        """MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent

    def quote(self, text: str) -> str:
        """A text as one value: nothing in it can end a value, a field, a segment or a frame.

        Where the escape character is missing, what would need it becomes "?".
        """
        return text.translate(_quotes(self))

    def unquote(self, text: str) -> str:
        """The text that a value stands for; escapes that say nothing to us are left as they are."""
        if not self.escape or self.escape not in text:
            return text
        return _escaped(self.escape).sub(lambda found: _meaning(self, found), text)


STANDARD = Encoding()


@lru_cache(64)
def _quotes(encoding: Encoding) -> dict[int, str]:
    def within(name: str) -> str:
        return f"{encoding.escape}{name}{encoding.escape}" if encoding.escape else "?"

    table = {code: within(f"X{code:02X}") for code in (*range(0x20), 0x7F)}
    table |= {delimiter: within(name) for name, kind in NAMES.items() if (delimiter := _code(encoding, kind))}
    return table | {ord("\n"): within(".br")}


def _code(encoding: Encoding, kind: str) -> int:
    delimiter = getattr(encoding, kind)
    return ord(delimiter) if delimiter else 0


@lru_cache(64)
def _escaped(escape: str) -> re.Pattern:
    mark = re.escape(escape)
    return re.compile(f"{mark}([^{mark}\r\n]*){mark}")


def _meaning(encoding: Encoding, found: re.Match) -> str:
    name = found[1]
    if kind := NAMES.get(name):
        return getattr(encoding, kind)
    if name in ("H", "N"):  # highlighting begins, ends
        return ""
    if name == "P":  # the truncation character (2.7)
        return "#"
    if hexadecimal := HEX.match(name):
        return _letters(bytes.fromhex(hexadecimal[1]), encoding.codec)
    if formats := FORMATS.match(name):
        return _layout(formats[1], formats[2])
    return found[0]


def _letters(raw: bytes, codec: str) -> str:
    for likely in (codec, "utf_8"):
        try:
            return raw.decode(likely)
        except UnicodeDecodeError:
            pass
    return raw.decode("latin_1")


def _layout(command: str, count: str) -> str:
    times = min(abs(int(count)) if count.strip("+-") else 1, LONGEST_SKIP)
    return "\n" * times if command in LINES else " " * times if command in SPACES else ""
