"""What is wrong with the record of an outside study, judged from its header facts. One table; codes are unique."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from policies.rules.values import as_date, is_uid

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


class Severity(StrEnum):
    BLOCK = "block"  # nothing goes on until it is settled
    OVERRIDE = "override"  # may go on with a reason
    WARN = "warn"


class Found(NamedTuple):
    code: str
    severity: Severity
    sentence: str


class Facts(NamedTuple):
    """Header facts by DICOM keyword: a text, or a list of texts where the series or objects of a study differ."""

    header: Mapping[str, Any]
    today: date

    def texts(self, keyword: str) -> list[str]:
        value = self.header.get(keyword) or ""
        values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        return sorted(text for text in (str(each or "").strip() for each in values) if text)

    def dates(self, keyword: str) -> list[date | None]:
        return [as_date(text) for text in self.texts(keyword)]


class Check(NamedTuple):
    """`concerns` gives what the sentence's {} is about, or "" where all is well."""

    code: str
    severity: Severity
    sentence: str
    concerns: Callable[[Facts], str]


def findings(header_facts: Mapping[str, Any], *, today: date | None = None) -> list[Found]:
    """What the checks find, in the order of the table. The sentences never repeat names or patient identifiers.

    Without `today` the machine's date tells what lies in the future; give it to judge a study as of another day.
    """
    facts = Facts(header_facts, today or date.today())
    return [
        Found(check.code, check.severity, check.sentence.format(concerns))
        for check in CHECKS
        if (concerns := check.concerns(facts))
    ]


def _without(keyword: str) -> Callable[[Facts], str]:
    return lambda facts: "" if any(text.strip("^= ") for text in facts.texts(keyword)) else keyword


def _birth_date_impossible(facts: Facts) -> str:
    born = facts.dates("PatientBirthDate")
    if None in born:
        return "is not a valid date"
    if born and max(born) > facts.today:
        return "lies in the future"
    studied = [day for day in facts.dates("StudyDate") if day]
    return "is later than the study date" if born and studied and min(studied) < max(born) else ""


def _study_date_impossible(facts: Facts) -> str:
    studied = facts.dates("StudyDate")
    if None in studied:
        return "is not a valid date"
    # A study from a time zone ahead of ours may carry tomorrow's date.
    return "lies in the future" if studied and max(studied) > facts.today + timedelta(days=1) else ""


def _deidentified(facts: Facts) -> str:
    removed = "YES" in facts.texts("PatientIdentityRemoved")
    shifted = set(facts.texts("LongitudinalTemporalInformationModified")) - {"UNMODIFIED"}
    return "yes" if removed or shifted else ""


def _invalid_uids(facts: Facts) -> str:
    return ", ".join(keyword for keyword in UIDS if not all(map(is_uid, facts.texts(keyword))))


CHECKS: tuple[Check, ...] = (
    Check(
        "deidentified",
        Severity.OVERRIDE,
        "De-identified: cannot be matched to a patient automatically.",
        _deidentified,
    ),
    Check("patient_id_missing", Severity.OVERRIDE, "The study has no Patient ID.", _without("PatientID")),
    Check("patient_name_missing", Severity.OVERRIDE, "The study has no patient name.", _without("PatientName")),
    Check("birth_date_missing", Severity.WARN, "The study has no birth date.", _without("PatientBirthDate")),
    Check("birth_date_impossible", Severity.WARN, "The birth date {}.", _birth_date_impossible),
    Check("study_date_missing", Severity.WARN, "The study has no study date.", _without("StudyDate")),
    Check("study_date_impossible", Severity.WARN, "The study date {}.", _study_date_impossible),
    Check("modality_missing", Severity.WARN, "The study does not say its modality.", _without("Modality")),
    Check("uid_invalid", Severity.WARN, "Not a valid DICOM UID: {}.", _invalid_uids),
    Check(
        "burned_in",
        Severity.WARN,
        "Text is burned into the pixels: names in the pixels stay as they are.",
        lambda facts: "yes" if "YES" in facts.texts("BurnedInAnnotation") else "",
    ),
)
