"""Text in a Specific Character Set (PS3.3 C.12.1.1.2), and the same text in ISO_IR 192 where it must be widened."""

from __future__ import annotations

import re
from typing import NamedTuple

from pydicom.charset import STAND_ALONE_ENCODINGS, decode_bytes, encode_string, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from reconciliation.dicom.elements import Malformed

ESCAPE = b"\x1b"
PLAIN = ("", "ISO_IR 6", "ISO 2022 IR 6")  # pydicom takes these for Latin-1; the standard says ASCII
NEVER_FIRST = {f"ISO 2022 IR {number}" for number in (58, 87, 149, 159)}  # of several bytes (PS3.3 C.12.1.1.2)
ONE_VALUE = {"LT", "ST", "UT"}  # a backslash in these is a backslash
NOT_TAKEN_OUT = "\x1b$)A"  # pydicom leaves the escape sequence of ISO 2022 IR 58 in the text
GUESSES = ("utf_8", "latin_1")  # for text that no character set is declared for: the first one that fits


class Characters(NamedTuple):
    """A Specific Character Set: Python's names of its codecs, none where it is unknown."""

    codecs: tuple[str, ...]
    proper: bool = True  # spelled as the standard spells it: new text may be written in it

    @classmethod
    def named(cls, value: bytes) -> Characters:
        labels = [label.strip("\0 ") for label in value.decode("latin-1").split("\\")]
        labels = labels[:1] if labels[0] in STAND_ALONE_ENCODINGS else labels
        spelled = [
            re.sub(r"^ISO.(2022.)?IR.", lambda m: "ISO 2022 IR " if m[1] else "ISO_IR ", each) for each in labels
        ]
        codecs = ["ascii" if each in PLAIN else python_encoding.get(each, "") for each in spelled]
        proper = all(codecs) and spelled == labels and labels[0] not in NEVER_FIRST
        return cls(tuple(codecs) if all(codecs) else (), proper)

    def fit(self, text: str) -> bool:
        """Whether the text can be written so that the same text is read again."""
        return text.isascii() or (self.proper and all(map(self._fit, re.split(r"[\\^=\r\n\f\t]", text))))

    def _fit(self, part: str) -> bool:
        if not all(any(_encodable(letter, codec) for codec in self.codecs) for letter in part):
            return False
        if self.codecs[0] == "ascii" and any(letter.isascii() < (letter <= "\xff") for letter in part):
            return False  # pydicom would write these as Latin-1, without an escape sequence
        return _read_again(part, list(self.writing))

    @property
    def undeclared(self) -> bool:
        """Whether letters beyond ASCII can only be guessed at: what is read of them is never all that is kept."""
        return self.codecs == ("ascii",)

    @property
    def writing(self) -> tuple[str, ...]:
        """The codecs as pydicom wants them: it knows the escape sequence back to ASCII by this name only."""
        return tuple("iso8859" if codec == "ascii" else codec for codec in self.codecs) or ("ascii",)

    def decode(self, value: bytes, vr: str) -> str:
        """Raises Malformed where the bytes do not belong to the character set that the object declares."""
        try:
            if self.undeclared:
                return _guessed(value)
            if len(self.codecs) == 1:
                return value.decode(self.codecs[0])
            delimiters = PN_DELIMS | {ord("=")} if vr == "PN" else TEXT_VR_DELIMS
            delimiters |= set() if vr in ONE_VALUE else {ord("\\")}
            text = decode_bytes(value, list(self.codecs), delimiters) if self.codecs else "\ufffd"
        except (UnicodeError, LookupError):
            text = "\ufffd"
        text = text.replace(NOT_TAKEN_OUT, "")
        if "\ufffd" in text or "\x1b" in text:
            raise Malformed(
                "The local values need another character set, and text of this object cannot be read in the one that "
                "it declares: ask the sender to correct its Specific Character Set."
            )
        return text


def _guessed(value: bytes) -> str:
    """As intake reads it for the desk; with the escape sequences that Japanese objects use undeclared."""
    for codec in ("iso2022_jp_2",) if ESCAPE in value else GUESSES[:1]:
        try:
            return value.decode(codec)
        except UnicodeDecodeError:
            pass
    return value.decode(GUESSES[1])


def _encodable(letter: str, codec: str) -> bool:
    try:
        return bool(letter.encode(codec))
    except UnicodeEncodeError:
        return False


def _read_again(part: str, codecs: list[str]) -> bool:
    return decode_bytes(encode_string(part, codecs), codecs, set()) == part
