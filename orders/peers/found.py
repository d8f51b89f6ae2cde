"""What other systems are asked, and what they say of people and orders: the same shapes whoever says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from policies.rules.values import as_date, why_unwritable

MOST_IDENTIFIERS = 20  # of one person
WILD = re.compile(r"[*?\\]")  # matching by pattern (PS3.4 C.2.2.2.4): what came from outside must not mean that
NOT_READ = "\ufffd"


class Unanswered(Exception):
    """The system said nothing that can be used; str() is a sentence."""


@dataclass(frozen=True)
class Identifier:
    """HL7 CX: a value, and who issued it by namespace, universal ID and its type; "" where that was not said."""

    value: str
    issuer: str = ""
    universal_id: str = ""
    universal_id_type: str = ""


NONE = Identifier("")


@dataclass(frozen=True)
class Person:
    """Somebody whom another system knows. The name is a DICOM PN, the birth date a DA, the sex M, F, O or ""."""

    name: str
    birth_date: str = ""
    sex: str = ""
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True)
class Step:
    """A scheduled procedure step; `at` has no time zone: it is the hospital's."""

    id: str = ""
    modality: str = ""
    description: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Scheduled:
    """An order as a worklist shows it, with the earliest of its steps first."""

    person: Person
    accession: Identifier = NONE
    placer_order_number: str = ""
    filler_order_number: str = ""
    requested_procedure_id: str = ""
    procedure_code: str = ""
    procedure_scheme: str = ""
    description: str = ""
    referring_physician: str = ""
    admission_id: str = ""
    study_instance_uid: str = ""
    steps: tuple[Step, ...] = ()


def written(keyword: str, text: str) -> str:
    """A value if it can stand in this attribute, else "": nothing is ever cut to fit."""
    text = text.strip(" \0")
    if NOT_READ in text or why_unwritable(keyword, text):
        return ""
    return text


def birth_date(text: str) -> str:
    """A whole day as DA, from DA, HL7 or ISO 8601; "" for what is partial or no day."""
    digits = text[:10].replace("-", "")[:8]
    return digits if as_date(digits) else ""


def sex(text: str) -> str:
    """M, F or O; what says that it is not known is not known."""
    return text if text in ("M", "F", "O") else ""


def literal(text: str) -> str:
    """A value to match exactly; "" where it could not be asked for without meaning a pattern."""
    return "" if WILD.search(text) or not text.isprintable() else text.strip()
