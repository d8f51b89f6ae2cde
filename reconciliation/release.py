"""Release and reject: the gate between an outside study and our archive."""

from django.db import transaction
from django.utils import timezone

from policies import bell
from policies.models import Destination, Power, Reason, User
from policies.problems import Conflict, Invalid
from reconciliation import consents, four_eyes, lease, letters, links, permission
from reconciliation.models import Delivery, Study
from reconciliation.workflow import move, undecide, why_not


def allowed(study: Study, to: list[Destination], *, by: User) -> list[Destination]:
    """Each destination once, when this person may release to all of them."""
    to = list(dict.fromkeys(to))
    for destination in to:
        permission.require(by, Power.RELEASE, study, destination=destination)
        if not destination.active:
            raise Invalid(f"{destination} takes no deliveries at present. Choose another destination.")
        if barred := consents.why_not(study, destination=destination):
            raise Conflict(barred)
    if not to:
        raise Invalid("Choose at least one destination.")
    return to


def release(study: Study, *, to: list[Destination], by: User, asked_by: User | None = None) -> list[Delivery]:
    """Open the gate, and put one delivery for each destination in the queue.

    Where policy wants two persons, `asked_by` is the first one: see `approvals`.
    """
    if refusal := why_not(study, "release", by):
        raise refusal
    to = allowed(study, to, by=by)
    first = None if asked_by == by else asked_by
    people = [by, first] if first else [by]
    alone = "" if first else four_eyes.why_alone(study, to=to, by=by)
    if alone := alone or four_eyes.why_unseen(study, to=to, people=people):
        raise Conflict(alone)
    told = {"asked_by": str(first), "asked_by_key": str(first.pk)} if first else {}
    if four_eyes.wants_overseer(study, to=to):
        told["overrides agreed by"] = str(four_eyes.overseer(study, people))
    with transaction.atomic():
        now = timezone.now()
        move(  # asks the gate again; what comes in meanwhile raises the version
            study,
            "release",
            by=by,
            detail={"destinations": [str(one) for one in to], "mapping": str(study.mapping_id)} | told,
            released_by=by,
            released_at=now,
            **lease.ENDED,
        )
        deliveries = [
            Delivery.objects.create(study=study, destination=destination, mapping_id=study.mapping_id, due_at=now)
            for destination in to
        ]
        for delivery in deliveries:
            bell.ring("reconciliation.tasks.send", delivery.pk)
        links.confirm(study, by=by)
    return deliveries


def reject(study: Study, *, reason: Reason, by: User, comment: str = "") -> None:
    """Keep a study out, with a reason code; its bytes stay until retention says otherwise. The sender gets a letter."""
    if not reason.active:
        raise Invalid(f"The reason '{reason}' is no longer in use. Choose another.")
    with transaction.atomic():
        move(
            study,
            "reject",
            by=by,
            reason=f"{reason.sentence} {comment}".strip(),
            detail={"code": reason.code},
            rejected_for=reason,
            **lease.ENDED,
        )
        letters.write(study, reason=reason, by=by)


def reinstate(study: Study, *, by: User, comment: str = "") -> None:
    """Take a rejection back: the study is held again, and everything decided before is decided anew."""
    with transaction.atomic():
        undecided = undecide(study)
        move(study, "reinstate", by=by, reason=comment, rejected_for=None, for_a_person=True, **undecided)
