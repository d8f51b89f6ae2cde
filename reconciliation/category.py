"""The category of a study: why it is here. Its source says it, and the desk may say otherwise for one study."""

from django.db import transaction
from django.db.models import F

from policies import audit
from policies.models import Category, Power, User
from policies.problems import Conflict, Denied, Invalid
from reconciliation import lease, permission
from reconciliation.models import Study

OPEN = (Study.State.RECEIVING, Study.State.HELD, Study.State.MAPPED)  # what is cleared was cleared for its category


def why_not(study: Study, by: User) -> Denied | Conflict | None:
    """The refusal that `by` would meet, or None."""
    if barred := permission.why_not(by, Power.RECONCILE, study):
        return Denied(barred)
    if study.state not in OPEN:
        return Conflict(f"A study that is {study.get_state_display().lower()} keeps its category.")
    if barred := lease.why_not(study, by):
        return Conflict(barred)
    return None


def assign(study: Study, category: str, *, by: User) -> None:
    """Say what the study is; what hangs on it (retention, consent, authority) is asked anew from then on."""
    if category not in Category.values:
        raise Invalid(f"There is no category '{category}'. Known ones: {', '.join(Category.values)}.")
    if refusal := why_not(study, by):
        raise refusal
    if category == study.category:
        return
    with transaction.atomic():
        here = Study.objects.filter(lease.open_to(by), pk=study.pk, state__in=OPEN, version=study.version)
        if not here.update(category=category, version=F("version") + 1):
            raise Conflict("Somebody else changed this study since you opened it. Look at it again, then decide.")
        audit.record(by, "change category", study, detail={"old": study.category, "new": category})
    study.refresh_from_db()
