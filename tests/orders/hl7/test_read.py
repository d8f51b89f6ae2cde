"""A message reads the same whatever its line ends, delimiters and escapes; what is none is refused with a sentence."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.hl7 import read
from orders.hl7.encoding import NULL

HEADER = rb"MSH|^~\&|RIS|HOSP|PORTAL|RAD|20250131143000||ORM^O01^ORM_O01|M1|P|2.5.1"
PID = rb"PID|1||123^^^HOSP&1.2.3&ISO^MR~X9^^^OLD^PI||Doe^Jane^^^Dr||19700101|F"
LINES = (HEADER, PID, b"ORC|NW|PL1", b"OBR|1|PL1", b"ORC|NW|PL2", b"OBR|2|PL2")
ORM = b"\r".join(LINES) + b"\r"


def test_the_header_says_what_it_is_and_whose():
    message = read.parse(ORM)

    assert (message.type, message.trigger, message.structure) == ("ORM", "O01", "ORM_O01")
    assert (message.control_id, message.version) == ("M1", "2.5.1")
    assert (message.sending_application, message.sending_facility) == ("RIS", "HOSP")
    assert (message.receiving_application, message.receiving_facility) == ("PORTAL", "RAD")
    assert message.time == datetime(2025, 1, 31, 14, 30, tzinfo=UTC)


def test_fields_of_msh_are_counted_as_the_standard_counts_them():
    header = read.parse(ORM).header

    assert (header.text(1), header.text(2), header.text(3)) == ("|", "^~\\&", "RIS")
    assert header.repetitions(2) == []


def test_a_field_is_read_by_repetition_component_and_subcomponent():
    pid = read.parse(ORM).first("PID")
    ours, old = pid.repetitions(3)

    assert (ours.component(1), ours.component(4), ours.component(4, 2), ours.component(5)) == (
        "123",
        "HOSP",
        "1.2.3",
        "MR",
    )
    assert ours.component(4, 0) == "HOSP&1.2.3&ISO"
    assert old.component(1) == "X9"
    assert pid.component(5, 2) == "Jane"
    assert str(old) == "X9^^^OLD^PI"


def test_what_is_not_there_reads_empty():
    message = read.parse(ORM)

    assert message.first("ZZZ") is None
    assert (
        message.first("PID").text(99)
        == message.first("PID").component(3, 9)
        == message.first("PID").component(99, 1)
        == ""
    )
    assert message.first("PID").repetitions(4) == []


def test_segments_are_found_by_name_and_in_groups():
    message = read.parse(ORM)

    assert [orc.text(2) for orc in message.all("ORC")] == ["PL1", "PL2"]
    assert [[one.name for one in group] for group in message.groups("ORC")] == [["ORC", "OBR"]] * 2


def test_null_is_told_from_empty():
    pid = read.parse(HEADER + b'\rPID|1||""^^^HOSP|||""|""').first("PID")

    assert pid.text(7) is NULL
    assert pid.component(7, 1) is NULL
    assert pid.component(3, 1) is NULL
    assert pid.text(8) == ""


def test_two_quotes_that_are_text_are_no_null():
    family = read.parse(HEADER + b"\rPID|||||\\X2222\\").first("PID").component(5, 1)

    assert (family, family is NULL) == ('""', False)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\r\r", b"\n\n"])
def test_lines_may_end_in_any_way(end):
    message = read.parse(end.join(LINES) + end)

    assert [segment.name for segment in message.segments] == ["MSH", "PID", "ORC", "OBR", "ORC", "OBR"]
    assert message.all("OBR")[1].text(2) == "PL2"


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n\r\n", b"\x0b", b" \t\n", b"\n\xef\xbb\xbf"])
@pytest.mark.parametrize("after", [b"", b"\r\n\r\n", b"\x1c\r", b"\x00\x00", b"\x1a"])
def test_what_is_left_of_frames_and_files_is_no_part_of_it(before, after):
    message = read.parse(before + ORM + after)

    assert message.control_id == "M1"
    assert message.all("OBR")[-1].text(2) == "PL2"


@pytest.mark.parametrize("codec", ["utf_16", "utf_16_be", "utf_32"])
def test_a_message_of_wide_letters_is_read_by_its_byte_order_mark(codec):
    text = ("" if codec in ("utf_16", "utf_32") else "\ufeff") + "MSH|^~\\&|A||||||ADT^A08|7\rPID|||||Žižek"

    message = read.parse(text.encode(codec))

    assert (message.control_id, message.first("PID").text(5)) == ("7", "Žižek")


def test_other_delimiters_are_taken_as_declared():
    message = read.parse(b"MSH@~&#\\@A@B@C@D@20260419@@ADT~A01~ADT_A01@7@P@2.5\rPID@1@@9~~~H\\I~MR&8@@D#T#e~J|^o")

    assert (message.type, message.trigger) == ("ADT", "A01")
    assert [one.component(1) for one in message.first("PID").repetitions(3)] == ["9", "8"]
    assert message.first("PID").component(3, 4, 2) == "I"
    assert (message.first("PID").component(5, 1), message.first("PID").component(5, 2)) == ("D\\e", "J|^o")


def test_a_doubled_backslash_in_msh_2_is_forgiven():
    message = read.parse(b"MSH|^~\\\\&|A||||||ADT^A01|7\rPID|||1^^^H&I||M\\T\\M")

    assert (message.first("PID").component(3, 4, 2), message.first("PID").text(5)) == ("I", "M&M")


def test_without_an_escape_character_nothing_is_unescaped():
    message = read.parse(b"MSH|^~|A||||||ADT^A01|7\rPID|||1||M\\T\\M&")

    assert message.first("PID").component(5, 1) == "M\\T\\M&"


@pytest.mark.parametrize(
    ("raw", "read_as"),
    [
        ("Smith\\F\\Jones", "Smith|Jones"),
        ("a\\S\\b\\T\\c\\R\\d\\E\\e", "a^b&c~d\\e"),
        ("\\E\\F\\E\\", "\\F\\"),  # an escaped backslash begins nothing
        ("one\\.br\\two", "one\ntwo"),
        ("one\\.sp2\\two\\.sk3\\three", "one\n\ntwo   three"),
        ("\\.in+4\\x\\.ti-2\\y\\.fi\\\\.nf\\\\.ce\\z", "xy\nz"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\X0D0A\\", "\r\n"),
        ("\\X4a6F\\e", "Joe"),
        ("\\Z99\\ \\C2842\\ \\M824041\\", "\\Z99\\ \\C2842\\ \\M824041\\"),
        ("\\X4\\ \\Xzz\\ \\.br9999\\", "\\X4\\ \\Xzz\\ \\.br9999\\"),
        ("50\\50", "50\\50"),
        ("C:\\temp\\new", "C:\\temp\\new"),
    ],
)
def test_escapes_are_read_and_unknown_ones_stay(raw, read_as):
    obx = read.parse(HEADER + b"\rOBX|1|FT|x||" + raw.encode()).first("OBX")

    assert obx.text(5) == read_as


def test_hexadecimal_is_read_in_the_character_set_of_the_message():
    def name(charset: bytes) -> str:
        return read.parse(HEADER + b"||||||" + charset + b"\rPID|||||M\\XC3BC\\ller").first("PID").text(5)

    assert name(b"UNICODE UTF-8") == "Müller"
    assert name(b"8859/2") == "MĂźller"


def test_a_few_letters_cannot_ask_for_megabytes():
    obx = read.parse(HEADER + b"\rOBX|1|FT|x||" + b"\\.sp999\\" * 10).first("OBX")

    assert len(obx.text(5)) < 1000


def test_a_line_that_begins_no_segment_goes_on_with_the_text_before():
    message = read.parse(HEADER + b"\rNTE|1||first line\nsecond line, with 5 < 6\n\nThird\rPID|1||4")

    assert message.first("NTE").text(3) == "first line\nsecond line, with 5 < 6\nThird"
    assert message.first("PID").component(3, 1) == "4"


def test_an_identifier_that_was_wrapped_is_whole_again():
    assert read.parse(HEADER + b"\r\nPID|1||12345\r\n678^^^HO\r\nSP").first("PID").component(3, 1) == "12345678"


def test_small_letters_and_blanks_before_a_segment_are_forgiven():
    message = read.parse(HEADER + b"\r  pid|1||  4  ^^^H\r\tPV1")

    assert message.first("PID").component(3, 1) == "4"
    assert message.first("PV1").text(2) == ""


def test_the_event_of_an_old_sender_is_taken_from_evn():
    assert read.parse(b"MSH|^~\\&|A||||||ADT|7|P|2.1\rEVN|A08|1990").trigger == "A08"


NO_MESSAGES = {
    "empty": b"",
    "blank": b" \r\n\x0b\x1c",
    "text": b"Dear colleague, the message follows.",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zip": b"PK\x03\x04" + bytes(range(256)),
    "PID first": PID + b"\r" + HEADER,
    "batch": b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ORM,
    "two in one": ORM + ORM,
    "bare name": b"MSH",
    "one delimiter": b"MSH|",
    "no component": b"MSH||A|B",
    "letters": b"MSHA^~\\&AxA",
    "twice the same": b"MSH|^^\\&|A",
    "as field": b"MSH|^|\\&|A",
    "control codes": b"MSH\x01^~\\&\x01A",
}


@pytest.mark.parametrize("raw", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_is_no_message_is_refused_with_a_sentence(raw):
    with pytest.raises(read.NotHL7) as refusal:
        read.parse(raw)

    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("name", ["batch", "two in one", "PID first"])
def test_a_refusal_knows_the_first_header_for_the_answer(name):
    with pytest.raises(read.NotHL7) as refusal:
        read.parse(NO_MESSAGES[name])

    assert refusal.value.header.control_id == "M1"


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_of_any_bytes(raw):
    for attempt in (raw, b"MSH" + raw, b"MSH|^~\\&|" + raw, HEADER + b"\r" + raw):
        read_wholly(attempt)


@given(
    st.text(alphabet="MSHPID|^~\\&\r\n\x0b\x1c\"' X0A.br", max_size=200), st.sampled_from(["utf_8", "utf_16", "cp500"])
)
def test_nothing_but_a_refusal_comes_of_what_looks_like_a_message(text, codec):
    read_wholly(text.encode(codec))
    read_wholly(b"MSH|^~\\&|" + text.encode(codec))


def read_wholly(raw: bytes) -> None:
    try:
        message = read.parse(raw)
    except read.NotHL7:
        return
    assert isinstance(message.time, datetime | None)
    assert message.control_id + message.type + message.trigger + message.version + repr(message.segments)
    for segment in message.segments:
        for number in range(len(segment.fields) + 1):
            assert isinstance(segment.text(number), str)
            assert isinstance(segment.component(number, 1), str)
            assert all(isinstance(one.component(2, 2), str) for one in segment.repetitions(number))


EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025", datetime(2025, 1, 1, tzinfo=EAST)),
        ("202507", datetime(2025, 7, 1, tzinfo=EAST)),
        ("20250731", datetime(2025, 7, 31, tzinfo=EAST)),
        ("2025073114", datetime(2025, 7, 31, 14, tzinfo=EAST)),
        ("202507311430", datetime(2025, 7, 31, 14, 30, tzinfo=EAST)),
        ("20250731143059", datetime(2025, 7, 31, 14, 30, 59, tzinfo=EAST)),
        ("20250731143059.1234", datetime(2025, 7, 31, 14, 30, 59, 123400, tzinfo=EAST)),
        ("20250731143059-0500", datetime(2025, 7, 31, 19, 30, 59, tzinfo=UTC)),
        ("20250731143059.5+0530", datetime(2025, 7, 31, 9, 0, 59, 500000, tzinfo=UTC)),
        ("20250731+0000", datetime(2025, 7, 31, tzinfo=UTC)),
        ("2026-01-15T14:30:00", datetime(2026, 1, 15, 14, 30, tzinfo=EAST)),
        ("2026-01-15 14:30:00Z", datetime(2026, 1, 15, 14, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_with_its_precision_and_offset(text, moment):
    assert read.timestamp(text, EAST) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "20251331",
        "20250230",
        "2025073125",
        "0000",
        "01/15/2025",
        "20250731+9900",
        "00010101+1200",
        '""',
        "9" * 400,
    ],
)
def test_what_is_no_time_is_none(text):
    assert read.timestamp(text, EAST) is None


def test_a_time_without_offset_is_meant_where_the_sender_is():
    raw = HEADER.replace(b"20250131143000", b"20250731120000")

    assert read.parse(raw, zone=ZoneInfo("Europe/Berlin")).time == datetime(2025, 7, 31, 10, tzinfo=UTC)
