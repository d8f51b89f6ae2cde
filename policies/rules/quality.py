"""What is wrong with the record of an outside study, judged from its header facts.

`CHECKS` is the standard set; a manager's `Rule` asks one of them otherwise, or asks any attribute for something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from policies.rules import scopes
from policies.rules.values import as_date, called, is_uid

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


# --- rules that managers write ---------------------------------------------------------------------------------------

LONGEST_TEXT = 1024  # characters of a value that a pattern is held against


class Kind(StrEnum):
    CHECK = "check"  # one of CHECKS, with another severity, elsewhere, or not at all
    REQUIRED = "required"
    CONDITIONAL = "conditional"  # required where another attribute has a value
    VALUES = "values"
    PATTERN = "pattern"


@dataclass(frozen=True)
class Rule:
    """What is asked of studies; an empty condition fits any. `code` names the rule and what it finds.

    `accepted`: the values allowed, or patterns of which one has to fit: `*` is anything, `?` one character, `[0-9]`
    one of these. No regular expressions: a pattern takes no longer than its text, whatever it and the sender write.
    """

    code: str
    kind: str
    severity: str = Severity.WARN
    sentence: str = ""
    attribute: str = ""
    when: str = ""
    accepted: tuple[str, ...] = ()
    check: str = ""
    source: str = ""
    modality: str = ""
    active: bool = True


class Record(NamedTuple):
    """What a study says. `header`: as `findings` takes it. `series`: one series each, texts or lists by keyword."""

    header: Mapping[str, Any]
    series: Sequence[Mapping[str, Any]]
    today: date
    source: str = ""

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for each in self.series for text in _texts(each, "Modality")))


class Passed(NamedTuple):
    rule: Rule
    why: str


class Decision(NamedTuple):
    """Each rule that found something, with what; each other one, with why it found nothing."""

    hits: tuple[tuple[Rule, Found], ...]
    passed: tuple[Passed, ...]

    @property
    def found(self) -> list[Found]:
        return [found for _rule, found in self.hits]


def standard() -> tuple[Rule, ...]:
    """The checks as rules: what holds where no rule says otherwise."""
    return tuple(Rule(check.code, Kind.CHECK, check.severity, check.sentence, check=check.code) for check in CHECKS)


def decide(rules: Iterable[Rule], record: Record) -> Decision:
    """Of the rules for one check the one that asks for most speaks, and without any the check as it is."""
    hits, passed, settled = [], [], set()
    given = sorted(rules, key=lambda rule: (-bool(rule.source) - bool(rule.modality), rule.code))
    for rule in sorted([*given, *standard()], key=_place):  # the standard stays last at its place
        barred = scopes.why_outside(rule, record)
        if not barred and rule.kind == Kind.CHECK:
            barred = "Another rule of the same check fits better." if rule.check in settled else ""
            settled.add(rule.check)
        if not barred and not rule.active:
            barred = "It is switched off."
        concerns = "" if barred else _concerns(rule, record)
        if concerns:
            hits.append((rule, Found(rule.code, Severity(rule.severity), _sentence(rule, concerns))))
        else:
            passed.append(Passed(rule, barred or "The record is as it asks."))
    return Decision(tuple(hits), tuple(passed))


def _place(rule: Rule) -> int:
    """The checks in their own order, then the rest."""
    order = [check.code for check in CHECKS]
    return order.index(rule.check) if rule.check in order else len(order)


def asked(rules: Iterable[Rule]) -> set[str]:
    """The keywords that the rules in use look at, but for those of the checks."""
    return {word for rule in rules if rule.active for word in (rule.attribute, rule.when) if word}


def _is_of(series: Mapping[str, Any], modality: str) -> bool:
    return modality.upper() in [text.upper() for text in _texts(series, "Modality")]


def _texts(series: Mapping[str, Any], keyword: str) -> list[str]:
    value = series.get(keyword) or ""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [text for each in values if (text := "items" if isinstance(each, Mapping) else str(each or "").strip())]


def _concerns(rule: Rule, record: Record) -> str:
    if rule.kind == Kind.CHECK:
        check = next((one for one in CHECKS if one.code == rule.check), None)
        return check.concerns(Facts(record.header, record.today)) if check else ""
    series = [each for each in record.series if not rule.modality or _is_of(each, rule.modality)]
    return called(rule.attribute) if any(_is_amiss(rule, each) for each in series) else ""


def _is_amiss(rule: Rule, series: Mapping[str, Any]) -> bool:
    texts = _texts(series, rule.attribute)
    if rule.kind == Kind.REQUIRED:
        return not any(text.strip("^= ") for text in texts)
    if rule.kind == Kind.CONDITIONAL:
        return bool(_texts(series, rule.when)) and not any(text.strip("^= ") for text in texts)
    if rule.kind == Kind.VALUES:
        return any(text not in rule.accepted for text in texts)
    return any(not _fits(text, rule.accepted) for text in texts)


def _fits(text: str, patterns: Iterable[str]) -> bool:
    return len(text) <= LONGEST_TEXT and any(fnmatchcase(text, pattern) for pattern in patterns)


def _sentence(rule: Rule, concerns: str) -> str:
    """The manager's words, or those of the check; only {} is replaced, and never by a value of the study."""
    checked = next((check.sentence for check in CHECKS if check.code == rule.check), "")
    return (rule.sentence or checked or WORDS[rule.kind]).replace("{}", concerns)


WORDS = {
    Kind.REQUIRED: "The study does not say its {}.",
    Kind.CONDITIONAL: "The study does not say its {}, which it should here.",
    Kind.VALUES: "The {} is none of the values that are allowed.",
    Kind.PATTERN: "The {} is not written as it should be.",
    Kind.CHECK: "{}",
}
