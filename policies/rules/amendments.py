"""What managers add to RAD-61: labels, corrections, and whose value wins where the standard leaves the attribute alone.

All that fit are applied, one after the other, and become one change of the attribute. A mapping writes one value into
every object of a study, so only attributes are amended that are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from pydicom.datadict import keyword_dict

from policies.rules import coercion, scopes
from policies.rules.coercion import Action
from policies.rules.values import called, why_unwritable

GROUP = "policy"
PROTECTED = {rule.path for rule in coercion.RULES} | {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
STUDY_WIDE = (
    *("StudyDescription", "StudyID", "ReferringPhysicianName", "ConsultingPhysicianName", "PhysiciansOfRecord"),
    *("NameOfPhysiciansReadingStudy", "AdmittingDiagnosesDescription", "AdditionalPatientHistory", "PatientComments"),
    *("MedicalAlerts", "Allergies", "Occupation", "EthnicGroup", "RequestedProcedureDescription", "RequestingService"),
    *("RequestingPhysician", "RequestedContrastAgent", "InstitutionName", "InstitutionAddress"),
    "InstitutionalDepartmentName",
)
# Of one series each: amended only where every series says the same.
SERIES_WIDE = (
    "BodyPartExamined",
    "ProtocolName",
    "SeriesDescription",
    "StationName",
    "PerformedProcedureStepDescription",
)
# What the local order says of attributes that RAD-61 leaves with the sender.
LOCAL = {
    "ReferringPhysicianName": "ReferringPhysicianName",
    "StudyDescription": "RequestedProcedureDescription",
    "RequestedProcedureDescription": "RequestedProcedureDescription",
    "StudyID": "RequestedProcedureID",
}


class Kind(StrEnum):
    CORRECT = "correct"
    WINS = "wins"
    LABEL = "label"


ORDER = list(Kind)  # a label stands on what was corrected and chosen


@dataclass(frozen=True)
class Amendment:
    """`how`: of a label `set`, `prefix` or `suffix`; of a correction `trim`, `upper` or `replace`; of whose value wins
    `local`, `sender` or `local_if_present`. An empty condition fits any. The lowest priority comes first."""

    name: str
    kind: str
    attribute: str
    how: str
    text: str = ""
    replacements: tuple[tuple[str, str], ...] = ()
    priority: int = 100
    source: str = ""
    category: str = ""
    modality: str = ""
    intent: str = ""
    active: bool = True


class Occasion(NamedTuple):
    """The study that is mapped. `source` is a key; `source_name` goes into labels."""

    source: str = ""
    source_name: str = ""
    category: str = ""
    modalities: tuple[str, ...] = ()
    intent: str = ""


class Decision(NamedTuple):
    """The amendments that fit, in the order in which they are applied; each other one with the reason."""

    chosen: tuple[Amendment, ...]
    passed: tuple[tuple[Amendment, str], ...]


class Amended(NamedTuple):
    """The value after the amendments, who made it, and sentences about those that could not be made."""

    value: str
    by: tuple[str, ...]
    warnings: tuple[str, ...]


def why_not_written(keyword: str) -> str:
    """Say why no rule may write this attribute, or ""."""
    if not keyword:
        return "Name the attribute."
    if keyword in PROTECTED:
        return f"{_called(keyword)} is set by IHE RAD-61 from the local patient and order: no rule can override that."
    if keyword not in STUDY_WIDE + SERIES_WIDE:
        may = ", ".join(sorted(STUDY_WIDE + SERIES_WIDE))
        return f"{_called(keyword)} may differ from object to object. A rule can write: {may}."
    return ""


def why_not_local(keyword: str) -> str:
    """Say why no local value can win here, or ""."""
    if barred := why_not_written(keyword):
        return barred
    return "" if keyword in LOCAL else f"The order says nothing of this. It does of: {', '.join(sorted(LOCAL))}."


def decide(amendments: Iterable[Amendment], occasion: Occasion) -> Decision:
    """Of those that say whose value wins in an attribute only the first does."""
    chosen, passed = [], []
    for one in sorted(amendments, key=lambda one: (one.attribute, ORDER.index(one.kind), one.priority, one.name)):
        barred = why_not(one, occasion)
        if not barred and one.kind == Kind.WINS and _has_winner(chosen, one.attribute):
            barred = "Another rule says already whose value wins."
        if barred:
            passed.append((one, barred))
        else:
            chosen.append(one)
    return Decision(tuple(chosen), tuple(passed))


def _has_winner(chosen: Iterable[Amendment], attribute: str) -> bool:
    return any(one.kind == Kind.WINS and one.attribute == attribute for one in chosen)


def why_not(one: Amendment, occasion: Occasion) -> str:
    """Say what does not fit, or ""."""
    if not one.active:
        return "It is not in use."
    if barred := why_not_written(one.attribute):
        return barred
    return scopes.why_outside(one, occasion)


def attributes(chosen: Iterable[Amendment]) -> tuple[str, ...]:
    """What has to be read from the objects besides `coercion.ATTRIBUTES`."""
    return tuple(dict.fromkeys(one.attribute for one in chosen))


def rules(chosen: Sequence[Amendment], occasion: Occasion) -> tuple[coercion.Rule, ...]:
    """One rule an attribute, to be appended to `coercion.RULES`."""
    return tuple(
        coercion.Rule(path, GROUP, _decider(tuple(some), occasion))
        for path, some in groupby(chosen, key=lambda one: one.attribute)
    )


def warnings(chosen: Sequence[Amendment], occasion: Occasion, facts: coercion.Facts) -> list[str]:
    """What of the policy could not be done to these objects, in sentences."""
    each = groupby(chosen, key=lambda one: one.attribute)
    return [warning for path, some in each for warning in amended(path, tuple(some), occasion, facts).warnings]


def _decider(some: tuple[Amendment, ...], occasion: Occasion):
    def decide_one(path: str, facts: coercion.Facts) -> coercion.Decision | None:
        made = amended(path, some, occasion, facts)
        if not made.by:
            return None
        rule = f"Policy: {', '.join(made.by)}."
        return coercion.Decision(Action.SET if made.value else Action.EMPTY, made.value or None, rule)

    return decide_one


def amended(path: str, some: Sequence[Amendment], occasion: Occasion, facts: coercion.Facts) -> Amended:
    """Apply amendments of one attribute. What cannot be written is left out and said, never cut to fit."""
    value, barred = _value(path, facts)
    by, said = [], []
    for one in some:
        wanted, why = _step(one, value, barred, occasion, facts)
        if not why and wanted:
            why = why_unwritable(path, wanted).partition(":")[0] if wanted != value else ""
        if why:
            said.append(f"Policy “{one.name}” is not applied: {why}.")
        elif wanted is not None and (wanted != value or barred):
            value, barred = wanted, ""
            by.append(one.name)
    return Amended(value, tuple(by), tuple(said))


def _value(path: str, facts: coercion.Facts) -> tuple[str, str]:
    """The value that all objects have, and why there is no such, or ""."""
    held = [each.get(path) or "" for each in facts.incoming]
    values = {value for value in held if isinstance(value, str) and value}
    if any(isinstance(value, list) for value in held):
        return "", f"{called(path)} has several values"
    if len(values) > 1 or (path in SERIES_WIDE and values and "" in held):
        return "", f"{called(path)} differs from series to series"
    if any("\ufffd" in value for value in values):
        return "", f"{called(path)} cannot be read with certainty"
    return (values or {""}).pop(), ""


def _step(one: Amendment, value: str, barred: str, occasion: Occasion, facts: coercion.Facts) -> tuple[str | None, str]:
    """The value that an amendment asks for, None where it asks for none, and why it cannot be, or ""."""
    if one.kind == Kind.WINS:
        local = str(getattr(facts.local, LOCAL.get(one.attribute, ""), "") or "").strip()
        if one.how == "sender" or (one.how == "local_if_present" and not local):
            return None, ""
        return local, ""
    if one.kind == Kind.LABEL and one.how == "set":
        return _label(one, occasion), ""
    if barred:
        return None, barred
    return (_labelled(one, value, occasion) if one.kind == Kind.LABEL else _corrected(one, value)), ""


def _label(one: Amendment, occasion: Occasion) -> str:
    return one.text.replace("{source}", occasion.source_name).strip()


def _labelled(one: Amendment, value: str, occasion: Occasion) -> str:
    """Once: what carries the label already, from an earlier import, gets no second one."""
    label = _label(one, occasion)
    if not value or value == label:
        return label
    if one.how == "prefix":
        return value if value.startswith(f"{label} ") else f"{label} {value}"
    return value if value.endswith(f" {label}") else f"{value} {label}"


def _corrected(one: Amendment, value: str) -> str:
    if one.how == "replace":
        return dict(one.replacements).get(value, value)
    tidy = " ".join(value.split())
    return tidy.upper() if one.how == "upper" else tidy


def _called(keyword: str) -> str:
    return called(keyword) if keyword in keyword_dict else keyword
