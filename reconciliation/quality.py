"""Quality: the findings of the record quality rules, put on a study when it settles, and looked at again on demand."""

import logging

from django.db import transaction
from django.utils import timezone

from policies import audit, bell
from policies import quality as policy
from policies.models import User
from policies.rules import quality as rules
from reconciliation import samples
from reconciliation.models import Finding, Study
from reconciliation.parts import FACTS, find

log = logging.getLogger(__name__)
SEVERAL_PATIENTS = "This submission holds studies of {count} patients. Make sure that this is the right one."
AT_ONCE = 100  # keys of studies in one question
COLUMNS = set(FACTS.values())
LOOKED_AT = (Study.State.HELD, Study.State.MAPPED, Study.State.CLEARED)


def inspect(study: Study, decision: rules.Decision | None = None) -> None:
    """Ask the rules about the study as received, unless they were, and look at what came with it. In a transaction."""
    put(study, decision or decide(study))
    _several_patients(study)


def decide(study: Study, given: list[rules.Rule] | None = None) -> rules.Decision:
    """What the rules find, and why those that find nothing do not; the objects are read only where a rule asks."""
    given = policy.rules() if given is None else given
    return rules.decide(given, record(study, rules.asked(given)))


def record(study: Study, keywords: set[str]) -> rules.Record:
    """The study as the rules know it: its columns as DICOM keywords, and what its series say."""
    known = facts(study)
    said = [{**known, "Modality": one.modality, **read} for one, read in _series(study, keywords)]
    return rules.Record(known, said or [known], timezone.localdate(), str(study.source_id))


def _series(study: Study, keywords: set[str]) -> list[tuple]:
    """Each series with the attributes asked for that are no columns of the study."""
    unknown = keywords - COLUMNS
    if not unknown:
        return [(one, {}) for one in study.series.order_by("pk")]
    return [(one.series, one.said) for one in samples.read(study, sorted(unknown))]


def facts(study: Study) -> dict:
    """DICOM keywords to text."""
    said = {keyword: getattr(study, column) for column, keyword in FACTS.items()}
    return said | {
        "StudyInstanceUID": study.study_instance_uid,
        "Modality": list(study.modalities),
        "PatientIdentityRemoved": "YES" if study.deidentified else "",
        "BurnedInAnnotation": "YES" if study.burned_in else "",
    }


def put(study: Study, decision: rules.Decision) -> bool:
    """Make the findings of rules those of this decision; whether any changed. What was overridden stays as it is.

    Call it in a transaction.
    """
    wanted = {found.code: found for found in decision.found}
    standing = {one.code: one for one in study.findings.all()}
    stale = [one for one in standing.values() if one.rule and one.overridden_by_id is None and one.code not in wanted]
    Finding.objects.filter(pk__in=[one.pk for one in stale]).delete()
    changed = [_put_one(study, found, standing.get(code)) for code, found in wanted.items()]
    moved = _keep_apart(study, decision)
    return bool(stale or moved or any(changed))


def _keep_apart(study: Study, decision: rules.Decision) -> bool:
    """Keep the study apart, or let it back into its tab; whether it moved. Nothing that was decided hangs on it."""
    study.segregated = not policy.segregating().isdisjoint(found.code for found in decision.found)
    return bool(
        Study.objects.filter(pk=study.pk).exclude(segregated=study.segregated).update(segregated=study.segregated)
    )


def _put_one(study: Study, found: rules.Found, standing: Finding | None) -> bool:
    if standing is None:
        find(study, found.code, found.severity, found.sentence, rule=found.code)
        return True
    if (
        not standing.rule
        or standing.overridden_by_id
        or (standing.severity, standing.sentence) == (found.severity, found.sentence)
    ):
        return False
    said = {"severity": found.severity, "sentence": found.sentence}
    return bool(Finding.objects.filter(pk=standing.pk, overridden_by=None).update(**said))


# --- after the rules have changed ------------------------------------------------------------------------------------


def request_look(*, by: User) -> None:
    """Have the worker look at all held studies again; the ledger keeps who asked for it."""
    with transaction.atomic():
        audit.record(by, "look again", "quality rules", key="held studies")
        bell.ring("reconciliation.tasks.look_again", "")


def look_at_all() -> int:
    """Ask the rules about every held study again, in batches; how many have other findings now. What is mapped or
    cleared keeps the findings that it was decided with, and is only let back or kept apart. One bad study never stops
    it."""
    given, changed, last = policy.rules(), 0, None
    while True:
        rows = Study.objects.filter(state__in=LOOKED_AT).order_by("pk")
        keys = list((rows.filter(pk__gt=last) if last else rows).values_list("pk", flat=True)[:AT_ONCE])
        if not keys:
            return changed
        for key in keys:
            changed += look_at(key, given)
        last = keys[-1]


def look_at(key, given: list[rules.Rule]) -> bool:
    """Ask these rules about one study again; whether it has other findings now, or is kept apart otherwise."""
    try:
        study = Study.objects.get(pk=key)
        decision = decide(study, given)
        with transaction.atomic():
            now = Study.objects.select_for_update().get(pk=key)
            if now.state not in LOOKED_AT or now.version != study.version:
                return False  # decided, or more came: it was looked at with that
            if changed := (put if now.state == Study.State.HELD else _keep_apart)(now, decision):
                detail = {"findings": sorted(found.code for found in decision.found)}
                audit.record(audit.PORTAL, "inspect again", now, detail=detail)
            return changed
    except Exception:
        log.exception("Study %s could not be looked at again", key)
        return False


def _several_patients(study: Study) -> None:
    """A disc with several patients: the finding stands on every study of it, earlier and later ones."""
    together = Study.objects.filter(submission=study.submission_id)
    people = set(together.values_list("patient_id", "patient_name", "patient_birth_date"))
    if len(people) < 2:
        return
    for one in together.filter(state__in=[Study.State.RECEIVING, Study.State.HELD]):
        find(one, "several_patients", Finding.Severity.OVERRIDE, SEVERAL_PATIENTS.format(count=len(people)))
