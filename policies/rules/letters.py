"""The letter to a sender about a study that is kept out: as little of the patient as it takes to find the study."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rejected:
    """What a letter is made of, as the sender wrote it; dates as people read them, "" is unknown."""

    institution: str
    contact: str
    sender: str
    day: str
    study_date: str
    modality: str
    accession_number: str
    patient_id: str
    reason: str
    findings: Sequence[str] = ()


NOT_GIVEN = "not given"


def letter(about: Rejected) -> str:
    """Plain text. No name and no birth date: the sender finds the study by its own numbers."""
    parts = [
        f"{about.institution}\n{about.day}",
        f"To: {about.sender}",
        "We could not take over a study that you sent us.",
        _facts(about),
        f"Reason: {about.reason}",
        _listed("What we found:", about.findings),
        "Please send the study again when this is corrected. What you sent was not forwarded to our archive.",
        f"Questions: {about.contact or about.institution}",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _facts(about: Rejected) -> str:
    rows = [
        ("Study date", about.study_date),
        ("Modality", about.modality),
        ("Your accession number", about.accession_number),
        ("Your patient ID", about.patient_id),
    ]
    return "\n".join(f"  {name + ':':<24}{value or NOT_GIVEN}" for name, value in rows)


def _listed(title: str, sentences: Sequence[str]) -> str:
    return "\n".join([title, *(f"  - {sentence}" for sentence in sentences)]) if sentences else ""
