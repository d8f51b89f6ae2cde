"""Commitment: the proof that a destination has what it accepted, object by object; only then is a study delivered.

A delivery that was accepted waits here in the state `sent`. The archive is asked to commit itself, its reports are
acted on, and it is asked by query for every object again: whatever the destination's `proof` says. What it has lost
is sent again, a few times; then a person is told.
"""

import logging
from collections import defaultdict
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from policies import audit, bell, clock
from policies.models import Destination
from reconciliation import delivery, renaming, stores
from reconciliation.dicom import commitment, find, scu, web
from reconciliation.models import Commitment, DeliveredInstance, Delivery, Instance, Study

log = logging.getLogger(__name__)
State, Proof = Delivery.State, Destination.Proof

MOST_REQUESTS = 5  # for one sending; then a person is told that the archive does not answer
MOST_MISSES = 3  # counts in a row, some time apart: archives index what they accepted in their own time
MOST_ROUNDS = 3  # of sending again what was lost
SHORTEST_PAUSE, LONGEST_PAUSE = 15, 3600  # seconds
LOST_OR_NEVER = (commitment.NO_SUCH_INSTANCE, *commitment.FOR_GOOD)  # reasons that asking again will not change
AT_ONCE = 500  # keys in one statement


def due() -> list:
    """Keys of the deliveries whose proof can be looked for now, the oldest first."""
    return list(Delivery.objects.filter(_free()).order_by("due_at").values_list("pk", flat=True)[:100])


def _free() -> Q:
    here = Q(state=State.SENT, due_at__lte=Now(), destination__active=True)
    return clock.unleased() & here & Q(study__state=Study.State.RELEASED)


def claim(key) -> Delivery | None:
    """Take a sent delivery for this worker by compare-and-set; None when it is not due or another worker has it."""
    looks = Delivery.objects.filter(pk=key).values_list("looks", flat=True).first()
    free = Delivery.objects.filter(_free(), pk=key).values("pk")
    lease_until = clock.later(settings.DELIVERY_LEASE_SECONDS)
    if not Delivery.objects.filter(pk__in=free, looks=looks).update(looks=F("looks") + 1, lease_until=lease_until):
        return None
    return Delivery.objects.select_related("study__source", "destination", "mapping").get(pk=key)


def prove(key) -> None:
    """Take the next steps toward the proof of one delivery; what cannot be had yet is looked for again later."""
    sent = claim(key)
    if sent is None:
        return
    try:
        _prove(sent)
    except delivery.Overtaken:
        log.warning("Delivery %s was taken over by another worker", sent.pk)
    except scu.Refused as problem:
        delivery.refuse(sent, f"Everything was sent, but there is no proof. {problem}")
    except (scu.Unreachable, OSError) as problem:
        _look_again(sent, problem=str(problem))
    except Exception:
        log.exception("The proof of delivery %s failed", sent.pk)
        _look_again(sent, problem="The portal could not look for the proof; its log says why. It will try again.")


def _prove(sent: Delivery) -> None:
    if sent.destination.proof == Proof.COMMITMENT and not _is_committed(sent):
        return
    if sent.destination.proof != Proof.NONE and not _is_counted(sent):
        return
    delivery.arrive(sent)


def _look_again(sent: Delivery, *, problem: str = "", at: datetime | None = None, **columns) -> None:
    at = at or timezone.now() + timedelta(seconds=_pause(sent.looks))
    delivery.close(sent, due_at=at, problem=problem, **columns)


# --- asking for commitment -------------------------------------------------------------------------------------------


def _is_committed(sent: Delivery) -> bool:
    """Whether the archive has committed itself to every object; if not, the next step toward it has been taken."""
    if not _is_answered(sent):
        if _is_waiting_for_a_report(sent):
            return False
        if (asked := _asked(sent).filter(taken=True).count()) >= MOST_REQUESTS:
            delivery.refuse(sent, _unanswered(sent, asked))
            return False
        _ask(sent)
        if not _is_answered(sent):  # the report has not come on the same association
            if not _is_waiting_for_a_report(sent):
                _look_again(sent)
            return False
    return not _has_failures(sent)


def _is_answered(sent: Delivery) -> bool:
    """Whether every object is committed, or one has failed in a way that asking again will not change."""
    hear()
    open_ones = sent.instances.filter(committed_at=None)
    return not open_ones.exists() or open_ones.filter(failure__in=LOST_OR_NEVER).exists()


def _asked(sent: Delivery):
    """The requests since everything was last accepted, the newest first."""
    return sent.commitments.filter(asked_at__gte=sent.sent_at)


def _is_waiting_for_a_report(sent: Delivery) -> bool:
    """Whether the last request is still open, or was answered in part so lately that it is too early to ask again."""
    taken = _asked(sent).filter(taken=True)
    last = taken.first()
    if last is None:
        return False
    if last.answered_at:
        left = sent.instances.filter(committed_at=None).count()
        until = last.answered_at + timedelta(seconds=_pause(taken.count()))
        problem = f"The archive has not committed itself to {left} of the objects yet; it is asked again."
    else:
        until = last.asked_at + timedelta(seconds=sent.destination.commitment_patience)
        silent = taken.filter(answered_at=None).count() - 1
        problem = f"The archive left {silent} {_requests(silent)} for commitment unanswered." if silent else ""
    if timezone.now() >= until:
        return False
    _look_again(sent, at=until, problem=problem)
    return True


def _pause(times: int) -> float:
    """Seconds after so many tries: 15, 30, 60 ... an hour."""
    return min(SHORTEST_PAUSE * 2 ** min(times - 1, 10), LONGEST_PAUSE)


def _requests(number: int) -> str:
    return "request" if number == 1 else "requests"


def _unanswered(sent: Delivery, asked: int) -> str:
    left = sent.instances.filter(committed_at=None)
    reasons = [commitment.REASONS.get(one, f"0x{one:04X}") for one in left.values_list("failure", flat=True) if one]
    why = f" It says: {reasons[0]}." if reasons else ""
    return (
        f"The archive accepted every object, but has not committed itself to {left.count()} of them "
        f"after {asked} {_requests(asked)}.{why} Ask its administrator, then send again."
    )


def _ask(sent: Delivery) -> None:
    """One request under a Transaction UID of its own. The row comes first: a report may be faster than the answer."""
    rows = sent.instances.filter(committed_at=None).values_list("instance__sop_class_uid", "sop_instance_uid")
    references = [commitment.Reference(*row) for row in rows]
    with transaction.atomic():
        asked = Commitment.objects.create(
            transaction_uid=f"2.25.{uuid4().int}",
            delivery=sent,
            objects_asked=len(references),
            asked_at=timezone.now(),
        )
        audit.record(
            audit.PORTAL,
            "commitment asked",
            sent.study,
            detail={**delivery.where(sent), "transaction": asked.transaction_uid, "objects": len(references)},
        )
    commitment.ask(
        delivery.peer(sent.destination), references, transaction_uid=asked.transaction_uid, keep=stores.reports().keep
    )
    Commitment.objects.filter(pk=asked.pk).update(taken=True)


# --- what archives report --------------------------------------------------------------------------------------------


def hear() -> int:
    """Act on the reports that the doors have kept; the number of them. One bad report never stops the others."""
    done = 0
    for path, report in stores.reports().waiting():
        try:
            _act_on(report)
            path.unlink(missing_ok=True)  # last: one that is acted on twice does no harm
            done += 1
        except Exception:
            log.exception("The report on %s could not be acted on; it is kept", report.TransactionUID)
    return done


def _act_on(report: commitment.Report) -> None:
    with transaction.atomic():
        asked = (
            Commitment.objects.select_for_update(of=("self",))
            .select_related("delivery__destination", "delivery__study__source")
            .filter(transaction_uid=report.TransactionUID)
            .first()
        )
        if asked is None or asked.delivery.destination.ae_title != report.calling_title:
            _not_ours(report, asked)
        elif asked.answered_at:
            log.warning("%s reported on %s a second time", report.calling_title, report.TransactionUID)
        else:
            _take(report, asked)


def _not_ours(report: commitment.Report, asked: Commitment | None) -> None:
    why = "It was asked of another archive." if asked else "Nobody asked for this transaction."
    detail = {"transaction": report.TransactionUID, "address": report.address}
    audit.record(audit.PORTAL, "commitment ignored", "caller", key=report.calling_title, reason=why, detail=detail)


def _take(report: commitment.Report, asked: Commitment) -> None:
    """Note what was said of each object, unless it has been sent again since the archive was asked."""
    told = asked.delivery.instances.filter(accepted=True, at__lte=asked.asked_at, committed_at=None)
    keys = defaultdict(list)
    for uid, key in told.values_list("sop_instance_uid", "pk"):
        keys[uid].append(key)
    failed = {one.SOPInstanceUID: one.FailureReason for one in report.failed}
    good = [key for one in report.committed if one.SOPInstanceUID not in failed for key in keys[one.SOPInstanceUID]]
    _update(good, committed_at=timezone.now(), failure=None)
    for reason in sorted(set(failed.values())):
        _update([key for uid, said in failed.items() if said == reason for key in keys[uid]], failure=reason)
    bad = sum(len(keys[uid]) for uid in failed)
    Commitment.objects.filter(pk=asked.pk).update(
        answered_at=timezone.now(), committed=len(good), failed=bad, taken=True
    )
    _resume(asked.delivery)
    audit.record(
        audit.PORTAL,
        "commitment reported",
        asked.delivery.study,
        detail={
            **delivery.where(asked.delivery),
            "transaction": asked.transaction_uid,
            "asked": asked.objects_asked,
            "committed": len(good),
            "failed": bad,
        },
    )


def _update(keys: list, **columns) -> None:
    for n in range(0, len(keys), AT_ONCE):
        DeliveredInstance.objects.filter(pk__in=keys[n : n + AT_ONCE]).update(**columns)


def _resume(told: Delivery) -> None:
    """Look on at once; also after a person was told, when a late report has brought the last commitment."""
    row = Delivery.objects.filter(pk=told.pk)
    complete = not delivery.outstanding(told).exists() and not told.instances.filter(committed_at=None).exists()
    states = [State.SENT, State.REFUSED] if complete else [State.SENT]
    if row.filter(state__in=states, sent_at__isnull=False).update(state=State.SENT, due_at=timezone.now()):
        bell.ring("reconciliation.tasks.prove", told.pk)


def _has_failures(sent: Delivery) -> bool:
    """Act on what the archive cannot keep: send again what it does not have, tell a person what it never will.

    Any other reason may pass: those objects stay uncommitted, and are asked for again.
    """
    failures = sent.instances.exclude(failure=None)
    if hopeless := failures.filter(failure__in=commitment.FOR_GOOD).first():
        number = failures.filter(failure__in=commitment.FOR_GOOD).count()
        reason = commitment.REASONS[hopeless.failure]
        delivery.refuse(sent, f"The archive accepted {number} of the objects, but will not commit itself: {reason}.")
        return True
    lost = list(failures.filter(failure=commitment.NO_SUCH_INSTANCE).values_list("pk", flat=True))
    if lost:
        _send_again(sent, lost, "The archive accepted this object, and reported that it does not have it.")
    return bool(lost)


# --- counting --------------------------------------------------------------------------------------------------------


def _is_counted(sent: Delivery) -> bool:
    """Whether every object was found at the archive by a query; if not, the next step toward it has been taken."""
    wanted = dict(sent.instances.values_list("pk", "sop_instance_uid"))
    there = found_at(sent, set(wanted.values()))
    missing = [key for key, uid in wanted.items() if uid not in there]
    _update([key for key, uid in wanted.items() if uid in there], counted_at=timezone.now())
    _update(missing, counted_at=None)
    detail = {**delivery.where(sent), "accepted": len(wanted), "found": len(wanted) - len(missing)}
    audit.record(audit.PORTAL, "delivery counted", sent.study, detail=detail)
    if not missing:
        return True
    if sent.misses + 1 < MOST_MISSES:
        few = f"The archive shows {len(wanted) - len(missing)} of {len(wanted)} objects so far; it is asked again."
        _look_again(sent, problem=few, misses=sent.misses + 1)
    else:
        _send_again(sent, missing, "The archive accepted this object, but does not find it.")
    return False


def found_at(sent: Delivery, wanted: set[str]) -> set[str]:
    """The SOP Instance UIDs of the study that the archive shows. Raises scu.Unreachable or scu.Refused."""
    to, renamed = sent.destination, renaming.of(sent.mapping)
    study = renamed.uid(sent.study.study_instance_uid)
    if to.counts_by_web:
        return web.instances(delivery.site(to, to.query_url or to.stow_url), study, wanted=wanted)
    series = Instance.objects.filter(series__study=sent.study_id).values_list("series__series_instance_uid", flat=True)
    return find.instances(delivery.peer(to, ae_title=to.query_ae_title), study, map(renamed.uid, series.distinct()))


def _send_again(sent: Delivery, keys: list, sentence: str) -> None:
    """Put what was lost back into the queue; after MOST_ROUNDS a person is told instead."""
    problem = f"{len(keys)} of the objects were accepted, but are not in the archive"
    if sent.rounds < MOST_ROUNDS:
        verb, problem = "lost objects", f"{problem}; they are sent again."
        due_at = timezone.now() + timedelta(seconds=_pause(sent.rounds + 1))
        columns = {"state": State.QUEUED, "due_at": due_at, "rounds": sent.rounds + 1}
    else:
        verb, problem = "delivery refused", f"{problem}, although they were sent {sent.rounds + 1} times."
        columns = {"state": State.REFUSED}
    with transaction.atomic():
        if not delivery.close(sent, problem=problem, **columns):
            raise delivery.Overtaken
        _update(keys, accepted=False, committed_at=None, counted_at=None, failure=None, sentence=sentence)
        detail = {**delivery.where(sent), "objects": len(keys)}
        audit.record(audit.PORTAL, verb, sent.study, reason=problem, detail=detail)
