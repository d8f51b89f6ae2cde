"""Letters: texts of a header decoded by their character set, and when that fails as well as it can be done."""

import re
import warnings
from collections.abc import Callable

from pydicom import charset
from pydicom.datadict import dictionary_description


class Text:
    """Decodes by the Specific Character Set (PS3.3 C.12.1.1.2), and when that fails as well as it can."""

    def __init__(self, terms: bytes, tell: Callable[[str], None]) -> None:
        self.tell = tell
        names = [_term(term) for term in terms.decode("latin_1").strip(" \0").split("\\")]
        for name in names:
            if name not in charset.python_encoding:
                self.tell(f"The character set {name[:20]!r} is not known; some letters may be wrong.")
        self.declared = any(names)
        self.codecs = [charset.python_encoding.get(name, "latin_1") for name in names]

    def decode(self, raw: bytes, keyword: str = "") -> str:
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode().strip(" \0")
        text = self._decode(raw, f"the {dictionary_description(keyword)}" if keyword else "a text")
        return text.strip(" \0")

    def _decode(self, raw: bytes, where: str) -> str:
        if b"\x1b" in raw and (text := _with_escapes(raw, self.codecs)) is not None:
            return text
        guess = "utf_8" if _fits(raw, "utf_8") else "latin_1"
        if not self.declared:
            self.tell(f"The object does not say its character set; letters in {where} may be wrong.")
            return raw.decode(guess)
        if not _fits(raw, self.codecs[0]):
            self.tell(f"Some letters in {where} do not fit the character set of the object and may be wrong.")
            return raw.decode(guess)
        if guess == "utf_8" and self.codecs[0] in ("latin_1", "iso8859"):
            self.tell(f"{where[0].upper()}{where[1:]} looks like UTF-8, but the object says another character set.")
        return raw.decode(self.codecs[0])


def _term(written: str) -> str:
    """A defined term as the standard spells it: `ISO-IR 100` and `iso_2022_ir_6` are common slips."""
    plain = re.sub(r"[ _-]+", " ", written.strip(" \0").upper())
    return plain.replace("ISO IR ", "ISO_IR ", 1)


def _fits(raw: bytes, codec: str) -> bool:
    try:
        return raw.decode(codec) is not None
    except (UnicodeDecodeError, LookupError):
        return False


def _with_escapes(raw: bytes, codecs: list[str]) -> str | None:
    """Text with ISO 2022 escape sequences, or None when they do not work out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return charset.decode_bytes(raw, codecs, {0x5C, 0x5E, 0x3D})
    except (UserWarning, UnicodeError, LookupError):
        return None
