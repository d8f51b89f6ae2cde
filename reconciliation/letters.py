"""Letters: what the sender of a rejected study is told, made at the rejection and kept as it was written."""

from django.conf import settings
from django.utils import timezone

from policies.models import Reason, User
from policies.rules.letters import Rejected, letter
from policies.rules.values import as_date
from reconciliation.models import Letter, Study


def write(study: Study, *, reason: Reason, by: User) -> Letter:
    """Call it in the transaction of the rejection. Only findings of rules are told: others, and what staff remark among
    themselves, may speak of our patients."""
    now = timezone.now()
    told = study.findings.exclude(rule="").values_list("sentence", flat=True)
    day = as_date(study.study_date)
    about = Rejected(
        institution=settings.INSTITUTION_NAME,
        contact=settings.CONTACT,
        sender=study.source.name,
        day=f"{timezone.localtime(now):%Y-%m-%d}",
        study_date=f"{day:%Y-%m-%d}" if day else study.study_date,
        modality=", ".join(study.modalities),
        accession_number=study.accession_number,
        patient_id=study.patient_id,
        reason=reason.sentence,
        findings=list(told),
    )
    return Letter.objects.create(study=study, text=letter(about), made_by=by, made_at=now)
