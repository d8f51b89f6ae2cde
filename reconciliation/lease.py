"""The lease: who is at work on a study, since when and until when. It always ends by itself.

Times are the database's, so that two web servers with different clocks agree. Taking a lease that was another
person's raises the study's version: whatever that person still has on screen can no longer be committed.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from policies import audit, clock
from policies.models import Power, User
from policies.problems import Conflict, Denied
from reconciliation import permission
from reconciliation.models import Approval, Study

SEEN = {"new_candidate_at": None, "queued_at": F("received_at")}  # the columns of a study whose candidates were seen
ENDED = {"lease_by": None, "lease_since": None, "lease_until": None}  # the columns of a study that nobody has open
WORKING_POWERS = (Power.RECONCILE, Power.RELEASE, Power.REJECT)


def open_to(by: User) -> Q:
    """Studies on which nobody but `by` holds a live lease."""
    return open_to_nobody() | Q(lease_by=by)


def open_to_nobody() -> Q:
    """Studies on which nobody holds a live lease."""
    return Q(lease_by=None) | Q(lease_until__lte=Now())


def holder(study: Study) -> User | None:
    """Who holds a live lease, as far as this row knows."""
    return study.lease_by if study.lease_by_id and study.lease_until > timezone.now() else None


def why_not(study: Study, by: User) -> str:
    """Say who else has the study open, or ""."""
    other = holder(study)
    if other is None or other == by:
        return ""
    return f"{other} has this study open since {timezone.localtime(study.lease_since):%H:%M}."


def why_not_take(study: Study, by: User) -> str:
    """Say why `by` cannot work on this study at all, or ""."""
    refusals = [permission.why_not(by, power, study) for power in WORKING_POWERS]
    return "" if "" in refusals else refusals[0]


def take(study: Study, *, by: User, reason: str = "") -> None:
    """Take or renew the lease. Another person's live lease is taken over only with a reason; else `Conflict`."""
    if barred := why_not_take(study, by):
        raise Denied(barred)
    row = Study.objects.filter(pk=study.pk)
    until = {"lease_until": clock.later(settings.LEASE_SECONDS)}
    mine = {"lease_by": by, "lease_since": Now(), **until, **SEEN}
    if (
        row.filter(lease_by=by, lease_until__gt=Now()).update(**until)
        or row.filter(Q(lease_by=None) | Q(lease_by=by)).update(**mine)
        or _take_from(row.filter(lease_until__lte=Now()), study, mine)
        or _take_over(study, by=by, reason=reason, mine=mine)
    ):
        study.refresh_from_db()


@transaction.atomic
def _take_from(rows: QuerySet[Study], study: Study, mine: dict) -> int:
    """Nothing of the study itself changes: what waits for a second person goes on waiting."""
    taken = rows.update(version=F("version") + 1, **mine)
    if taken:
        waiting = Approval.objects.filter(study=study, state=Approval.State.WAITING)
        waiting.filter(version=F("study__version") - 1).update(version=F("version") + 1)
    return taken


def _take_over(study: Study, *, by: User, reason: str, mine: dict) -> int:
    study.refresh_from_db()
    if not reason.strip():
        other = why_not(study, by) or "Somebody else had this study open until now."
        raise Conflict(f"{other} To take it over, say why.")
    with transaction.atomic():
        taken = _take_from(Study.objects.filter(pk=study.pk).exclude(lease_by=by), study, mine)
        if taken:
            audit.record(by, "take over", study, reason=reason, detail={"from": str(study.lease_by)})
    return taken


def give_back(study: Study, *, by: User) -> None:
    """End one's own lease; someone else's stays as it is."""
    Study.objects.filter(pk=study.pk, lease_by=by).update(**ENDED)
