"""Messages of many real systems are read, or refused with a sentence, and each can be answered."""

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hl7apy.parser import parse_message

from orders.hl7 import dictionary, read, write

VERSIONS = {"2.5", "2.5.1"}  # of which hl7apy reads most
NOW = datetime(2025, 1, 31, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def messages(shared) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted((shared / "hl7").rglob("*")) if path.is_file()}


def test_every_message_is_read_or_refused_with_a_sentence_and_answered(messages):
    outcomes = Counter()
    for raw in messages.values():
        try:
            header, problem = read.parse(raw), ""
        except read.NotHL7 as refusal:
            header, problem = refusal.header, str(refusal)
        answer = read.parse(write.acknowledge(header, "AE", error=write.Error(207, problem), now=NOW))
        assert answer.first("MSA").text(2) == header.control_id
        outcomes[problem] += 1

    batches, several = (
        sum(count for problem, count in outcomes.items() if word in problem) for word in ("a batch", "messages in one")
    )
    assert (outcomes[""], batches, several) == (len(messages) - 17, 9, 8)


def test_every_message_without_escapes_reads_as_its_bytes_say(messages):
    """An independent reading: plain splitting of what is UTF-8, ends its lines somehow, and has nothing to unescape."""
    compared = 0
    for raw in messages.values():
        text = raw.decode("utf-8-sig").strip()
        lines = [line for line in text.replace("\r\n", "\r").replace("\n", "\r").split("\r") if line]
        if not text.startswith("MSH|^~\\&|") or "\\" in text[9:] or any(line[3:4] != "|" for line in lines):
            continue
        if sum(line.startswith("MSH") for line in lines) > 1:
            continue
        compared += 1
        for segment, line in zip(read.parse(raw).segments, lines, strict=True):
            shift = segment.name == "MSH"
            for number, field in enumerate(line.split("|")[1:], start=1):
                assert segment.text(number + shift) == field
                assert segment.component(number + shift, 1) in (
                    "",
                    field.split("~")[0].split("^")[0].split("&")[0].strip(),
                )

    assert compared > 300


def test_values_are_those_that_hl7apy_finds(messages):
    """Every sixth message: it takes its time, and cannot read them all."""
    readable = [message for raw in messages.values() if (message := read_or_none(raw)) and message.version in VERSIONS]
    pairs = [(ours(message), theirs(message)) for message in readable[::6]]

    assert [mine for mine, other in pairs if other and mine != other] == []
    assert len([other for _, other in pairs if other]) >= 30


def ours(message: read.Message) -> list[tuple[str, list[str]]]:
    """The values of each segment but MSH."""
    found = [
        (one, [each.raw for n in range(1, len(one.fields)) for each in one.repetitions(n)]) for one in message.segments
    ]
    return [(one.name, leaves(values)) for one, values in found[1:]]


def theirs(message: read.Message) -> list[tuple[str, list[str]]]:
    """The same by hl7apy; none where it cannot read the message."""
    try:
        segments = parse_message("\r".join(one.raw for one in message.segments), find_groups=False).children
    except Exception:
        return []
    return [(one.name, leaves([field.to_er7() for field in one.children])) for one in segments[1:]]


def leaves(values: list[str]) -> list[str]:
    """The texts in them: hl7apy drops and moves components as it writes a value, and escapes the escapes."""
    return sorted(leaf for value in values if "\\" not in value for leaf in re.split(r"[\^&]", value) if leaf.strip())


def read_or_none(raw: bytes) -> read.Message | None:
    try:
        return read.parse(raw)
    except read.NotHL7:
        return None


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("PID", 3, "2.5.1"), "Patient Identifier List"),
        (("OBR", 18, "2.3.1"), "Placer Field 1"),
        (("IPC", 1, "2.5.1"), "Accession Identifier"),
        (("PID", 3, "9.9"), "Patient Identifier List"),
        (("PID", 99, "2.5.1"), ""),
        (("ZDS", 1, "2.5.1"), ""),
    ],
)
def test_fields_have_the_names_of_the_standard(place, name):
    assert dictionary.field_name(*place) == name


def test_the_standard_misses_what_it_requires():
    raw = b"MSH|^~\\&|A|B|C|D|2025||ADT^A08|7|P|2.5.1\rEVN|A08|2025\rPV1|1|O\r"

    assert "PID" in dictionary.complaint(read.parse(raw))
