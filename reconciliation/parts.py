"""Parts: which study row an object belongs to. Objects of another patient, or after the gate, begin a new part."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Model

from policies import audit
from policies.rules.matching import name_key
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


def parts_of(study_instance_uids: Iterable[str]) -> dict[str, list[Study]]:
    """Every part of each of these studies, in order, locked until the commit."""
    found = {uid: [] for uid in study_instance_uids}
    rows = Study.objects.select_for_update(of=("self",)).select_related("source")
    for study in rows.filter(study_instance_uid__in=found).order_by("study_instance_uid", "part"):
        found[study.study_instance_uid].append(study)
    return found


def place(header: Header, submission: Submission, parts: list[Study], *, now: datetime) -> Study:
    """The part that takes this object; a new one is made and added to `parts` when none does."""
    for part in parts:
        if part.state in OPEN and same_person(part, header):
            return part
    part = _begin(header, submission, parts, now=now)
    parts.append(part)
    return part


def same_person(study: Study, header: Header) -> bool:
    """Whether an object speaks of the same person as the study. What is missing on one side contradicts nothing."""
    id_differs = _differs(study.patient_id, header.PatientID)
    birth_differs = _differs(study.patient_birth_date, header.PatientBirthDate)
    issuer_differs = _differs(study.issuer_of_patient_id, header.IssuerOfPatientID)
    if id_differs or birth_differs or issuer_differs:
        return False
    mine, theirs = name_key(study.patient_name).split(), name_key(header.PatientName).split()
    if not mine or not theirs or mine == theirs:
        return True
    return bool(study.patient_id and header.PatientID and set(mine) & set(theirs))


def _differs(one: str, other: str) -> bool:
    return bool(one and other and one.strip() != other.strip())


def _begin(header: Header, submission: Submission, parts: list[Study], *, now: datetime) -> Study:
    part = Study(
        study_instance_uid=header.StudyInstanceUID,
        part=len(parts),
        follows=parts[0] if parts else None,
        source=submission.source,
        submission=submission,
        received_at=now,
        last_arrival_at=now,
    )
    learn(part, header)
    part.save(force_insert=True)
    detail = {"door": submission.door, "calling_title": submission.calling_title, "submission": str(submission.pk)}
    audit.record(audit.PORTAL, "receive", part, detail=detail)
    if strangers := [other for other in parts if not same_person(other, header)]:
        find(
            part,
            "another_patient",
            Finding.Severity.BLOCK,
            _ANOTHER_PATIENT.format(state=strangers[0].get_state_display()),
        )
    elif parts:
        find(part, "supplement", Finding.Severity.WARN, _SUPPLEMENT.format(state=parts[0].get_state_display()))
    return part


_ANOTHER_PATIENT = (
    "The same Study Instance UID is already here for another patient ({state}). "
    "These objects are kept apart; ask the sender which of the two is right."
)
_SUPPLEMENT = "These objects came after the first part of this study had left the queue ({state})."


def find(study: Study, code: str, severity: str, sentence: str) -> None:
    """Put a finding on a study, once."""
    Finding.objects.get_or_create(study=study, code=code, defaults={"severity": severity, "sentence": sentence})


def fit(row: Model, column: str, value: str) -> str:
    """A text as this column can hold it: for reading and searching only, the original keeps every byte."""
    return value.replace("\0", "").strip()[: row._meta.get_field(column).max_length]


def learn(study: Study, header: Header) -> None:
    """Fill what the study does not know yet from an object's header (in memory; the caller writes)."""
    for column, keyword in FACTS.items():
        if not getattr(study, column):
            setattr(study, column, fit(study, column, getattr(header, keyword)))
    for column, value in (("modalities", header.Modality), ("body_parts", header.BodyPartExamined)):
        value = value.replace("\0", "")
        if value and value not in getattr(study, column):
            getattr(study, column).append(value)
    dates_shifted = header.LongitudinalTemporalInformationModified not in ("", "UNMODIFIED")
    study.deidentified = study.deidentified or header.PatientIdentityRemoved == "YES" or dates_shifted
    study.burned_in = study.burned_in or header.BurnedInAnnotation == "YES"
    words = (name_key(study.patient_name), study.patient_id, study.accession_number, study.study_description)
    study.search_key = " ".join(words).upper()[:500]


LEARNED = (*FACTS, "modalities", "body_parts", "deidentified", "burned_in", "search_key")
