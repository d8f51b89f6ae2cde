"""What a door hands over: where it came from, and whether its first bytes look like DICOM at all."""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

PREFIX = b"DICM"
PREAMBLE = 128

# PS3.5 7.1.2: these VRs have a length of 32 bits in explicit VR, the others one of 16 bits.
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VRS = LONG_VRS | frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())

FIRST_GROUPS = frozenset({0x0002, 0x0008})

KINDS = {
    b"%PDF": "a PDF document",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"PK\x03\x04": "a ZIP archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"MZ": "a Windows program",
    b"\x7fELF": "a Linux program",
    b"#!": "a script",
    b"RIFF": "a film or sound",
    b"<": "a web page or XML text",
    b"\x30\x80": "an encrypted or signed file",
    b"\x30\x82": "an encrypted or signed file",
}


class Door(StrEnum):
    DIMSE = "dimse"
    STOW = "stow"
    UPLOAD = "upload"
    MEDIA = "media"
    WATCH = "watch"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Origin:
    """Who handed a submission over, how and when; written beside the bytes before the first of them."""

    door: str
    source: str = ""  # opaque key of a known source
    calling_title: str = ""
    called_title: str = ""
    address: str = ""
    user: str = ""
    note: str = ""
    label: str = ""
    at: str = field(default_factory=_now)  # UTC, ISO 8601

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, data: str | bytes | Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; names that a later version added are passed over."""
        values = data if isinstance(data, Mapping) else json.loads(data)
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


class Encoding(NamedTuple):
    """How a data set is written (PS3.5 chapter 7 and annex A)."""

    implicit: bool
    endian: str  # "<" little, ">" big: the first letter of a struct format


def first_element(head: bytes) -> tuple[int, Encoding] | None:
    """Group and encoding of the data element that `head` begins with, or None if it begins with none."""
    if len(head) < 8:
        return None
    for endian in "<>":
        group, element = struct.unpack_from(endian + "HH", head)
        if not 0x0002 <= group <= 0x0020 or group % 2:
            continue
        if head[4:6] in VRS:
            return group, Encoding(False, endian)
        (length,) = struct.unpack_from(endian + "I", head, 4)
        if element <= 0x2000 and length <= 0x1000 and length % 2 == 0:
            return group, Encoding(True, endian)
    return None


def looks_like_dicom(head: bytes) -> bool:
    """Say whether a file may be DICOM by its first 132 bytes (PS3.10 7.1), tolerating a missing preamble."""
    if head[PREAMBLE : PREAMBLE + 4] == PREFIX or head[:4] == PREFIX:
        return True
    first = first_element(head)
    return first is not None and first[0] in FIRST_GROUPS


def kind_of(head: bytes) -> str:
    """What a file that is not DICOM (or the preamble of one that is) looks like, for a sentence; "" when unknown."""
    return next((kind for mark, kind in KINDS.items() if head.startswith(mark)), "")
