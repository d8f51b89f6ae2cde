"""Delivery: one released study on its way to one destination. The row is the queue; sending twice does no harm.

The header of each object is made from original, mapping and rules just before it is sent, re-read, and compared with
the plan; the rest is the original's. A difference stops the delivery. When the destination has accepted every object,
the delivery is `sent`; `delivered` is said only with the proof that it asks for, which `commitment` looks for.
"""

import logging
import os
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from policies import audit, bell, clock, reachable
from policies.models import Destination, Power, User
from policies.problems import Conflict
from policies.rules.coercion import Change
from reconciliation import consents, mapping, permission, renaming, stores
from reconciliation.dicom import edit, reread, scu, web
from reconciliation.models import DeliveredInstance, Delivery, Instance, Study
from reconciliation.outcomes import Outcomes, Overtaken
from reconciliation.workflow import move

log = logging.getLogger(__name__)
LONGEST_PAUSE = 3600  # seconds between two attempts at a destination that is down
State = Delivery.State
WAITING = (State.REFUSED, State.QUEUED, State.SENT)


class Different(Exception):
    """What was written differs from what was planned."""


def due() -> list[Delivery]:
    """Deliveries that nobody is at work on and whose time has come, the oldest first."""
    return list(Delivery.objects.filter(_free()).order_by("due_at")[:100])


def _free() -> Q:
    here = Q(state__in=[State.QUEUED, State.SENDING], due_at__lte=Now())
    goes = Q(study__state=Study.State.RELEASED, study__consent__withdrawn_at=None, destination__active=True)
    return clock.unleased() & here & goes


def claim(key) -> Delivery | None:
    """Take a delivery for this worker by compare-and-set; None when it is not due or another worker has it."""
    free = Delivery.objects.filter(_free(), pk=key).values("pk")
    lease_until = clock.later(settings.DELIVERY_LEASE_SECONDS)
    if not Delivery.objects.filter(pk__in=free, attempts=_attempts(key)).update(
        state=State.SENDING, attempts=F("attempts") + 1, lease_until=lease_until
    ):
        return None
    return Delivery.objects.select_related("study__source", "study__submission", "destination", "mapping").get(pk=key)


def _attempts(key):
    """The number of attempts now: the token by which two claims at once are told apart."""
    return Delivery.objects.filter(pk=key).values_list("attempts", flat=True).first()


def send(key) -> None:
    """Send what the destination has not accepted yet, and record what it said to each object."""
    delivery = claim(key)
    if delivery is None:
        return
    try:
        _send(delivery)
    except Overtaken:
        log.warning("Delivery %s was taken over by another worker", delivery.pk)
    except (Different, edit.CannotWrite, scu.Refused) as problem:
        refuse(delivery, str(problem))
    except (scu.Unreachable, OSError) as problem:
        _postpone(delivery, str(problem))
    except Exception:
        log.exception("Delivery %s failed", delivery.pk)
        _postpone(delivery, "The portal could not send this study; its log says why. It will try again.")


def _send(delivery: Delivery) -> None:
    if delivery.study.mapping_id != delivery.mapping_id:
        raise Different("The mapping of this study has changed since it was released. Nothing was sent.")
    changes, renamed = mapping.changes(delivery.mapping), renaming.of(delivery.mapping)
    objects = [_outgoing(one, changes, renamed) for one in outstanding(delivery)]
    outcomes = Outcomes(delivery, {one.key: one.SOPInstanceUID for one in objects})
    try:
        over_its_protocol(delivery.destination, objects, told=outcomes.tell, idle=outcomes.idle)
    finally:
        outcomes.keep()
    left = outstanding(delivery).count()
    if refused := outcomes.refused:
        refuse(delivery, f"{len(refused)} of the objects were refused: {refused[0].sentence}")
    elif left:
        _postpone(delivery, f"{left} objects have no answer yet; they will be sent again.")
    else:
        _finish(delivery)


def over_its_protocol(to: Destination, objects: list[scu.Outgoing], **hears: Callable) -> None:
    """Send by C-STORE or STOW-RS; `hears` is called for each outcome (`told`) and in long waits (`idle`)."""
    scratch = settings.CACHE_DIR / "outgoing"
    scratch.mkdir(parents=True, exist_ok=True)
    if to.protocol == Destination.Protocol.STOW:
        web.send(site(to, to.stow_url), objects, scratch=scratch, **hears)
        return
    scu.send(peer(to), objects, associations=to.associations, scratch=scratch, **hears)


def site(to: Destination, url: str, **waits: float) -> web.Site:
    """Where and as whom we speak DICOMweb to a destination; the secret is in the environment, never in the row."""
    secret = os.environ.get(to.credentials, "") if to.credentials else ""
    if to.credentials and not secret:
        raise scu.Refused(f"The credentials of {to} are not set: the portal's environment has no {to.credentials}.")
    way = {"connect": reachable.connect, "tls": reachable.context() if url.startswith("https") else None}
    return web.Site(url=url, name=to.name, credentials=secret, connections=to.associations, **waits, **way)


def outstanding(delivery: Delivery):
    """The objects of the study that the destination has not accepted yet."""
    accepted = DeliveredInstance.objects.filter(delivery=delivery, accepted=True).values("instance")
    of_study = Instance.objects.filter(series__study=delivery.study_id).exclude(
        pk__in=renaming.of(delivery.mapping).left_out
    )
    return of_study.exclude(pk__in=accepted).order_by("series_id", "pk")


def peer(to: Destination, *, ae_title: str = "", **waits: float) -> scu.Peer:
    """Where and as whom we speak DICOM to a destination."""
    title = ae_title or to.ae_title
    way = {"connect": reachable.connect, "tls": reachable.context() if to.tls else None}
    return scu.Peer(to.host, to.port, title, settings.AE_TITLE, **waits, **way)


def _outgoing(instance: Instance, changes: list[Change], renamed: renaming.Renaming) -> scu.Outgoing:
    original = stores.vault().path(instance.digest)
    return scu.Outgoing(
        key=str(instance.pk),
        SOPClassUID=instance.sop_class_uid,
        SOPInstanceUID=renamed.goes_as(instance),
        TransferSyntaxUID=instance.transfer_syntax_uid,
        original=original,
        made=partial(checked, original, changes, renamed.uids_in(instance)),
    )


def checked(original: Path, changes: list[Change], uids: Mapping[str, str] = edit.NO_UIDS) -> edit.Made:
    """The object as it will be sent, read again and compared; raises `Different` when it is not as planned."""
    made = edit.make(original, changes, uids=uids)
    if found := reread.differences_in_head(original, made, changes, uids=uids):
        raise Different(f"An object was not made as planned, so nothing more was sent. {found[0]}")
    return made


def close(delivery: Delivery, **columns) -> int:
    """End this attempt, unless another worker has the delivery by now."""
    mine = Delivery.objects.filter(
        pk=delivery.pk, attempts=delivery.attempts, looks=delivery.looks, state=delivery.state
    )
    return mine.update(lease_until=None, **columns)


def _finish(delivery: Delivery) -> None:
    """Everything was accepted: that is enough for some destinations, for others the proof is still to come."""
    if delivery.destination.proof == Destination.Proof.NONE:
        arrive(delivery)
        return
    now = timezone.now()
    with transaction.atomic():
        if not close(delivery, state=State.SENT, sent_at=now, due_at=now, looks=0, misses=0, problem=""):
            raise Overtaken
        delivery.instances.exclude(failure=None).update(failure=None)
        audit.record(audit.PORTAL, "delivery sent", delivery.study, detail=where(delivery))
        bell.ring("reconciliation.tasks.prove", delivery.pk)


def arrive(delivery: Delivery) -> None:
    """Say `delivered`, and of the study too when this was the last of its deliveries."""
    with transaction.atomic():
        if not close(delivery, state=State.DELIVERED, delivered_at=timezone.now(), problem=""):
            raise Overtaken
        study = Study.objects.select_for_update().get(pk=delivery.study_id)
        if study.deliveries.exclude(state=State.DELIVERED).exists():
            audit.record(audit.PORTAL, "deliver", study, detail=where(delivery))
        else:
            move(study, "deliver", by=audit.PORTAL, detail={"destination": str(delivery.destination)})


def refuse(delivery: Delivery, problem: str) -> None:
    """Stop until a person acts."""
    with transaction.atomic():
        if close(delivery, state=State.REFUSED, problem=problem):
            audit.record(audit.PORTAL, "delivery refused", delivery.study, reason=problem, detail=where(delivery))


def _postpone(delivery: Delivery, problem: str) -> None:
    close(delivery, state=State.QUEUED, due_at=next_attempt(delivery.attempts), problem=problem)


def next_attempt(attempts: int) -> datetime:
    """Try again after 15 s, 30 s, 1 min ... an hour at most, a little at random so that many do not come at once."""
    pause = min(15 * 2 ** min(attempts - 1, 10), LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311
    return timezone.now() + timedelta(seconds=pause)


def where(delivery: Delivery) -> dict:
    return {"destination": str(delivery.destination), "delivery": str(delivery.pk)}


def why_waiting(delivery: Delivery) -> str:
    """Say why a delivery waits that nothing is wrong with, or ""."""
    if delivery.state in (State.DELIVERED, State.REFUSED):
        return ""
    if delivery.state != State.SENT and (stopped := why_stopped(delivery)):
        return stopped
    if delivery.destination.active:
        return ""
    return f"{delivery.destination} takes no deliveries at present: a manager has switched it off. This one waits."


def why_stopped(delivery: Delivery) -> str:
    """Say that the consent was withdrawn on which it goes, or ""."""
    withdrawn = consents.why_withdrawn(delivery.study.consent)
    return withdrawn and f"{withdrawn} The delivery to {delivery.destination} waits, and nothing more is sent."


def why_not_retry(delivery: Delivery, by: User) -> str:
    """Say why `by` may not have this delivery sent again now, or ""."""
    if delivery.state not in WAITING:
        return f"This delivery is {delivery.get_state_display().lower()}."
    if waiting := why_stopped(delivery) or why_waiting(delivery):
        return waiting
    return permission.why_not(by, Power.RELEASE, delivery.study, destination=delivery.destination)


def retry(delivery: Delivery, *, by: User) -> None:
    """Put a refused or waiting delivery back at the head of the queue; what was accepted is only asked for again."""
    permission.require(by, Power.RELEASE, delivery.study, destination=delivery.destination)
    if why := why_stopped(delivery) or why_waiting(delivery):
        raise Conflict(why)
    with transaction.atomic():
        waiting = Delivery.objects.filter(pk=delivery.pk, state__in=WAITING)
        if not waiting.update(state=State.QUEUED, due_at=timezone.now(), lease_until=None, rounds=0):
            raise Conflict(f"This delivery is {delivery.get_state_display().lower()}; it cannot be sent again now.")
        audit.record(by, "retry delivery", delivery.study, detail=where(delivery))
        bell.ring("reconciliation.tasks.send", delivery.pk)
