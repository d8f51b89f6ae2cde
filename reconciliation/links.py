"""Links: outside IDs known to be a patient of ours, by a message, by an index, or since a study was released.

A link proposes and never acts. It is shown with its origin, and ends when the decision that it came from is undone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from django.db import IntegrityError, transaction
from django.utils import timezone

from orders import queries
from orders.models import CrossReference, Patient
from orders.patients import root, touch
from policies import audit, domains
from policies.domains import Domains
from policies.models import Category
from reconciliation.models import Study

NOBODY = "UNKNOWN"  # the issuer of sources that are not known: their numbers may be anybody's
RELEASED = (Study.State.RELEASED, Study.State.DELIVERED)
Origin = CrossReference.Origin
TOLD = {
    Origin.LINK: "linked on {at} by {by}",
    Origin.PIX: "linked: the cross-reference index said so on {at}",
    Origin.DECISION: "linked: confirmed on {at} by {by}",
}


def issuer_of(study: Study, known: Domains) -> str:
    """Who issued the study's patient ID: one that does not say was issued by its source."""
    return known.canonical(study.issuer_of_patient_id or study.source.issuer)


def of_study(study: Study, known: Domains) -> dict:
    """The links of the study's outside ID that stand, by the key of the patient whom they name today; oldest first."""
    found = defaultdict(list)
    for link in _same_number(study, known):
        found[root(link.patient).pk].append(link)
    return dict(found)


def _same_number(study: Study, known: Domains) -> Iterable[CrossReference]:
    if not study.patient_id:
        return []
    issuer = issuer_of(study, known).casefold()
    rows = CrossReference.objects.filter(value=study.patient_id, ended_at=None).select_related("patient")
    return [row for row in rows.order_by("at", "pk") if known.canonical(row.issuer).casefold() == issuer]


def told(link: CrossReference) -> str:
    """Where a link comes from, in words."""
    return TOLD[link.origin].format(at=f"{timezone.localtime(link.at):%Y-%m-%d}", by=link.by)


def holders(study: Study, known: Domains) -> list[Patient]:
    """Our patients who have the study's number from its issuer, under whatever name that issuer is written."""
    if not study.patient_id:
        return []
    same = queries.identified(study.patient_id, issuer_of(study, known), known)
    return list({row.patient_id: row.patient for row in same if row.patient.merged_into_id is None}.values())


def everything(_row) -> bool:
    return True


def why_another(study: Study, patient: Patient, *, counts: Callable[[object], bool] = everything) -> str:
    """Say that the study's number was found to be another patient's before, or "". Only links that `counts` count."""
    known = domains.known()
    if any(one.pk != patient.pk for one in holders(study, known)):
        return f"The number that came with the study is another patient's here, not that of {patient}."
    for link in filter(counts, _same_number(study, known)):
        if root(link.patient) != patient:
            return f"The number that came with the study is another patient's: {told(link)}."
    return ""


def confirm(study: Study, *, by) -> None:
    """The outside ID of a study that is released is its patient's from now on. Call it in the transaction."""
    known = domains.known()
    issuer = issuer_of(study, known)
    if not study.patient_id or study.deidentified or issuer == NOBODY:
        return
    if study.category == Category.TELERADIOLOGY or study.local_patient.apart:  # read for others, never linked
        return
    if study.local_patient in holders(study, known):
        return
    said = {"value": study.patient_id, "issuer": issuer, "origin": Origin.DECISION}
    try:
        with transaction.atomic():
            link = CrossReference.objects.create(patient=study.local_patient, by=str(by), at=timezone.now(), **said)
    except IntegrityError:  # it was confirmed before
        return
    touch(study.local_patient)
    audit.record(by, "link", study.local_patient, detail={"study": str(study.pk), "outside_id": str(link)})


def withdraw(study: Study) -> None:
    """End the link that rested on this release, unless another release confirms it. Call it in the transaction."""
    if study.state not in RELEASED or not study.patient_id:
        return
    known = domains.known()
    issuer = issuer_of(study, known)
    same = Study.objects.filter(patient_id=study.patient_id, local_patient=study.local_patient_id, state__in=RELEASED)
    if any(issuer_of(other, known) == issuer for other in same.exclude(pk=study.pk).select_related("source")):
        return
    links = CrossReference.objects.filter(patient=study.local_patient_id, value=study.patient_id, issuer=issuer)
    if links.filter(origin=Origin.DECISION, ended_at=None).update(ended_at=timezone.now()):
        touch(study.local_patient)
        detail = {"study": str(study.pk), "outside_id": f"{study.patient_id} ({issuer})"}
        audit.record(audit.PORTAL, "unlink", study.local_patient, detail=detail)
