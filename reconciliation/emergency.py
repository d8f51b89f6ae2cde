"""Emergency access: a person opens one study that is not theirs to see, with a reason; an alarm goes out at once.

It lets them view and reconcile that study for a time, by the database's clock (see `permission`), and waits for
somebody else's review.
"""

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from policies import audit, authority, bell, clock
from policies.models import Power, User
from policies.problems import Conflict, Denied, Invalid
from reconciliation import permission, queue
from reconciliation.models import EmergencyAccess, Study

MOST = 10  # studies that one number may open at a time
NOTHING = "No study has exactly this Study Instance UID, accession number or patient ID."
YOURS = "You may open this study without an emergency: look for it in the queue."


def enter(words: str, *, reason: str, by: User) -> list[EmergencyAccess]:
    """Open what has exactly this number or UID. Who asks in vain is in the ledger too: numbers are not to be tried."""
    authority.require(by, Power.EMERGENCY)
    if not reason.strip():
        raise Invalid("Say why: it is an emergency, and somebody will review it.")
    found = _found(words.strip())
    if len(found) > MOST:
        raise Invalid(f"More than {MOST} studies have this number. Give the accession number or Study Instance UID.")
    theirs = [one for one in found if not permission.why_not(by, Power.RECONCILE, one)]
    barred = [one for one in found if one not in theirs and not permission.why_not(by, Power.EMERGENCY, one)]
    if not barred:
        audit.record(by, "emergency search", "study", reason=reason, detail={"found": len(found)})
        raise Invalid(YOURS if theirs else NOTHING)
    with transaction.atomic():
        opened = [_open(study, reason=reason.strip(), by=by) for study in barred]
    by.__dict__.pop("_opened", None)  # read anew from here on
    return opened


def _found(words: str) -> list[Study]:
    return list(queue.numbered(words).select_related("source")[: MOST + 1]) if words else []


def _open(study: Study, *, reason: str, by: User) -> EmergencyAccess:
    until = clock.later(settings.EMERGENCY_SECONDS)
    access = EmergencyAccess.objects.create(study=study, by=by, reason=reason, opened_at=Now(), until=until)
    access.refresh_from_db()
    audit.record(by, "emergency access", study, reason=reason, detail={"until": access.until.isoformat()})
    bell.ring("reconciliation.tasks.alarm", access.pk)
    return access


def live(study: Study, user: User) -> EmergencyAccess | None:
    """The access by which this person has the study open now, for the sign on the page."""
    if study.pk not in permission.opened(user):
        return None
    return study.emergencies.filter(by=user, until__gt=Now()).order_by("-until").first()


def open_now(user: User) -> QuerySet[EmergencyAccess]:
    """What this person has open in an emergency, for the way back to it."""
    rows = EmergencyAccess.objects.filter(by=user, until__gt=Now(), study__in=permission.opened(user))
    return rows.select_related("study").order_by("-opened_at", "-id")


# --- the alarm -------------------------------------------------------------------------------------------------------


def untold() -> list:
    """Keys of accesses whose alarm is still to be sent."""
    return list(EmergencyAccess.objects.filter(told_at=None).order_by("opened_at").values_list("pk", flat=True))


def alarm(key) -> None:
    """Mail to those whom the settings name. Neither patient nor reason is in it: mails are read by many."""
    rows = EmergencyAccess.objects.filter(pk=key)
    if not rows.filter(told_at=None).update(told_at=timezone.now()):
        return
    access = rows.select_related("by").get()
    text = (
        f"{access.by} ({access.by.username}) opened a study in an emergency.\n"
        f"Study {access.study_id}, until {access.until:%Y-%m-%d %H:%M} UTC.\n"
        "The reason is in the portal: /emergencies/. Please review it there."
    )
    if settings.EMERGENCY_ALARM:
        try:
            send_mail("Emergency access to outside images", text, None, settings.EMERGENCY_ALARM)
        except OSError:  # the sweep tries again
            rows.update(told_at=None)
            raise


# --- the review ------------------------------------------------------------------------------------------------------


def accesses() -> QuerySet[EmergencyAccess]:
    """All of them, newest first."""
    related = ("study__source", "by", "reviewed_by")
    return EmergencyAccess.objects.select_related(*related).order_by("-opened_at", "-id")


def unreviewed() -> int:
    return EmergencyAccess.objects.filter(reviewed_at=None).count()


def why_not_review(access: EmergencyAccess, by: User) -> str:
    """Say why `by` cannot review this access, or ""."""
    if barred := authority.why_not(by, Power.AUDIT):
        return barred
    return "Nobody reviews their own emergency: another person must." if access.by_id == by.pk else ""


def review(access: EmergencyAccess, *, by: User, comment: str) -> None:
    """Somebody else has looked at it, and says what they found."""
    if barred := why_not_review(access, by):
        raise Denied(barred)
    if not comment.strip():
        raise Invalid("Say what you found.")
    with transaction.atomic():
        row = EmergencyAccess.objects.filter(pk=access.pk, reviewed_at=None)
        if not row.update(reviewed_by=by, reviewed_at=timezone.now(), comment=comment.strip()):
            raise Conflict("This access was reviewed already.")
        audit.record(by, "review emergency access", access.study, reason=comment, detail={"access": str(access.pk)})
