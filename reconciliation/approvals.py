"""Where two must agree: one person asks for a release, a second, different one approves or declines it.

What was asked for is bound to the study as it was then. A change of the study makes it void; somebody who only takes
the study over changes nothing (see `lease`).
"""

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from policies import audit
from policies.models import Destination, Power, User
from policies.problems import Conflict, Denied, Invalid
from reconciliation import four_eyes, lease, permission, release, workflow
from reconciliation.models import Approval, Delivery, Study

State = Approval.State
NOTHING = (
    "Nothing waits for a second person here any more: the study has changed, or somebody decided. Look at it again."
)


def live() -> QuerySet[Approval]:
    """What waits for a second person, of studies that are still as they were."""
    return Approval.objects.filter(state=State.WAITING, version=F("study__version"))


def waiting(study: Study, verb: str = Power.RELEASE) -> Approval | None:
    return live().filter(study=study, verb=verb).select_related("asked_by").first()


def declined(study: Study, verb: str = Power.RELEASE) -> Approval | None:
    """The last answer to what was asked of this mapping, when it was no: whoever asks again has read why."""
    rows = Approval.objects.filter(study=study, verb=verb, asked_at__gte=study.mapping.made_at)
    last = rows.select_related("decided_by").first()
    return last if last and last.state == State.DECLINED else None


def places(row: Approval) -> list[Destination]:
    """Where the study would go."""
    return list(Destination.objects.filter(pk__in=row.what["destinations"]))


def request(study: Study, *, to: list[Destination], by: User) -> Approval | None:
    """Release at once where one person is enough (gives None); where policy wants two, ask for it."""
    if not four_eyes.why_alone(study, to=to, by=by):
        release.release(study, to=to, by=by)
        return None
    return ask(study, to=to, by=by)


def ask(study: Study, *, to: list[Destination], by: User) -> Approval:
    """Ask a second person to release to these destinations; the study is free for them at once."""
    if refusal := workflow.why_not(study, "release", by):
        raise refusal
    to = release.allowed(study, to, by=by)
    if row := waiting(study):
        raise Conflict(f"{row.asked_by} has asked for this already: it waits for a second person.")
    try:
        with transaction.atomic():
            here = Study.objects.filter(lease.open_to(by), pk=study.pk, version=study.version, state=study.state)
            if not here.update(**lease.ENDED):
                raise workflow.overtaken(study, "release", by)
            Approval.objects.filter(study=study, verb=Power.RELEASE, state=State.WAITING).update(state=State.VOID)
            row = Approval.objects.create(
                verb=Power.RELEASE,
                study=study,
                version=study.version,
                what={"destinations": [str(one.pk) for one in to]},
                asked_by=by,
                asked_at=timezone.now(),
            )
            audit.record(by, "ask for release", study, detail={"destinations": [str(one) for one in to]})
    except IntegrityError:
        raise Conflict("Somebody else asked for this in the same moment: it waits for a second person.") from None
    return row


def why_not_second(row: Approval, study: Study, by: User) -> str:
    """Say why `by` cannot be the second person, or ""."""
    if row.asked_by_id == by.pk:
        return "You asked for this yourself: another person must approve it."
    to = places(row)
    barred = (permission.why_not(by, row.verb, study, destination=place) for place in to)
    return next(filter(None, barred), "") or four_eyes.why_unseen(study, to=to, people=[row.asked_by, by])


def approve(study: Study, *, by: User) -> list[Delivery]:
    """Release what the first person asked for; the second one answers for it with them."""
    row = _decidable(study, by)
    to = places(row)
    for place in to:
        if permission.why_not(row.asked_by, row.verb, study, destination=place):
            raise Conflict(f"{row.asked_by} may not release this study any more. Decline it, and release it anew.")
    with transaction.atomic():
        _decide(row, study, State.APPROVED, by=by)
        return release.release(study, to=to, by=by, asked_by=row.asked_by)


def decline(study: Study, *, by: User, reason: str) -> None:
    """Say no, with the reason for the person who asked. The study stays cleared."""
    row = _decidable(study, by)
    if not reason.strip():
        raise Invalid("Say why: the person who asked reads it.")
    with transaction.atomic():
        _decide(row, study, State.DECLINED, by=by, reason=reason.strip())
        lease.give_back(study, by=by)
        audit.record(by, "decline release", study, reason=reason, detail={"asked_by": str(row.asked_by)})


def withdraw(study: Study, *, by: User) -> None:
    """Take back what one asked for oneself."""
    row = waiting(study)
    if row is None:
        raise Conflict(NOTHING)
    if row.asked_by_id != by.pk:
        raise Denied(f"{row.asked_by} asked for this. You can decline it, with a reason.")
    with transaction.atomic():
        _decide(row, study, State.WITHDRAWN, by=by)
        audit.record(by, "withdraw release", study)


def _decidable(study: Study, by: User) -> Approval:
    row = waiting(study)
    if row is None:
        raise Conflict(NOTHING)
    if barred := why_not_second(row, study, by):
        raise Denied(barred)
    return row


def _decide(row: Approval, study: Study, state: str, *, by: User, reason: str = "") -> None:
    """Only one decides, and on what they saw."""
    here = live().filter(pk=row.pk, version=study.version)
    if not here.update(state=state, decided_by=by, decided_at=timezone.now(), reason=reason):
        raise Conflict(NOTHING)
