"""Parts: which study row an object belongs to. Objects of another patient, or after the gate, begin a new part."""

import re
from collections.abc import Container, Iterable
from datetime import datetime

from django.db.models import Model

from policies import audit
from policies.rules.names import name_key
from reconciliation.dicom.header import Header
from reconciliation.models import Finding, Study, Submission

State = Study.State
OPEN = (State.RECEIVING, State.HELD, State.MAPPED, State.CLEARED)

# Study column, keyword of the header. The first object that says a thing decides; later ones only fill what is empty.
FACTS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "issuer_of_patient_id": "IssuerOfPatientID",
    "patient_birth_date": "PatientBirthDate",
    "patient_sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "study_description": "StudyDescription",
    "study_id": "StudyID",
    "referring_physician_name": "ReferringPhysicianName",
    "institution_name": "InstitutionName",
}

OTHER_CONTENT = "same_uid_other_content"  # the finding that two contents under one SOP Instance UID are
DATES = ("patient_birth_date", "study_date")
OLD_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")  # ACR-NEMA; readers still have to take it (PS3.5 6.2)
SeriesOf = Container[tuple]  # (key of a part, Series Instance UID) of the series that are here


def parts_of(study_instance_uids: Iterable[str]) -> dict[str, list[Study]]:
    """Every part of each of these studies, in order, locked until the commit."""
    found = {uid: [] for uid in study_instance_uids}
    rows = Study.objects.select_for_update(of=("self",)).select_related("source", "local_patient")
    for study in rows.filter(study_instance_uid__in=found).order_by("study_instance_uid", "part"):
        found[study.study_instance_uid].append(study)
    return found


def place(header: Header, submission: Submission, parts: list[Study], series: SeriesOf, *, now: datetime) -> Study:
    """The part that takes this object; a new one is made and added to `parts` when none does.

    A part takes objects of its own source and its own person. One that names nobody goes where there is no choice.
    """
    own = [part for part in parts if part.state in OPEN and part.source_id == submission.source_id]
    if names_nobody(header) and len(own) > 1:
        fitting = [part for part in own if (part.pk, header.SeriesInstanceUID) in series]
    else:
        fitting = [part for part in own if same_person(part, header)]
    if len(fitting) == 1 or (fitting and not names_nobody(header)):
        return fitting[0]
    part = _begin(header, submission, parts, now=now)
    parts.append(part)
    return part


def names_nobody(header: Header) -> bool:
    return not (header.PatientID.strip() or header.PatientBirthDate.strip() or name_key(header.PatientName))


def same_person(study: Study, header: Header) -> bool:
    """Whether an object speaks of the same person as the study. What is missing on one side contradicts nothing."""
    columns = ("patient_id", "issuer_of_patient_id", "patient_birth_date")
    if any(_differs(getattr(study, column), as_column(column, header)) for column in columns):
        return False
    if {study.patient_sex, header.PatientSex} == {"M", "F"}:
        return False
    mine, theirs = ({*name_key(name).split()} for name in (study.patient_name, header.PatientName))
    if not mine or not theirs or mine <= theirs or theirs <= mine:
        return True
    # Another name, as after a marriage: only where everything else agrees, and a part of the name does.
    known = study.patient_id and header.PatientID and study.patient_birth_date and header.PatientBirthDate
    return bool(known and mine & theirs)


def _differs(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _begin(header: Header, submission: Submission, parts: list[Study], *, now: datetime) -> Study:
    part = Study(
        study_instance_uid=header.StudyInstanceUID,
        part=len(parts),
        follows=parts[0] if parts else None,
        source=submission.source,
        category=submission.source.category,
        submission=submission,
        received_at=now,
        queued_at=now,
        last_arrival_at=now,
    )
    learn(part, header)
    part.save(force_insert=True)
    detail = {"door": submission.door, "calling_title": submission.calling_title, "submission": str(submission.pk)}
    audit.record(audit.PORTAL, "receive", part, detail=detail)
    _say_why(part, header, parts)
    return part


def _say_why(part: Study, header: Header, others: list[Study]) -> None:
    """Why these objects are a part of their own, as a finding."""
    if not others:
        return
    first = others[0]
    if any(not same_person(other, header) for other in others):
        find(part, "another_patient", Finding.Severity.BLOCK, _ANOTHER_PATIENT.format(first.get_state_display()))
    elif any(other.source_id != part.source_id for other in others):
        find(part, "another_source", Finding.Severity.OVERRIDE, _ANOTHER_SOURCE.format(first.get_state_display()))
    elif names_nobody(header):
        find(part, "names_nobody", Finding.Severity.OVERRIDE, _NAMES_NOBODY)
    else:
        filed = f"{first.get_state_display()}, filed under {first.local_patient}" if first.local_patient else ""
        find(part, "supplement", Finding.Severity.WARN, _SUPPLEMENT.format(filed or first.get_state_display()))


_ANOTHER_PATIENT = (
    "The same Study Instance UID is already here for another patient ({}). "
    "These objects are kept apart; ask the sender which of the two is right."
)
_ANOTHER_SOURCE = (
    "The same Study Instance UID is already here from another source ({}). "
    "These objects are kept apart; make sure that both belong to one patient."
)
_NAMES_NOBODY = "These objects name no patient, and more than one part of this study could be theirs."
_SUPPLEMENT = "These objects came after the first part of this study had left the queue ({})."


def find(study: Study, code: str, severity: str, sentence: str, *, rule: str = "") -> None:
    """Put a finding on a study, once."""
    said = {"severity": severity, "sentence": sentence.replace("\0", ""), "rule": rule}
    Finding.objects.get_or_create(study=study, code=code, defaults=said)


def fit(row: Model, column: str, value: str) -> str:
    """A text as this column can hold it: for reading and searching only, the original keeps every byte."""
    return value.replace("\0", "").strip()[: row._meta.get_field(column).max_length]


def as_column(column: str, header: Header) -> str:
    """What a header says, as the study's column would hold it; old dates (1961.03.04) as the new ones (19610304)."""
    value = fit(Study(), column, getattr(header, FACTS[column]))
    old = OLD_DATE.fullmatch(getattr(header, FACTS[column]).strip()) if column in DATES else None
    return "".join(old.groups()) if old else value


def learn(study: Study, header: Header) -> None:
    """Fill what the study does not know yet from an object's header (in memory; the caller writes)."""
    for column in FACTS:
        if not getattr(study, column):
            setattr(study, column, as_column(column, header))
    for column, value in (("modalities", header.Modality), ("body_parts", header.BodyPartExamined)):
        value = value.replace("\0", "")
        if value and value not in getattr(study, column):
            getattr(study, column).append(value)
    dates_shifted = header.LongitudinalTemporalInformationModified not in ("", "UNMODIFIED")
    study.deidentified = study.deidentified or header.PatientIdentityRemoved == "YES" or dates_shifted
    study.burned_in = study.burned_in or header.BurnedInAnnotation == "YES"
    study.signed = study.signed or header.signed
    words = (name_key(study.patient_name), study.patient_id, study.accession_number, study.study_description)
    study.search_key = " ".join(words).upper()[:500]


LEARNED = (*FACTS, "modalities", "body_parts", "deidentified", "burned_in", "signed", "search_key")
