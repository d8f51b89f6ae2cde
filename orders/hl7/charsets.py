"""The character sets of MSH-18 (HL7 table 0211), and what really arrives under their names."""

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

ASCII, LATIN_1, UTF_8, JAPANESE = "ASCII", "8859/1", "UNICODE UTF-8", "ISO IR87"

# Names of table 0211 -> Python's codec. Supersets where the standard's own set is too small for what is sent.
CODECS = {
    ASCII: "ascii",
    LATIN_1: "iso8859_1",
    **{f"8859/{part}": f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)},
    "ISO IR6": "ascii",
    "ISO IR13": "iso2022_jp_ext",
    "ISO IR14": "iso2022_jp_ext",
    JAPANESE: "iso2022_jp_ext",
    "ISO IR159": "iso2022_jp_ext",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "cp949",
    "BIG-5": "cp950",
    "UNICODE": "utf_8",
    UTF_8: "utf_8",
    "UNICODE UTF-16": "utf_16",
    "UNICODE UTF-32": "utf_32",
}
# As others spell them: DICOM, the web, Windows.
OTHER_SPELLINGS = {
    "utf8": UTF_8,
    "iso88591": LATIN_1,
    "latin1": LATIN_1,
    "windows1252": LATIN_1,
    "cp1252": LATIN_1,
    "usascii": ASCII,
    "isoir100": LATIN_1,
    "isoir192": UTF_8,
    "gb18030": "GB 18030-2000",
    "gb2312": "GB 18030-2000",
    "gbk": "GB 18030-2000",
    "ksc5601": "KS X 1001",
    "euckr": "KS X 1001",
    "utf16": "UNICODE UTF-16",
    "utf32": "UNICODE UTF-32",
} | {f"iso8859{part}": f"8859/{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)}
WIDE = {"UNICODE UTF-16", "UNICODE UTF-32"}
UTF_IN_DOUBT = 8  # letters beyond ASCII; fewer may be UTF-8 by chance where a set has letters for its every byte
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UNICODE UTF-32"),
    (codecs.BOM_UTF16_LE, "UNICODE UTF-16"),
    (codecs.BOM_UTF16_BE, "UNICODE UTF-16"),
)
SHIFTED = re.compile(rb"\x1b\$(?:[@B]|\([@BD])[^\x1b]*")  # JIS X 0208 and 0212, two bytes a letter
ROMAN, PLAIN = b"\x1b(J", b"\x1b(B"  # JIS X 0201 has a yen sign and an overline where delimiters stand
LOOK_LIKE_DELIMITERS = {0xA5: "\uffe5", 0x203E: "\uffe3"}  # the same two on the way out
KOREAN = b"\x1b$)C"


class Decoded(NamedTuple):
    """`charset` as table 0211 names what the text was read as; `note` is a sentence where that was not as declared."""

    text: str
    charset: str
    note: str = ""

    @property
    def codec(self) -> str:
        return CODECS[self.charset]


def known(name: str) -> str:
    """The name in table 0211 of a character set that may be spelled otherwise; "" when it is none."""
    name = " ".join(name.upper().split())
    return name if name in CODECS else OTHER_SPELLINGS.get(re.sub(r"[^a-z0-9]", "", name.lower()), "")


def wide(raw: bytes) -> str:
    """UTF-16 and UTF-32 by their byte order mark: in these no delimiter can be looked for in the bytes."""
    return next((name for mark, name in BYTE_ORDER_MARKS if raw.startswith(mark)), "")


def decode(raw: bytes, declared: Sequence[str]) -> Decoded:
    """Read a message whose MSH-18 has these repetitions; never raises: what cannot be read becomes U+FFFD."""
    names = [name for name in declared if name.strip()]
    if raw.isascii() and b"\x1b" not in raw:
        return Decoded(raw.decode("ascii"), _first(names) if _first(names) not in WIDE else ASCII)
    unknown = [name for name in names if not known(name)]
    name = _first(names)
    if CODECS[name] == "iso2022_jp_ext" or (not names and b"\x1b$" in raw):
        return Decoded(_japanese(raw), JAPANESE if name == ASCII else name)
    decoded = _decode(raw, name)
    if unknown:
        return decoded._replace(note=f"names {unknown[0]!r}, which is no character set of HL7; {_read_as(decoded)}")
    if decoded.charset != name:
        says = f"says {name} but is" if names else "names no character set; read as"
        return decoded._replace(note=f"{says} {decoded.charset.removeprefix('UNICODE ')}")
    return decoded


def _read_as(decoded: Decoded) -> str:
    return f"read as {decoded.charset.removeprefix('UNICODE ')}"


def _first(names: Sequence[str]) -> str:
    """What the text is in by default. ASCII first, and then a set that is switched to by escapes: the second."""
    sets = [known(name) or ASCII for name in names] or [ASCII]
    return next((name for name in sets if CODECS[name] != "ascii"), sets[0])


def _decode(raw: bytes, name: str) -> Decoded:
    if name in WIDE:  # announced, but there is no byte order mark: the header itself was read byte by byte
        name = UTF_8
    text = raw.decode("utf_8", "replace")
    if _is_utf_8(text, name):
        broken = "has bytes that are no UTF-8; they were replaced" if "\ufffd" in text else ""
        return Decoded(text, name if CODECS[name] == "utf_8" else UTF_8, broken)
    if name in (ASCII, "ISO IR6", "UNICODE", UTF_8):
        name = LATIN_1
    if name == "KS X 1001":
        raw = raw.replace(KOREAN, b"")
    return Decoded(_latin_1(raw) if name == LATIN_1 else raw.decode(CODECS[name], "replace"), name)


def _is_utf_8(text: str, name: str) -> bool:
    """Whether text that was read as UTF-8 is that, whatever its declared set says.

    One broken letter, cut off by a length limit, does not make the others Latin-1. In sets like Cyrillic two capitals
    may look like one letter of UTF-8: there it must be a letter that the set has, or there must be many.
    """
    beyond = [letter for letter in text if letter > "\x7f"]
    broken = beyond.count("\ufffd")
    if CODECS[name] == "utf_8":
        return broken * 2 < len(beyond)
    if broken:
        return False
    if name in (ASCII, "ISO IR6", LATIN_1) or len(beyond) >= UTF_IN_DOUBT:
        return True
    codec = "gbk" if CODECS[name] == "gb18030" else CODECS[name]  # the larger one has every letter that there is
    return "".join(beyond).encode(codec, "ignore").decode(codec) == "".join(beyond)


def _latin_1(raw: bytes) -> str:
    """Windows has letters where Latin-1 has control codes, and calls the whole Latin-1."""
    if any(0x80 <= byte <= 0x9F for byte in raw):
        try:
            return raw.decode("cp1252")
        except UnicodeDecodeError:
            pass
    return raw.decode("latin_1")


def _japanese(raw: bytes) -> str:
    """JIS X 0208 and 0212 by escape sequences; between them ASCII, and half-width katakana of one byte."""
    raw = raw.replace(ROMAN, PLAIN)
    pieces, at = [], 0
    for shifted in SHIFTED.finditer(raw):
        pieces.append(_narrow(raw[at : shifted.start()]))
        pieces.append(shifted[0].decode("iso2022_jp_ext", "replace"))
        at = shifted.end()
    return "".join([*pieces, _narrow(raw[at:])])


def _narrow(raw: bytes) -> str:
    if raw.isascii():
        return raw.removeprefix(PLAIN).decode("iso2022_jp_ext", "replace")
    return raw.replace(PLAIN, b"").decode("shift_jis", "replace")


def encode(text: str, codec: str) -> bytes:
    """The text in a character set; what it has no letter for becomes "?", never a delimiter."""
    if text.isascii():
        return text.encode("ascii")
    if codec == "iso2022_jp_ext":
        text = text.translate(LOOK_LIKE_DELIMITERS)
    return text.encode(codec, "replace")
