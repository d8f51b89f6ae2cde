"""What we send reads back as it was meant, and nothing in a value can become a segment, a field or a frame."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.hl7 import charsets, dictionary, mllp, read, write
from orders.hl7.encoding import NULL

NOW = datetime(2025, 1, 31, 14, 30, tzinfo=UTC)
FIRST = write.header(
    ("ADT", "A08", "ADT_A01"),
    control_id="M1",
    sender=write.Site("PORTAL", ("RAD", "1.2.3", "ISO")),
    receiver=write.Site("RIS", "HOSP"),
    now=NOW,
)
LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def test_a_message_is_written_with_its_fields_in_their_places():
    raw = write.message(
        FIRST, ("PID", {3: [("1", "", "", ("H", "1.2", "ISO"), "MR"), "2"], 7: date(1970, 1, 2), 8: None})
    )

    assert raw == (
        b"MSH|^~\\&|PORTAL|RAD^1.2.3^ISO|RIS|HOSP|20250131143000+0000||ADT^A08^ADT_A01|M1|P|2.5.1\r"
        b"PID|||1^^^H&1.2&ISO^MR~2||||19700102\r"
    )


def test_the_character_set_is_named_only_where_there_is_something_to_read_by_it():
    assert read.parse(write.message(FIRST, ("PID", {5: "Doe"}))).header.text(18) == ""
    written = write.message(FIRST, ("PID", {5: "Dvořák"}), charset="8859/2")

    assert b"|8859/2\r" in written
    assert read.parse(written).first("PID").text(5) == "Dvořák"


def test_a_letter_that_the_set_does_not_have_becomes_a_question_mark():
    assert read.parse(write.message(FIRST, ("PID", {5: "Dvořák"}), charset="8859/1")).first("PID").text(5) == "Dvo?ák"


def test_null_deletes_and_a_text_that_looks_like_it_does_not():
    pid = read.parse(write.message(FIRST, ("PID", {5: NULL, 6: '""', 7: (NULL, '""')}))).first("PID")

    assert pid.text(5) is NULL
    assert (pid.text(6), pid.text(6) is NULL) == ('""', False)
    assert pid.component(7, 1) is NULL


@pytest.mark.parametrize("name", ["pid", "PI", "PIDX", "P|D", "PID\r", ""])
def test_only_a_segment_is_a_segment(name):
    with pytest.raises(ValueError, match="no segment"):
        write.message(FIRST, (name, {1: "x"}))


@pytest.mark.parametrize("value", [1.5, b"x", {"a": 1}, ["a", ["b"]]])
def test_what_is_no_value_is_not_guessed_at(value):
    with pytest.raises(TypeError, match="no value"):
        write.message(FIRST, ("PID", {5: value}))


@given(LETTERS)
def test_any_text_reads_back_as_itself(text):
    message = read.parse(write.message(FIRST, ("PID", {5: text, 6: (text, (text, text)), 7: [text, "x"]})))

    assert [segment.name for segment in message.segments] == ["MSH", "PID"]
    assert message.first("PID").text(5) == text
    assert message.first("PID").component(6, 2, 2) == message.first("PID").component(6, 1) == read_as_name(text)
    assert str(message.first("PID").repetitions(7)[0]) == text


def read_as_name(text: str) -> str:
    """Blanks around a component never count; those that were escaped do."""
    return text.strip(BLANK)


BLANK = "".join(chr(code) for code in range(0x20, 0x3001) if chr(code).isspace())


@given(st.lists(LETTERS, max_size=6), st.sampled_from(sorted(charsets.CODECS)))
def test_no_value_breaks_out_in_any_character_set(values, charset):
    raw = write.message(FIRST, *[("NTE", {1: str(n), 3: value}) for n, value in enumerate(values)], charset=charset)

    assert mllp.Decoder().feed(mllp.framed(raw)) == [mllp.Frame(raw)]
    assert [segment.name for segment in read.parse(raw).segments] == ["MSH", *["NTE"] * len(values)]
    assert [segment.text(1) for segment in read.parse(raw).all("NTE")] == [str(n) for n in range(len(values))]


INJECTIONS = [
    "SMITH\rZZZ|evil",
    "SMITH\r\nPID|2",
    "a\x1c\r\x0bMSH|^~\\&|x",
    "A|B^C~D&E\\F",
    "\\X0D\\ZZZ",
    "\\E",
    "\x0b\x1c",
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_hostile_name_stays_a_name_for_us_and_for_hl7apy(name):
    raw = write.message(FIRST, ("EVN", {2: NOW}), ("PID", {3: ("1", "", "", "H"), 5: (name, "X")}), ("PV1", {2: "O"}))
    lines = raw.decode().split("\r")

    assert [line[:3] for line in lines] == ["MSH", "EVN", "PID", "PV1", ""]
    assert read.parse(raw).first("PID").component(5, 1) == name
    assert dictionary.complaint(read.parse(raw)) == ""


# --- acknowledgements ------------------------------------------------------------------------------------------------


def received(*, version: str = "2.5.1", mode: str = "|", kind: str = "ADT^A08^ADT_A01", more: str = "") -> read.Message:
    text = f"MSH|^~\\&|RIS^1.2^ISO|HOSP|PORTAL|RAD|20250131||{kind}|M\\T\\1|T|{version}|||{mode}{more}\rEVN|A08\r"
    return read.parse(text.encode())


def test_an_answer_goes_back_to_where_the_message_came_from():
    answer = write.acknowledge(received(), "AA", now=NOW)

    assert answer.startswith(b"MSH|^~\\&|PORTAL|RAD|RIS^1.2^ISO|HOSP|20250131143000+0000||ACK^A08^ACK|")
    assert answer.endswith(b"|T|2.5.1\rMSA|AA|M\\T\\1\r")


def test_every_answer_has_a_control_id_of_its_own():
    ids = {read.parse(write.acknowledge(received(), "AA", now=NOW)).control_id for _ in range(100)}

    assert len(ids) == 100
    assert all(0 < len(one) <= 20 for one in ids)


ERROR = write.Error(201, "This portal does not take A99.", ("MSH", 1, 9, 1, 2))


def test_an_error_is_told_as_its_version_tells_it():
    new = read.parse(write.acknowledge(received(version="2.5"), "AR", error=ERROR, now=NOW))
    old = read.parse(write.acknowledge(received(version="2.3.1"), "AR", error=ERROR, now=NOW))

    assert new.first("ERR").raw == (
        "ERR||MSH^1^9^1^2|201^Unsupported event code^HL70357|E||||This portal does not take A99."
    )
    assert new.first("MSA").text(3) == ""
    assert old.first("ERR").raw == "ERR|MSH^1^9^201&Unsupported event code&HL70357"
    assert old.first("MSA").text(3) == "This portal does not take A99."


MODES = [
    ("|", "AA", "AA"),
    ("AL|NE", "AA", "CA"),
    ("AL|NE", "AE", "CE"),
    ("AL|", "AR", "CR"),
    ("AL|AL", "AA", "CA"),
    ("NE|AL", "AA", "AA"),
    ("NE|NE", "AE", "AE"),
    ("|AL", "AR", "AR"),
    ("ER|AL", "AA", "AA"),
    ("ER|AL", "AE", "CE"),
    ("SU|AL", "AA", "CA"),
    ("SU|AL", "AE", "AE"),
    ("al|ne", "AA", "CA"),
    ("XX|YY", "AA", "AA"),
]


@pytest.mark.parametrize(("mode", "code", "answered"), MODES)
def test_enhanced_mode_gets_the_acknowledgement_that_it_asks_for(mode, code, answered):
    answer = read.parse(write.acknowledge(received(mode=mode), code, now=NOW))

    assert (answer.first("MSA").text(1), answer.first("MSA").text(2)) == (answered, "M&1")


VERSIONS = ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.2", "2.9", ""]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("error", [None, ERROR])
def test_an_answer_is_what_the_standard_asks_for_by_hl7apys_tables(version, error):
    answer = read.parse(write.acknowledge(received(version=version), "AE", error=error, now=NOW))

    assert answer.version == (version or write.VERSION)
    assert dictionary.complaint(answer) == ""


def test_an_answer_is_written_in_the_senders_character_set_and_delimiters():
    raw = "MSH$*~!%$Ö*1%2$B$C$D$2025$$ADT*A08$7$P$2.5.1$$$$$$8859/1\rPID$1".encode("latin_1")
    answer = write.acknowledge(read.parse(raw), "AE", error=write.Error(207, "Größe! $ 5"), now=NOW)

    assert answer.startswith(b"MSH$*~!%$C$D$\xd6*1%2$B$")
    assert b"8859/1\r" in answer
    assert read.parse(answer).first("ERR").text(8) == "Größe! $ 5"


def test_who_lies_about_the_character_set_gets_an_honest_answer():
    raw = "MSH|^~\\&|Köln|B|C|D|2025||ADT^A08|7|P|2.5.1||||||8859/1\r".encode()
    answer = read.parse(write.acknowledge(read.parse(raw), "AA", now=NOW))

    assert (answer.receiving_application, answer.header.text(18)) == ("Köln", "UNICODE UTF-8")


def test_a_sender_without_escapes_is_answered_with_the_usual_ones():
    answer = write.acknowledge(read.parse(b"MSH|^~|A|B|C|D|2025||ADT^A08|7|P|2.5\r"), "AA", now=NOW)

    assert answer.startswith(b"MSH|^~\\&|C|D|A|B|")


def test_bytes_without_a_header_are_answered_too():
    ours = write.Site("PORTAL", "RAD")
    answer = read.parse(write.acknowledge(None, "AR", error=write.Error(207, "It is empty."), now=NOW, ours=ours))

    assert (answer.type, answer.sending_application, answer.first("MSA").text(1)) == ("ACK", "PORTAL", "AR")
    assert answer.first("ERR").text(8) == "It is empty."


@given(LETTERS, LETTERS)
def test_no_header_breaks_out_of_its_answer(application, control_id):
    raw = write.message(("MSH", {3: application, 9: ("ADT", application), 10: control_id, 11: application, 12: "2.5"}))
    answer = read.parse(write.acknowledge(read.parse(raw), "AA", now=NOW))

    assert [segment.name for segment in answer.segments] == ["MSH", "MSA"]
    assert answer.first("MSA").text(2) == control_id.strip()


def test_times_carry_their_offset():
    raw = write.message(FIRST, ("EVN", {2: datetime(2025, 7, 1, 12, tzinfo=timezone(timedelta(hours=-5)))}))

    assert read.parse(raw).first("EVN").text(2) == "20250701120000-0500"
