"""Every character set of table 0211 is read, under the names that it really goes by, and what lies is found out."""

import sys

import pytest

from orders.hl7 import charsets, read
from orders.hl7.encoding import STANDARD


def message(name: bytes, declared: str) -> bytes:
    return (
        b"MSH|^~\\&|A|B|C|D|2025||ADT^A08|7|P|2.5.1||||||" + declared.encode() + b"\rPID|1||4||" + name + b"^X\rPV1|1"
    )


def family(name: bytes, declared: str) -> tuple[str, str, str]:
    parsed = read.parse(message(name, declared))
    assert parsed.first("PV1") is not None
    return parsed.first("PID").component(5, 1), parsed.charset, parsed.charset_note


NAMES = {
    "8859/1": "Müller",
    "8859/2": "Dvořák",
    "8859/3": "Ĵurnalo",
    "8859/4": "Āboliņš",
    "8859/5": "Иванов",
    "8859/6": "محمد",
    "8859/7": "Παπαδόπουλος",
    "8859/8": "כהן",
    "8859/9": "Yıldız",
    "8859/15": "Lœwe",
    "UNICODE UTF-8": "王小明",
    "UNICODE": "Łukasz",
    "GB 18030-2000": "王小明",
    "KS X 1001": "김희중",
    "BIG-5": "王小明",
}


@pytest.mark.parametrize(("charset", "name"), NAMES.items(), ids=NAMES)
def test_a_name_is_read_in_the_set_that_is_declared(charset, name):
    assert family(name.encode(charsets.CODECS[charset]), charset) == (name, charset, "")


@pytest.mark.parametrize("declared", ["UTF-8", "utf8", "unicode utf-8", "UNICODE  UTF-8", "ISO_IR 192"])
def test_utf_8_goes_by_many_names(declared):
    assert family("Ž".encode(), declared) == ("Ž", "UNICODE UTF-8", "")


@pytest.mark.parametrize("declared", ["ISO-8859-1", "iso8859-1", "8859/1", "ISO_IR 100", "windows-1252", "Latin1"])
def test_latin_1_goes_by_many_names(declared):
    assert family("Müller".encode("latin_1"), declared) == ("Müller", "8859/1", "")


JAPANESE = ["~ISO IR87", "ISO IR14~ISO IR87", "ISO IR87", "ASCII~ISO IR87~ISO IR159", "ISO IR6~ISO IR87"]


@pytest.mark.parametrize("declared", JAPANESE)
def test_japanese_is_switched_to_by_escape_sequences(declared):
    """The letters between them have delimiters for bytes: 山 is `;3`, 誰 is `C/`, 陞 is `^|`."""
    name = "山田誰".encode("iso2022_jp")

    assert family(name, declared)[0] == "山田誰"


def test_bytes_of_letters_are_no_delimiters():
    inside = next(
        letter
        for letter in map(chr, range(0x4E00, 0x9FFF))
        if b"|" in letter.encode("iso2022_jp", "ignore") and b"^" in letter.encode("iso2022_jp", "ignore")
    )

    assert family(inside.encode("iso2022_jp"), "~ISO IR87")[0] == inside
    assert family("乗表能ソ".encode("gb18030"), "GB 18030-2000")[0] == "乗表能ソ"


def test_japanese_that_returns_to_roman_letters_keeps_its_delimiters():
    name = "山田".encode("iso2022_jp").replace(b"\x1b(B", b"\x1b(J") + b"\\T\\~"

    assert read.parse(message(name, "~ISO IR87")).first("PID").repetitions(5)[0].component(1) == "山田&"


def test_half_width_katakana_of_one_byte_stands_beside_kanji():
    name = "ﾔﾏﾀﾞ".encode("shift_jis") + b"=" + "山田".encode("iso2022_jp")

    assert family(name, "ISO IR14~ISO IR87")[0] == "ﾔﾏﾀﾞ=山田"


def test_korean_may_announce_itself_by_an_escape_sequence():
    assert family(b"\x1b$)C" + "김".encode("euc_kr"), "~KS X 1001")[0] == "김"


def test_undeclared_japanese_is_seen_by_its_escape_sequences():
    assert family("山田".encode("iso2022_jp"), "")[0] == "山田"


@pytest.mark.parametrize("declared", ["8859/1", "8859/15", "ASCII", "", "8859/2", "GB 18030-2000"])
def test_utf_8_under_another_name_is_found_out(declared):
    name, charset, note = family("Müller".encode(), declared)

    assert (name, charset) == ("Müller", "UNICODE UTF-8")
    assert note == (f"says {declared} but is UTF-8" if declared else "names no character set; read as UTF-8")


@pytest.mark.parametrize(("declared", "name"), [("8859/5", "ТА"), ("8859/2", "KÓŁ"), ("GB 18030-2000", "模")])
def test_a_short_name_that_is_utf_8_by_chance_is_left_as_declared(declared, name):
    raw = name.encode(charsets.CODECS[declared])
    assert raw.decode("utf_8") != name

    assert family(raw, declared) == (name, declared, "")


@pytest.mark.parametrize("declared", ["", "ASCII", "UNICODE UTF-8"])
def test_latin_1_under_another_name_is_found_out(declared):
    name, charset, note = family("Müller".encode("latin_1"), declared)

    assert (name, charset) == ("Müller", "8859/1")
    assert note.endswith("8859/1")


def test_windows_letters_under_latin_1_are_letters():
    assert family("Šimčík – Œuvre".encode("cp1252", "ignore"), "8859/1")[0] == "Šimík – Œuvre"


def test_one_letter_that_was_cut_in_half_does_not_spoil_the_others():
    name, charset, note = family("王小".encode() + "明".encode()[:2], "UNICODE UTF-8")

    assert (name, charset) == ("王小\ufffd", "UNICODE UTF-8")
    assert "replaced" in note


def test_an_unknown_name_is_told():
    assert family(b"Doe", "ISO IR 999") == ("Doe", "ASCII", "")
    assert family("Müller".encode("latin_1"), "ISO IR 999") == (
        "Müller",
        "8859/1",
        "names 'ISO IR 999', which is no character set of HL7; read as 8859/1",
    )


def test_a_site_that_is_known_to_lie_is_read_as_it_really_writes():
    raw = message("Dvořák".encode("iso8859_2"), "8859/1")

    assert read.parse(raw, charset="8859/2").first("PID").component(5, 1) == "Dvořák"


@pytest.mark.parametrize("charset", sorted(charsets.CODECS))
def test_no_letter_becomes_a_delimiter_on_its_way_out(charset):
    """Shift JIS writes a yen sign as the byte of a backslash, and others do alike."""
    codec = charsets.CODECS[charset]
    if codec.startswith("utf_"):
        pytest.skip("has every letter")
    delimiters = set(STANDARD.field + STANDARD.characters + "\r\n\x0b\x1c")
    beyond = [
        chr(code)
        for code in range(0x80, sys.maxunicode if codec == "gb18030" else 0x10000)
        if not 0xD800 <= code < 0xE000
    ]
    for start in range(0, len(beyond), 4096):
        chunk = "".join(beyond[start : start + 4096])
        back = charsets.decode(charsets.encode(chunk, codec), [charset]).text
        assert not delimiters.intersection(back)
