"""Birth dates and the slips of the pen that happen to them."""

from __future__ import annotations

import re

from policies.rules.names import ABSENT, DIFFERENT, MISSING, SAME, Verdict
from policies.rules.values import as_date

NOBODYS = {"00000000", "11111111", "99999999", "18000101", "19000101"}  # typed in where the date is not known


def compare_birth_dates(one: str, other: str) -> Verdict:
    """Two DA values, whole or partial (YYYY, YYYYMM); days that no calendar has are compared by their digits."""
    a, b = _digits(one), _digits(other)
    if not a or not b:
        return MISSING if a or b else ABSENT
    if len(a) != len(b) or len(a) < 8:
        shorter = min(len(a), len(b))
        return Verdict("year", "same as far as it is known") if a[:shorter] == b[:shorter] else DIFFERENT
    return SAME if a == b else _slip(a, b) or DIFFERENT


def birth_date_variants(birth_date: str) -> list[str]:
    """The dates to look up when searching for candidates: as given, day and month swapped, 1 January of the year."""
    digits = _digits(birth_date)
    if len(digits) < 8:
        return [digits] if digits else []
    variants = [digits, _swapped(digits), f"{digits[:4]}0101"]
    return [each for each in dict.fromkeys(variants) if as_date(each)]


def year_of(birth_date: str) -> str:
    """YYYY, "" where no date is known."""
    return _digits(birth_date)[:4]


def _slip(a: str, b: str) -> Verdict | None:
    if _swapped(a) == b:
        return Verdict("swapped", "day and month are swapped")
    wrong = [place for place in range(8) if a[place] != b[place]]
    if a[:4] == b[:4] and "0101" in (a[4:], b[4:]):
        return Verdict("year", "same year, and 1 January may stand for an unknown day")
    if len(wrong) == 1:
        return Verdict("digit", "one digit differs")
    if len(wrong) == 2 and wrong[1] == wrong[0] + 1 and a[wrong[0]] + a[wrong[1]] == b[wrong[1]] + b[wrong[0]]:
        return Verdict("transposed", "two neighbouring digits are swapped")
    return _two_parts(a, b)


def _two_parts(a: str, b: str) -> Verdict | None:
    year, month, day = (a[part] == b[part] for part in (slice(4), slice(4, 6), slice(6, 8)))
    if year + month + day < 2:
        return None
    other = "day" if not day else "month" if not month else "year"
    return Verdict("parts", f"same but for the {other}")


def _swapped(digits: str) -> str:
    return digits[:4] + digits[6:8] + digits[4:6]


def _digits(text: str) -> str:
    """YYYYMMDD, YYYYMM or YYYY, also from 1960.02.29 (ACR-NEMA) and 1960-02-29; "" where there is no date."""
    digits = re.sub(r"[.\-/ ]", "", text)
    known = re.fullmatch(r"[0-9]{4}(?:[0-9]{2}){0,2}", digits) and digits not in NOBODYS
    return re.sub(r"(?<=^[0-9]{4})0000$|(?<=^[0-9]{6})00$", "", digits) if known else ""
