"""Quality: the findings of the record quality rules, put on a study when it settles."""

from policies.rules import quality as rules
from reconciliation.models import Finding, Study
from reconciliation.parts import FACTS, find

SEVERAL_PATIENTS = "This submission holds studies of {count} patients. Make sure that this is the right one."


def inspect(study: Study) -> None:
    """Ask the rules about the study as received, and look at what came with it."""
    for found in rules.findings(facts(study)):
        find(study, found.code, found.severity, found.sentence)
    _several_patients(study)


def facts(study: Study) -> dict[str, str]:
    """The study as the rules know it: DICOM keywords to text."""
    said = {keyword: getattr(study, column) for column, keyword in FACTS.items()}
    return said | {
        "StudyInstanceUID": study.study_instance_uid,
        "Modality": "\\".join(study.modalities),
        "PatientIdentityRemoved": "YES" if study.deidentified else "",
        "BurnedInAnnotation": "YES" if study.burned_in else "",
    }


def _several_patients(study: Study) -> None:
    """A disc with several patients: the finding stands on every study of it, earlier and later ones."""
    together = Study.objects.filter(submission=study.submission_id)
    people = set(together.values_list("patient_id", "patient_name", "patient_birth_date"))
    if len(people) < 2:
        return
    for one in together.filter(state__in=[Study.State.RECEIVING, Study.State.HELD]):
        find(one, "several_patients", Finding.Severity.OVERRIDE, SEVERAL_PATIENTS.format(count=len(people)))
