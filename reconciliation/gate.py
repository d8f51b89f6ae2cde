"""The gate: what must be true in the moment in which a study is released, whatever was true when it was cleared."""

from reconciliation import consents, local, prefixing, renaming
from reconciliation.models import Finding, Study


def why_shut(study: Study) -> str:
    """Say why this study cannot be released now, or ""."""
    checks = (_findings, consents.why_not, _local, _other_patient, _apart, renaming.why_doubled)
    return next((shut for check in checks if (shut := check(study))), "")


def standing(study: Study) -> list[Finding]:
    """The findings that stand in the way."""
    return [finding for finding in study.findings.all() if finding.is_open]


def _findings(study: Study) -> str:
    found = standing(study)
    return "Not clear any more: " + " ".join(finding.sentence for finding in found) if found else ""


def _local(study: Study) -> str:
    changed = local.why_changed(study.mapping)
    return f"{changed} Undo the mapping, and map the study again." if changed else ""


def _apart(study: Study) -> str:
    barred = prefixing.why_not(study, study.local_patient, study.order)
    return f"{barred} Undo the mapping." if barred else ""


def _other_patient(study: Study) -> str:
    return why_not_this_patient(study, study.local_patient_id)


def why_not_this_patient(study: Study, patient_key) -> str:
    """One Study Instance UID never goes to two of our patients."""
    parts = Study.objects.filter(study_instance_uid=study.study_instance_uid).exclude(pk=study.pk)
    decided = parts.filter(rejected_for=None).exclude(local_patient=None).exclude(local_patient=patient_key)
    if other := decided.select_related("local_patient").first():
        return f"Another part of this study is filed under {other.local_patient}. Settle that first."
    return ""
