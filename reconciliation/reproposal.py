"""Re-proposal: which held studies a change of patients or orders could touch, and which are proposed anew next.

Every study keeps the keys under which it looked for candidates and the candidates that it found. A change touches
the studies that share a key with it: those that may find it now, and those that had found it before.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from orders.models import Order, Patient
from policies.rules import blocking
from reconciliation.models import Lookout, Study, StudyKey

MARGIN = timedelta(seconds=30)  # longer than any transaction that changes a patient or an order
EVERY = timedelta(days=1)  # each held study is looked at so often whatever happens: nothing is missed for long
A_MINUTE = 200  # studies proposed anew in one sweep
FLOOD = 5_000  # changes in one sweep from which on every held study is touched, without looking at each
BATCH = 500
LONGEST = StudyKey._meta.get_field("key").max_length


def keys_asked(study: Study, patients: Iterable[Patient]) -> set[str]:
    """What a study asked for, and whom it found."""
    asked = blocking.telling(blocking.asked(study.patient_name, study.patient_birth_date))
    asked |= {f"i{value}" for value in [study.patient_id] if value}
    return {key[:LONGEST] for key in asked} | {_found(patient.pk) for patient in patients}


def keys_told(patient: Patient) -> set[str]:
    """Under what a patient is found now, and by whom they were found before."""
    told = blocking.telling(blocking.keys(patient.name, patient.birth_date_da))
    told |= {f"i{one.value}" for one in (*patient.identifiers.all(), *patient.cross_references.all())}
    return {key[:LONGEST] for key in told} | {_found(patient.pk)}


def _found(key) -> str:
    return f"={key.hex}"


def remember(study: Study, keys: set[str]) -> None:
    """Keep what the study asked for; only what is new or gone is written. Call it in the transaction."""
    kept = set(study.keys.values_list("key", flat=True))
    if gone := kept - keys:
        study.keys.filter(key__in=gone).delete()
    StudyKey.objects.bulk_create([StudyKey(study=study, key=key) for key in sorted(keys - kept)])


def look_out() -> int:
    """Touch the held studies that changes since the last look could concern; the number of studies touched.

    What is committed late may carry a time before the last look: the last half minute is looked through again.
    """
    now = timezone.now()
    with transaction.atomic():
        last, _ = Lookout.objects.select_for_update().get_or_create(pk=1, defaults={"through": now - EVERY})
        touched = _touch(since=last.through, now=now)
        Lookout.objects.filter(pk=1).update(through=max(last.through, now - MARGIN))
    return touched


def _touch(*, since: datetime, now: datetime) -> int:
    held = Study.objects.filter(state=Study.State.HELD)
    orders = Order.objects.filter(changed_at__gte=since)
    changed = set(orders.values_list("patient", flat=True)[: FLOOD + 1])
    changed |= set(Patient.objects.filter(changed_at__gte=since).values_list("pk", flat=True)[: FLOOD + 1])
    if len(changed) > FLOOD or orders.count() > FLOOD:
        return held.update(touched_at=now)
    studies = set(held.filter(proposals__order__in=orders.values("pk")).values_list("pk", flat=True))
    keys = set()
    for some in _batches(sorted(changed)):
        rows = Patient.objects.filter(pk__in=some).prefetch_related("identifiers", "cross_references")
        keys |= {key for patient in rows for key in keys_told(patient)}
    for some in _batches(sorted(keys)):
        studies |= set(StudyKey.objects.filter(key__in=some).values_list("study", flat=True))
    return sum(held.filter(pk__in=some).update(touched_at=now) for some in _batches(sorted(studies)))


def _batches(rows: list) -> Iterable[list]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def due(*, made_with: str, limit: int = A_MINUTE) -> list[Study]:
    """The held studies to propose anew: those never compared first, then those that were looked at longest ago."""
    rows = _due(made_with).select_related("source")
    return list(rows.order_by(F("proposed_at").asc(nulls_first=True), "received_at", "pk")[:limit])


def is_due(study: Study, *, made_with: str) -> bool:
    return _due(made_with).filter(pk=study.pk).exists()


def _due(made_with: str) -> QuerySet[Study]:
    stale = Q(proposed_at=None) | ~Q(touched_at=None) | ~Q(proposed_with=made_with)
    stale |= Q(proposed_at__lt=timezone.now() - EVERY)
    return Study.objects.filter(stale, state=Study.State.HELD)
