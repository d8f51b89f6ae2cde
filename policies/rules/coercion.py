"""What changes in an outside object before it enters our archive: IHE RAD-61, as a list of values.

`RULES` is the whole policy, one row an attribute. A row explains itself to staff; adding a rule is adding a row.
Anything without a row (UIDs, dates, institution, equipment, private elements, pixel data) is kept as it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple

from policies.rules.values import LIMITS, called, refuse_unwritable, why_unwritable


class Action(StrEnum):
    SET = "set"
    EMPTY = "empty"
    REMOVE = "remove"
    APPEND = "append"


Item = dict[str, "Value"]
Value = str | list[str] | list[Item] | None


@dataclass(frozen=True)
class Change:
    """One attribute of every object of a study. `old` is evidence for people; the editor reads the true old values."""

    path: str
    action: Action
    old: list[Value]
    new: Value
    rule: str
    group: str

    def to_json(self) -> dict:
        return asdict(self) | {"action": self.action.value}

    @classmethod
    def from_json(cls, data: dict) -> Change:
        return cls(**data | {"action": Action(data["action"])})


@dataclass(frozen=True)
class LocalFacts:
    """What the local order and patient say, by DICOM keyword; "" is unknown, texts as DICOM writes them.

    `scheduled` is RAD-61's Scheduled Import Option: True with an order, False with demographics only.
    """

    PatientName: str = ""
    PatientID: str = ""
    IssuerOfPatientID: str = ""
    PatientBirthDate: str = ""
    PatientSex: str = ""
    IssuerOfPatientIDQualifiersSequence: list[Item] = field(default_factory=list)
    OtherPatientIDs: list[tuple[str, str]] = field(default_factory=list)  # further local (value, issuer)
    AccessionNumber: str = ""
    IssuerOfAccessionNumber: str = ""
    RequestedProcedureID: str = ""
    RequestedProcedureDescription: str = ""
    ScheduledProcedureStepID: str = ""
    RequestedProcedureCode: tuple[str, str, str] | None = None  # value, coding scheme designator, meaning
    AdmissionID: str = ""
    IssuerOfAdmissionID: str = ""
    StudyInstanceUID: str = ""  # the order's own, never written over the study's
    ReferencedStudySequence: list[Item] = field(default_factory=list)
    ReferringPhysicianName: str = ""
    scheduled: bool = True


@dataclass(frozen=True)
class Importer:
    """Who we are and where the study came from."""

    manufacturer: str
    institution_name: str
    station_name: str
    modifying_system: str
    source_name: str
    source_issuer: str  # stands for the source where an object names no issuer of its Patient ID
    door: str
    at: str  # DT with offset, fixed at mapping, so that sending twice makes the same bytes
    performed_step_id: str = ""  # of our import MPPS; "" when none is sent
    performed_step_uid: str = ""


class Facts(NamedTuple):
    """All that a rule may look at."""

    incoming: Sequence[dict[str, Value]]
    local: LocalFacts
    importer: Importer
    signed: bool = False

    @property
    def whose(self) -> str:
        return "the local order" if self.local.scheduled else "the local patient record"


class Decision(NamedTuple):
    action: Action
    new: Value
    rule: str


class Rule(NamedTuple):
    """A row of the policy. `decide(path, facts)` gives None where the attribute stays as it came."""

    path: str
    group: str
    decide: Callable[[str, Facts], Decision | None]


def plan(
    incoming: Sequence[dict[str, Value]],
    *,
    local: LocalFacts,
    importer: Importer,
    signed: bool = False,
    rules: Sequence[Rule] | None = None,
) -> list[Change]:
    """Every change of an import by RAD-61, in order; equal values are listed too, so that in the end all objects agree.

    `incoming` is one dict of `ATTRIBUTES` for the first object of each series; `signed`: some object carries digital
    signatures. Raises ValueError with a sentence where
    a local value cannot be written in DICOM; nothing is ever cut to fit.
    """
    facts = Facts(incoming, local, importer, signed)
    changes = []
    for rule in RULES if rules is None else rules:
        if decision := rule.decide(rule.path, facts):
            refuse_unwritable(rule.path, decision.new)
            changes.append(Change(rule.path, decision.action, _distinct(rule.path, facts), *decision[1:], rule.group))
    return changes


def describe(change: Change) -> str:
    """One plain sentence for the screen and the ledger's reader."""
    name = called(change.path)
    before = " or ".join(_shown(value) or "an empty value" for value in change.old)
    was = f" (was {before})" if before else ""
    match change.action:
        case Action.SET if change.old == [change.new]:
            return f"{name} stays {_shown(change.new)}."
        case Action.SET:
            return f"{name} becomes {_shown(change.new)}{was}."
        case Action.EMPTY:
            return f"{name} is left empty{was}."
        case Action.REMOVE:
            return f"{name} is removed{was}." if was else f"{name} is not kept (no sampled object has it)."
        case Action.APPEND:
            return f"{name} also gets {_shown(change.new)}."


# --- the rules -------------------------------------------------------------------------------------------------------


def _absent(path: str) -> Action:
    """A sequence that must have exactly one item if it is there at all is not left empty but taken out (PS3.3)."""
    return Action.REMOVE if path.endswith("Sequence") else Action.EMPTY


def _from_local(path: str, facts: Facts) -> Decision:
    """The local value wins, and no local value means empty: a foreign value never speaks for a local patient."""
    if value := _local(path, facts):
        return Decision(Action.SET, value, f"RAD-61: {called(path)} comes from {facts.whose}.")
    rule = f"RAD-61: {facts.whose} has no {called(path)}, and the sender's does not apply."
    return Decision(_absent(path), None, rule)


def _patient_id(path: str, facts: Facts) -> Decision:
    if not facts.local.PatientID.strip():
        raise ValueError("The local patient has no Patient ID: choose a patient with an identifier before importing.")
    return _from_local(path, facts)


def _patient_sex(path: str, facts: Facts) -> Decision:
    if facts.local.PatientSex.strip() not in ("", "M", "F", "O"):
        raise ValueError("Patient's Sex must be M, F or O in DICOM: correct it in the local patient record.")
    return _from_local(path, facts)


def _from_order(path: str, facts: Facts) -> Decision:
    if facts.local.scheduled:
        return _from_local(path, facts)
    return Decision(Action.EMPTY, None, f"RAD-61: an import without an order has no local {called(path)}.")


def _issuer_of(local_field: str) -> Callable[[str, Facts], Decision]:
    """The issuer goes with its number: written when both are known, else empty (HL7v2 Hierarchic Designator macro)."""
    number = local_field.removeprefix("IssuerOf")

    def decide(path: str, facts: Facts) -> Decision:
        issuer, value = (getattr(facts.local, name).strip() for name in (local_field, number))
        if facts.local.scheduled and issuer and value:
            new = [{"LocalNamespaceEntityID": issuer}]
            return Decision(Action.SET, new, f"RAD-61: the issuer goes with the {called(number)} of the local order.")
        return Decision(Action.REMOVE, None, f"RAD-61: no local issuer of the {called(number)}; the sender's goes.")

    return decide


def _other_patient_ids(path: str, facts: Facts) -> Decision | None:
    """Local identifiers first, then the sender's, none twice (PS3.3 Table 10-18), so that the foreign ID is found."""
    local, foreign = _local_ids(facts), _foreign_ids(facts)
    writable = [pair for pair in foreign if not _why_unwritable_id(*pair)]
    here = [(facts.local.PatientID.strip(), facts.local.IssuerOfPatientID.strip())]
    wanted = [pair for pair in dict.fromkeys(local + writable) if pair not in here + _ids_everywhere(facts)]
    left_out = len(foreign) - len(writable)
    if not wanted:
        return None
    rule = "RAD-61: further local identifiers and the sender's Patient ID are kept, each with its issuer."
    if left_out:
        rule += f" Not valid DICOM, so kept in the Original Attributes only: {left_out} of the sender's identifiers."
    return Decision(Action.APPEND, [_other_id(*pair) for pair in wanted], rule)


def _removed(why: str) -> Callable[[str, Facts], Decision]:
    return lambda path, facts: Decision(Action.REMOVE, None, why)


def _referenced_study(path: str, facts: Facts) -> Decision:
    if facts.local.scheduled and facts.local.ReferencedStudySequence:
        rule = "RAD-61: the referenced study of the local order replaces the sender's (never merged)."
        return Decision(Action.SET, facts.local.ReferencedStudySequence, rule)
    return Decision(Action.REMOVE, None, "RAD-61: the sender's referenced study belongs to no order of ours.")


def _procedure_code(path: str, facts: Facts) -> Decision | None:
    if facts.local.scheduled and (code := _code_of_order(facts.local)):
        return Decision(Action.SET, [code], "RAD-61: the procedure code comes from the local order.")
    return None


def _request_attributes(path: str, facts: Facts) -> Decision:
    """PS3.3 Table 10-9. The order's own Study Instance UID links the kept UID of the study to the local request."""
    local = facts.local
    if not local.scheduled:
        rule = "RAD-61: an import without an order claims no request, and the sender's request is not ours."
        return Decision(Action.REMOVE, None, rule)
    for keyword in ("RequestedProcedureID", "ScheduledProcedureStepID"):
        if not _local(keyword, facts):
            raise ValueError(f"The order has no {called(keyword)}: complete the order, or choose another one.")
    optional = ("RequestedProcedureDescription", "AccessionNumber", "StudyInstanceUID")
    item: Item = {keyword: _local(keyword, facts) for keyword in ("RequestedProcedureID", "ScheduledProcedureStepID")}
    item |= {keyword: _local(keyword, facts) for keyword in optional if _local(keyword, facts)}
    if code := _code_of_order(local):
        item["RequestedProcedureCodeSequence"] = [code]
    return Decision(Action.SET, [item], "RAD-61: the request is the local order's; the sender's request is replaced.")


def _performed_step_id(path: str, facts: Facts) -> Decision | None:
    """RAD-61 keeps the object's own; ours stands in only where no series has one (it is one value a series)."""
    if not facts.importer.performed_step_id or any(_texts(each.get(path)) for each in facts.incoming):
        return None
    return Decision(Action.SET, facts.importer.performed_step_id, "RAD-61: the import step gives its own ID.")


def _performed_step(path: str, facts: Facts) -> Decision | None:
    if not facts.importer.performed_step_uid:
        return None
    item: Item = {
        "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.3",  # Modality Performed Procedure Step
        "ReferencedSOPInstanceUID": facts.importer.performed_step_uid,
    }
    return Decision(Action.SET, [item], "RAD-61: the objects point to the import step that brought them in.")


def _signatures(path: str, facts: Facts) -> Decision | None:
    """They hold for the object as it came (PS3.4 B.4.1.3); broken ones would speak against an honest copy."""
    if not facts.signed:
        return None
    rule = "DICOM PS3.4 B.4.1.3: the header changes, so the signatures would not hold; they are kept as old values."
    return Decision(Action.REMOVE, None, rule)


PORTABLE_MEDIA = ("MEDIM", "Portable Media Importer Equipment")
MODIFYING = ("109103", "Modifying Equipment")
PURPOSES = {
    "media": PORTABLE_MEDIA,
    "upload": PORTABLE_MEDIA,
    "dimse": MODIFYING,
    "stow": MODIFYING,
    "watch": MODIFYING,
}


def _contributing_equipment(path: str, facts: Facts) -> Decision:
    """PS3.3 C.12-1. There is no code for an import by network; Modifying Equipment is true of it."""
    importer = facts.importer
    if not importer.manufacturer:
        raise ValueError("The manufacturer of the importing system is not set: ask the administrator to set it.")
    code, meaning = PURPOSES[importer.door]
    purpose = {"CodeValue": code, "CodingSchemeDesignator": "DCM", "CodeMeaning": meaning}
    item: Item = {
        "PurposeOfReferenceCodeSequence": [purpose],
        "Manufacturer": importer.manufacturer,
        "InstitutionName": importer.institution_name,
        "StationName": importer.station_name,
        "ContributionDateTime": importer.at,
    }
    rule = "RAD-61: this system is listed among the equipment that contributed; earlier entries stay."
    return Decision(Action.APPEND, [item], rule)


def _original_attributes(path: str, facts: Facts) -> Decision:
    """PS3.3 C.12.1.1.9. The editor adds the Modified Attributes Sequence from the object in hand."""
    item: Item = {
        "AttributeModificationDateTime": facts.importer.at,
        "ModifyingSystem": facts.importer.modifying_system,
        "SourceOfPreviousValues": _source_of_previous_values(facts),
        "ReasonForTheAttributeModification": "COERCE",
    }
    rule = "RAD-61: the values that the object came with are kept inside it; earlier entries stay."
    return Decision(Action.APPEND, [item], rule)


def _imported(path: str, facts: Facts) -> Decision:
    return Decision(Action.SET, "IMPORTED", "DICOM PS3.3 C.12.1: every viewer can see that this is an outside study.")


def _coerced_at(path: str, facts: Facts) -> Decision:
    return Decision(Action.SET, facts.importer.at, "DICOM PS3.3 C.12.1.1.9: when the object took its local values.")


NOT_OURS = "RAD-61: the sender's request and its accession number are not ours."
RETIRED = "DICOM retired this attribute: its values move to Other Patient IDs Sequence, with an issuer."

RULES: tuple[Rule, ...] = (
    Rule("PatientName", "patient", _from_local),
    Rule("PatientID", "patient", _patient_id),
    Rule("IssuerOfPatientID", "patient", _from_local),
    Rule("IssuerOfPatientIDQualifiersSequence", "patient", _from_local),
    Rule("PatientBirthDate", "patient", _from_local),
    Rule("PatientSex", "patient", _patient_sex),
    Rule("OtherPatientIDs", "patient", _removed(RETIRED)),
    Rule("OtherPatientIDsSequence", "patient", _other_patient_ids),
    Rule("AccessionNumber", "order", _from_order),
    Rule("IssuerOfAccessionNumberSequence", "order", _issuer_of("IssuerOfAccessionNumber")),
    Rule("RequestAttributesSequence", "order", _request_attributes),
    Rule("ReferencedRequestSequence", "order", _removed(NOT_OURS)),  # where SR and KOS keep their request
    Rule("ReferencedStudySequence", "order", _referenced_study),
    Rule("AdmissionID", "order", _from_order),
    Rule("IssuerOfAdmissionIDSequence", "order", _issuer_of("IssuerOfAdmissionID")),
    Rule("ProcedureCodeSequence", "study", _procedure_code),
    Rule("PerformedProcedureStepID", "study", _performed_step_id),
    Rule("ReferencedPerformedProcedureStepSequence", "study", _performed_step),
    Rule("MACParametersSequence", "signatures", _signatures),
    Rule("DigitalSignaturesSequence", "signatures", _signatures),
    Rule("InstanceOriginStatus", "provenance", _imported),
    Rule("InstanceCoercionDateTime", "provenance", _coerced_at),
    Rule("ContributingEquipmentSequence", "provenance", _contributing_equipment),
    Rule("OriginalAttributesSequence", "provenance", _original_attributes),
)
ATTRIBUTES: tuple[str, ...] = (*(rule.path for rule in RULES), "InstitutionName")


# --- reading the facts -----------------------------------------------------------------------------------------------


def _local(path: str, facts: Facts) -> Value:
    value = getattr(facts.local, path)
    return value.strip() if isinstance(value, str) else value


def _distinct(path: str, facts: Facts) -> list[Value]:
    """The different values of an attribute over the sampled objects, in the order met; present but empty is ""."""
    met = {json.dumps(each[path] or "", sort_keys=True): each[path] or "" for each in facts.incoming if path in each}
    return list(met.values())


def _texts(value: Value) -> list[str]:
    values = value if isinstance(value, list) else [value or ""]
    return [text for text in (str(each or "").strip() for each in values) if text]


def _foreign_ids(facts: Facts) -> list[tuple[str, str]]:
    """The sender's (value, issuer) pairs. A Patient ID holding a backslash is put together again, not split in two."""
    pairs = []
    for each in facts.incoming:
        issuer = "\\".join(_texts(each.get("IssuerOfPatientID"))) or facts.importer.source_issuer
        if value := "\\".join(_texts(each.get("PatientID"))):
            pairs.append((value, issuer))
    known = {value for value, _ in pairs}
    # The retired attribute never says who issued its values, so they can only be the source's.
    retired = [text for each in facts.incoming for text in _texts(each.get("OtherPatientIDs")) if text not in known]
    return list(dict.fromkeys(pairs + [(text, facts.importer.source_issuer) for text in retired]))


def _local_ids(facts: Facts) -> list[tuple[str, str]]:
    return [(value.strip(), issuer.strip()) for value, issuer in facts.local.OtherPatientIDs if value.strip()]


def _ids_everywhere(facts: Facts) -> list[tuple[str, str]]:
    """The identifiers that every sampled object has in its sequence already: appending them would double them."""
    listed = [
        [
            (item.get("PatientID"), item.get("IssuerOfPatientID") or "")
            for item in each.get("OtherPatientIDsSequence") or []
        ]
        for each in facts.incoming
    ]
    return [pair for pair in listed[0] if all(pair in others for others in listed)] if listed else []


def _other_id(value: str, issuer: str) -> Item:
    item: Item = {"PatientID": value, "IssuerOfPatientID": issuer, "TypeOfPatientID": "TEXT"}
    return {keyword: text for keyword, text in item.items() if text}


def _why_unwritable_id(value: str, issuer: str) -> str:
    return why_unwritable("PatientID", value) or why_unwritable("IssuerOfPatientID", issuer)


def _code_of_order(local: LocalFacts) -> Item | None:
    """PS3.3 Table 8.8-1. A code without its scheme says nothing, and is not written; a meaning is obligatory."""
    value, scheme, meaning = (text.strip() for text in local.RequestedProcedureCode or ("", "", ""))
    if not value or not scheme:
        return None
    keyword = "CodeValue" if len(value) <= LIMITS["SH"] else "LongCodeValue"
    meaning = meaning or local.RequestedProcedureDescription.strip() or value
    return {keyword: value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


def _source_of_previous_values(facts: Facts) -> str:
    """The institution named in the objects, as IHE's test tools grade it; the source's name where that is unclear."""
    named = {text for each in facts.incoming for text in _texts(each.get("InstitutionName"))}
    clear = len(named) == 1 and not why_unwritable("SourceOfPreviousValues", min(named))
    return min(named) if clear else facts.importer.source_name


# --- words -----------------------------------------------------------------------------------------------------------


def _shown(value: Value) -> str:
    if not isinstance(value, list):
        return value or ""
    return "; ".join(_item_shown(each) if isinstance(each, dict) else each for each in value)


def _item_shown(item: Item) -> str:
    return ", ".join(f"{called(keyword)} {_shown(value)}" for keyword, value in item.items() if value)
