"""What a DICOM attribute can hold (PS3.5 Table 6.2-1), and how its name is said to people."""

from __future__ import annotations

import re
from datetime import date, datetime

from pydicom.datadict import dictionary_description, dictionary_VR

LIMITS = {"SH": 16, "CS": 16, "DA": 8, "DT": 26, "LO": 64, "UI": 64, "PN": 64, "ST": 1024}  # characters; PN: a group
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SHAPES = {
    "CS": re.compile(r"[A-Z0-9 _]*"),
    "UI": re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+"),
    "DT": re.compile(r"[0-9]{4}([0-9]{2}){0,5}(\.[0-9]{1,6})?([+-][0-9]{4})?"),
    "PN": re.compile(r"[^=]*(=[^=]*){0,2}"),
}


def called(keyword: str) -> str:
    return dictionary_description(keyword)


def is_uid(text: str) -> bool:
    return len(text) <= LIMITS["UI"] and bool(SHAPES["UI"].fullmatch(text))


def as_date(text: str) -> date | None:
    """A DA value as a date; None where it is empty, partial or not a day of the calendar."""
    if not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def why_unwritable(keyword: str, text: str) -> str:
    """Say why a text cannot be written into an attribute, or "". The sentence never repeats the value."""
    vr = dictionary_VR(keyword)
    longest = max(len(part) for part in (text.split("=") if vr == "PN" else [text]))
    if longest > LIMITS.get(vr, longest):
        return (
            f"{called(keyword)} has {longest} characters and DICOM allows {LIMITS[vr]}: shorten it in the local system."
        )
    wrong = ""
    if "\\" in text or CONTROL.search(text):
        wrong = "holds a backslash or a control character"
    elif (vr in SHAPES and not SHAPES[vr].fullmatch(text)) or (vr == "DA" and not as_date(text)):
        wrong = f"is not a valid DICOM value ({vr})"
    return wrong and f"{called(keyword)} ({len(text)} characters) {wrong}: correct it in the local system."


def refuse_unwritable(keyword: str, value) -> None:
    """Raise ValueError with a sentence where a value, at any depth, cannot be written; nothing is ever cut to fit."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            for inner, deeper in each.items():
                refuse_unwritable(inner, deeper)
        elif each and (why := why_unwritable(keyword, each)):
            raise ValueError(why)
