"""A consent is withdrawn: what rests on it goes no further, and what has gone out is shown."""

from django.db import transaction
from django.utils import timezone

from policies import audit
from policies.models import Power, User
from policies.problems import Conflict, Invalid
from reconciliation import consents, permission
from reconciliation.models import Consent, Study
from reconciliation.workflow import MOVES, move, undecide

TO_DO = (
    "Ask these destinations to reject or remove it, and write down whom you asked. "
    "What has arrived is not called back by itself."
)


def why_not(consent: Consent, by: User) -> str:
    """Say why `by` may not record that this consent was withdrawn, or ""."""
    barred = permission.why_not(by, Power.RECONCILE, consent.study)
    return barred or consents.why_withdrawn(consent)


def of(study: Study) -> Consent:
    """The consent that a study rests on, or `Conflict`."""
    if study.consent is None:
        raise Conflict("There is no consent on this study.")
    return study.consent


def withdraw(consent: Consent, *, by: User, reason: str, given_by: str) -> list[Study]:
    """Record that `given_by` withdrew it. Cleared studies are held again, deliveries wait; gives the studies."""
    permission.require(by, Power.RECONCILE, consent.study)
    if not given_by.strip():
        raise Invalid("Say who withdraws the consent.")
    if not reason.strip():
        raise Invalid("Say why the consent is withdrawn, in the words of who withdraws it.")
    with transaction.atomic():
        # Studies first, as everywhere; none of them takes a step meanwhile.
        studies = list(consents.resting_on(consent).select_for_update().order_by("pk"))
        now = {"withdrawn_at": timezone.now(), "withdrawn_by": by}
        said = {"withdrawn_said_by": given_by.strip(), "withdrawn_why": reason.strip()}
        if not Consent.objects.filter(pk=consent.pk, withdrawn_at=None).update(**now, **said):
            raise Conflict("This consent was withdrawn before.")
        consent.refresh_from_db()
        for study in studies:
            _stop(study, consent, by=by)
    return studies


def _stop(study: Study, consent: Consent, *, by: User) -> None:
    gone = consents.gone_out(consent, Study.objects.filter(pk=study.pk))
    detail = {
        "consent": str(consent.key),
        "by": consent.withdrawn_said_by,
        "gone_out": [{"destination": str(one.destination), "objects": one.sent} for one in gone],
    }
    audit.record(by, "withdraw consent", study, reason=consent.withdrawn_why, detail=detail)
    if study.state in MOVES["reopen"].origins:
        move(study, "reopen", by=audit.PORTAL, reason=consents.why_withdrawn(consent), **undecide(study))
