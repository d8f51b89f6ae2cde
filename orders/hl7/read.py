"""An HL7 v2 message as it came, read by its own delimiters in its own character set.

We split by ourselves: hl7apy needs 5 to 20 ms for what takes 0.01 ms here, reads no escape, and stumbles over line ends
and versions that really arrive. What it knows better, the names and tables of the standard, is in `dictionary`.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cached_property, lru_cache

from orders.hl7 import charsets
from orders.hl7.encoding import NULL, STANDARD, Encoding

HEADER_END = re.compile(rb"[\r\n]")
LINE_ENDS = re.compile(r"\r\n?|\n")
BLANK = b" \t\r\n\v\x00\x1a\x1c"  # what is left of frames and files around a message
TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?(?:([+-])(\d\d)(\d\d))?$")
LEAST = (1, 1, 1, 0, 0, 0)  # of each part of a time
BATCH = (b"FHS", b"BHS")
UTF_8_MARK = b"\xef\xbb\xbf"  # byte order mark


class NotHL7(Exception):
    """This is no message; the text is a sentence. `header`: the first MSH, if one could be read, for the answer."""

    def __init__(self, sentence: str, header: "Message | None" = None) -> None:
        super().__init__(sentence)
        self.header = header


class Field:
    """One repetition of a field."""

    __slots__ = ("_components", "encoding", "raw")

    def __init__(self, raw: str, encoding: Encoding) -> None:
        self.raw, self.encoding = raw, encoding
        self._components = raw.split(encoding.component)

    def __str__(self) -> str:
        return _text(self.raw, self.encoding)

    def component(self, number: int, sub: int = 1) -> str:
        """A subcomponent (sub=0: the whole component), unescaped, "" when absent.

        Without blanks around it, and without line ends that a sender wrapped it with: this is for identifiers, codes
        and names.
        """
        if number > len(self._components):
            return ""
        raw = self._components[number - 1]
        if sub:
            pieces = raw.split(self.encoding.subcomponent) if self.encoding.subcomponent else [raw]
            raw = pieces[sub - 1] if sub <= len(pieces) else ""
        return _text(raw.replace("\n", ""), self.encoding, strip=True)

    def components(self) -> list[tuple[str, ...]]:
        """All of them, each as its subcomponents: what `write` takes for a value."""
        delimiter = self.encoding.subcomponent
        parts = [part.split(delimiter) if delimiter else [part] for part in self._components]
        return [tuple(_text(sub, self.encoding) for sub in subs) for subs in parts]


def _text(raw: str, encoding: Encoding, *, strip: bool = False) -> str:
    raw = raw.strip() if strip else raw
    return NULL if raw == NULL else encoding.unquote(raw)


class Segment:
    """A segment by its field numbers, from 1 on as the standard counts them; whatever is not there reads ""."""

    __slots__ = ("_fields", "encoding", "name", "raw")

    def __init__(self, name: str, raw: str, encoding: Encoding) -> None:
        self.name, self.raw, self.encoding = name, raw, encoding
        self._fields: list[str] | None = None

    def __repr__(self) -> str:
        return f"<Segment {self.name}>"

    @property
    def fields(self) -> list[str]:
        """As they came; the first one is the name."""
        if self._fields is None:
            self._fields = self.raw.split(self.encoding.field)
            if self.name == "MSH":
                self._fields.insert(1, self.encoding.field)
        return self._fields

    def field(self, number: int) -> str:
        """As it came."""
        return self.fields[number] if number < len(self.fields) else ""

    def text(self, number: int) -> str:
        """The whole field, unescaped."""
        raw = self.field(number)
        return raw if self.name == "MSH" and number <= 2 else _text(raw, self.encoding)

    def repetitions(self, number: int) -> list[Field]:
        raw = self.field(number)
        if not raw or (self.name == "MSH" and number <= 2):
            return []
        return [Field(one, self.encoding) for one in raw.split(self.encoding.repetition)]

    def component(self, number: int, component: int, sub: int = 1) -> str:
        """Of the first repetition; see Field.component."""
        raw = self.field(number)
        if not raw:
            return ""
        return Field(raw.split(self.encoding.repetition, 1)[0], self.encoding).component(component, sub)


class Message:
    """`charset` is what the text was read as (table 0211), `charset_note` a sentence where that was not as declared."""

    def __init__(self, decoded: charsets.Decoded, segments: list[Segment], *, zone: tzinfo = UTC) -> None:
        self.segments, self.zone = segments, zone
        self.charset, self.charset_note = decoded.charset, decoded.note
        self.header = segments[0]
        self.encoding = self.header.encoding

    def first(self, name: str) -> Segment | None:
        return next((segment for segment in self.segments if segment.name == name), None)

    def all(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.name == name]

    def groups(self, *names: str) -> Iterator[list[Segment]]:
        """The message from each segment of one of these names up to the next of them: what belongs to one ORC, say.

        Segments before the first one are in no group.
        """
        group: list[Segment] = []
        for segment in self.segments:
            if segment.name in names:
                if group:
                    yield group
                group = [segment]
            elif group:
                group.append(segment)
        if group:
            yield group

    @property
    def sending_application(self) -> str:
        return self.header.component(3, 1)

    @property
    def sending_facility(self) -> str:
        return self.header.component(4, 1)

    @property
    def receiving_application(self) -> str:
        return self.header.component(5, 1)

    @property
    def receiving_facility(self) -> str:
        return self.header.component(6, 1)

    @property
    def type(self) -> str:
        return self.header.component(9, 1)

    @cached_property
    def trigger(self) -> str:
        """MSH-9.2, or EVN-1 of senders older than that component."""
        event = self.first("EVN")
        return self.header.component(9, 2) or (event.component(1, 1) if event else "")

    @property
    def structure(self) -> str:
        return self.header.component(9, 3)

    @property
    def control_id(self) -> str:
        return self.header.text(10).strip()

    @property
    def version(self) -> str:
        return self.header.component(12, 1)

    @property
    def time(self) -> datetime | None:
        """MSH-7."""
        return timestamp(self.header.component(7, 1), self.zone)


def parse(raw: bytes, *, charset: str = "", zone: tzinfo = UTC) -> Message:
    """Read a message, without its frame; raises NotHL7.

    `charset`: what this sender is known to write in (table 0211), whatever its MSH-18 says. `zone`: where times are
    meant that have no offset. Segments may end in CR, LF or both; a line that begins no segment goes on with the one
    before, as a line of its text.
    """
    if wide := charsets.wide(raw):  # no delimiter can be looked for in these bytes
        raw, charset = raw.decode(charsets.CODECS[wide], "replace").encode("utf_8", "replace"), charsets.UTF_8
    raw = raw.removeprefix(UTF_8_MARK).strip(BLANK).removeprefix(UTF_8_MARK)
    if not raw.startswith(b"MSH"):
        raise NotHL7(_why_not(raw), _first_header(raw))
    decoded = charsets.decode(raw, [charset] if charset else _declared(raw))
    lines = LINE_ENDS.split(decoded.text)
    encoding = _encoding(lines[0], decoded.codec)
    message = Message(decoded, _segments(lines, encoding), zone=zone)
    if (count := len(message.all("MSH"))) > 1:
        header = Message(decoded, message.segments[:1], zone=zone)
        raise NotHL7(f"These are {count} messages in one; each has to come in a frame of its own.", header)
    return message


def _why_not(raw: bytes) -> str:
    if not raw:
        return "There is nothing in it."
    if raw.startswith(BATCH):
        return "This is a batch; each message has to come in a frame of its own."
    return "It does not begin with the segment MSH."


def _first_header(raw: bytes) -> Message | None:
    """The header of the first message that stands somewhere in there."""
    found = re.search(rb"(?:^|[\r\n])(MSH[^\r\n]*)", raw)
    try:
        return parse(found[1]) if found else None
    except NotHL7:
        return None


def _declared(raw: bytes) -> list[str]:
    """The repetitions of MSH-18."""
    fields = HEADER_END.split(raw, maxsplit=1)[0].split(raw[3:4] or b"|", 18)
    if len(fields) < 18:
        return []
    return [name.decode("ascii", "replace") for name in fields[17].split(fields[1][1:2] or b"~")]


def _encoding(line: str, codec: str) -> Encoding:
    """MSH-1 and MSH-2 of this first line."""
    characters = line[4:].split(line[3:4] or "|", 1)[0]
    if characters == "^~\\\\&":  # a backslash that somebody doubled on the way
        characters = STANDARD.characters
    field, (component, repetition, escape, subcomponent) = line[3:4], f"{characters:\0<4}"[:4]
    declared = [one for one in (field, component, repetition, escape, subcomponent) if one and one != "\0"]
    if len(declared) < 3 or len(set(declared)) < len(declared) or any(one.isalnum() or one <= " " for one in declared):
        raise NotHL7("MSH-1 and MSH-2 declare no delimiters that a message could be read by.")
    return Encoding(field, component, repetition, escape.strip("\0"), subcomponent.strip("\0"), codec)


def _segments(lines: list[str], encoding: Encoding) -> list[Segment]:
    segments: list[Segment] = []
    begins = _beginning(encoding.field).match
    for line in lines:
        if found := begins(line):
            segments.append(Segment(found[1].upper(), line.strip(" \t") if line[0] in " \t" else line, encoding))
        elif segments and line.strip():
            segments[-1].raw += f"\n{line}"
    return segments


@lru_cache(64)
def _beginning(separator: str) -> re.Pattern:
    """A line that begins a segment. Names of two or four letters are wrong, but they are names."""
    mark = re.escape(separator)
    return re.compile(rf"[ \t]*([A-Za-z][A-Za-z0-9]{{1,3}}(?={mark})|[A-Z][A-Z0-9]{{2}}(?=\s*$))")


def timestamp(text: str, zone: tzinfo = UTC) -> datetime | None:
    """HL7 TS/DTM `YYYY[MM[DD[HH[MM[SS[.ssss]]]]]][+/-ZZZZ]`, or as ISO 8601 writes it; None where it is no time.

    Where there is no offset it is meant in `zone`; what is left out is its smallest value.
    """
    found = TIME.match(text)
    try:
        if not found:
            return _sane(datetime.fromisoformat(text), zone)
        year, month, day, hour, minute, second = (int(found[n + 1] or least) for n, least in enumerate(LEAST))
        if found[8]:
            minutes = int(found[9]) * 60 + int(found[10])
            zone = timezone(timedelta(minutes=minutes if found[8] == "+" else -minutes))
        microsecond = int(f"{found[7] or 0:0<6}")
        return _sane(datetime(year, month, day, hour, minute, second, microsecond), zone)
    except (ValueError, OverflowError):
        return None


def _sane(read: datetime, zone: tzinfo) -> datetime:
    """Raises OverflowError where the same moment is no date in UTC."""
    aware = read if read.tzinfo else read.replace(tzinfo=zone)
    aware.astimezone(UTC)
    return aware
