"""Deletion: an approved decision carried out after its grace time, with everything asked again.

The order of steps makes it safe to be killed anywhere; the next sweep goes on where it stood:
the decision is `deleting` and the study `expired`, with the proof written; the journals say what is gone; the bytes go;
the rows go, and the decision is `done`. This is the only code that removes originals or their rows.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from policies import audit
from policies.models import Power
from policies.retention import terms
from policies.rules.retention import TELL
from reconciliation import expiry, permission, rejection_notes, stores, workflow
from reconciliation.dicom.rejection import EXPIRED
from reconciliation.models import Deletion, DeletionProof, DeliveredInstance, Instance, Study, Unreadable

Stage = Deletion.State
BATCH = 500  # originals removed under one lock: intake waits meanwhile
OBJECT = ("series__series_instance_uid", "sop_instance_uid", "sop_class_uid", "digest", "size")


def due() -> list[Deletion]:
    """Decisions whose grace time is over, and those that a worker left half done."""
    over = Q(state=Stage.APPROVED, not_before__lte=timezone.now()) & ~expiry.WAITS
    rows = Deletion.objects.filter(Q(state=Stage.DELETING) | over)
    return list(rows.order_by("not_before", "pk")[:100])


def carry_out(decision: Deletion) -> bool:
    """All steps that are left; whether the study is deleted now. What stands against it ends the decision instead."""
    if decision.state == Stage.APPROVED and not _begin(decision):
        return False
    _journal(decision)
    _remove_bytes(decision)
    return _remove_rows(decision)


# --- asked again -----------------------------------------------------------------------------------------------------


def why_not(decision: Deletion, study: Study) -> str:
    """Say why what was approved must not be carried out now, or ""."""
    item = expiry.of(study)
    if item is None:
        return "It is not due any more."
    if item.barred:
        return item.barred
    if terms(item.rule) != decision.rule:
        return f"It is kept by another rule since: {item.rule.name}."
    if (study.last_viewed_at or decision.approved_at) > decision.approved_at:
        return "Somebody viewed it since the deletion was approved."
    if study.last_arrival_at > decision.approved_at:
        return "More objects came since the deletion was approved."
    people = filter(None, [decision.approved_by, decision.seconded_by])
    return next(filter(None, (permission.why_not(one, Power.DELETE, study) for one in people)), "")


def _begin(decision: Deletion) -> bool:
    """From here on there is no way back: the study is expired, and its proof is written."""
    if expiry.wanting(decision):  # a rule that is newer than the approval: from now on it waits as the others do
        Deletion.objects.filter(pk=decision.pk, state=Stage.APPROVED).update(wants_second=True)
        return False
    with transaction.atomic():
        rows = Study.objects.select_for_update(of=("self",)).select_related(*expiry.RELATED)
        study = rows.get(pk=decision.study_id)
        if barred := why_not(decision, study):
            expiry.end(decision, Stage.STOPPED, by=audit.PORTAL, verb="stop deletion", why=barred)
            return False
        now = timezone.now()
        mine = Deletion.objects.filter(pk=decision.pk, state=Stage.APPROVED)
        if not mine.update(state=Stage.DELETING, begun_at=now):
            return False
        proof = _proof(decision, study, now)
        if decision.rule["outcome"] == TELL:
            said = f"Retention is over by the rule '{decision.rule['name']}': {decision.arithmetic}"
            rejection_notes.write(study, title=EXPIRED, said=said)
        workflow.move(study, "expire", by=audit.PORTAL, reason=decision.reason, detail=_told(decision, proof))
    decision.refresh_from_db()
    return True


def _proof(decision: Deletion, study: Study, now: datetime) -> DeletionProof:
    """Made from the rows, while they are all there."""
    objects = [
        list(one) for one in _instances(study).order_by("series_id", "sop_instance_uid", "pk").values_list(*OBJECT)
    ]
    return DeletionProof.objects.create(
        deletion=decision,
        study=study,
        study_instance_uid=study.study_instance_uid,
        objects_deleted=objects,
        number_of_series=len({one[0] for one in objects}),
        number_of_instances=len(objects),
        size=sum(one[-1] for one in objects),
        digest=digest(objects),
        made_at=now,
    )


def digest(objects: list[list]) -> str:
    """SHA-256 over the objects as the proof lists them."""
    return hashlib.sha256(json.dumps(objects).encode()).hexdigest()


def _told(decision: Deletion, proof: DeletionProof) -> dict:
    return {
        "decision": str(decision.pk),
        "rule": decision.rule["name"],
        "due": str(decision.due_on),
        "approved by": str(decision.approved_by),
        **({"agreed by": str(decision.seconded_by)} if decision.seconded_by else {}),
        "proof": str(proof.pk),
        "digest": proof.digest,
        "instances": proof.number_of_instances,
        "bytes": proof.size,
    }


def _instances(study: Study):
    return Instance.objects.filter(series__study=study)


# --- the steps -------------------------------------------------------------------------------------------------------


def _journal(decision: Deletion) -> None:
    """A lost database is rebuilt from the journals: what is deleted must not come back by it.

    An original that another study has from the very same submission stays in that journal.
    """
    brought = defaultdict(set)
    for submission, name in _instances(decision.study).values_list("submission_id", "digest"):
        brought[submission].add(name)
    for submission, names in brought.items():
        others = _living().filter(submission=submission, digest__in=names)
        gone = names.difference(others.values_list("digest", flat=True))
        stores.journal().delete(str(submission), timezone.now().isoformat(), gone, decision=str(decision.pk))


def _remove_bytes(decision: Deletion) -> None:
    """Pictures, then the originals that nobody else names; what another study shares stays."""
    for names in _batches(decision):
        for name in names:
            _remove_pictures(name)
        with stores.vault().removing():
            stores.vault().remove(set(names) - _shared(names))


def _batches(decision: Deletion) -> Iterator[list[str]]:
    names = sorted(set(_instances(decision.study).values_list("digest", flat=True)))
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]


def _living():
    """Objects of all studies but of those that are deleted: this one, and others on the same way."""
    return Instance.objects.exclude(series__study__state=Study.State.EXPIRED)


def _shared(names: list[str]) -> set[str]:
    others = _living().filter(digest__in=names)
    unreadable = Unreadable.objects.filter(digest__in=names)
    return {*others.values_list("digest", flat=True), *unreadable.values_list("digest", flat=True)}


def _remove_pictures(name: str) -> None:
    for picture in (settings.CACHE_DIR / "pictures" / name[:2]).glob(f"{name}-*"):
        picture.unlink(missing_ok=True)


def _remove_rows(decision: Deletion) -> bool:
    """Series and objects go; the study, its decisions, deliveries and original values stay, and so does the proof."""
    with transaction.atomic():
        now = timezone.now()
        done = {"ended_at": now, "ended_by": audit.PORTAL, "ended_why": decision.reason}
        if not Deletion.objects.select_for_update().filter(pk=decision.pk, state=Stage.DELETING).exists():
            return False  # another worker was faster
        objects = _instances(decision.study)
        DeliveredInstance.objects.filter(instance__in=objects.values("pk")).update(instance=None)
        objects.delete()
        decision.study.series.all().delete()
        Deletion.objects.filter(pk=decision.pk).update(state=Stage.DONE, **done)
        proof = decision.proof
        audit.record(audit.PORTAL, "delete", decision.study, reason=decision.reason, detail=_told(decision, proof))
        if notes := rejection_notes.of_study(decision.study):
            told = {"destinations": [str(one.delivery.destination) for one in notes]}
            audit.record(audit.PORTAL, "archives to tell", decision.study, detail=told)
    decision.refresh_from_db()
    return True
