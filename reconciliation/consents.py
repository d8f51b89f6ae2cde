"""Consents as they stand: what policy asks for a study, whether what was recorded holds, what has gone out on it."""

from collections.abc import Iterable
from datetime import date

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from policies import audit
from policies import consent as policy
from policies.models import Destination, LedgerLine, Purpose
from policies.problems import Conflict
from policies.rules import consent as rules
from reconciliation.models import Consent, Delivery, Study

ANEW = "Undo the mapping and record a new one."
ANEW_HERE = "Record a new one on its page."


def facts(study: Study, purpose: str, *, on: date, destination: Destination | None = None) -> rules.Facts:
    """One use of a study: its patient as old as they were on the day of the consent."""
    return rules.Facts(
        direction=rules.OUT if destination and destination.outside else rules.IN,
        source=str(study.source_id),
        destination=str(destination.pk) if destination else "",
        category=study.category,
        intent=study.intent,
        purpose=purpose,
        age=rules.age_on(on, study.local_patient and study.local_patient.birth_date),
    )


def asked(
    study: Study,
    scope: Iterable[str],
    *,
    on: date | None = None,
    destination: Destination | None = None,
    active: list[rules.Rule] | None = None,
) -> dict[str, rules.Decision]:
    """For each purpose what policy says today. `active`: the rules, where they were read already."""
    active, on = policy.active() if active is None else active, on or timezone.localdate()
    return {purpose: rules.decide(active, facts(study, purpose, on=on, destination=destination)) for purpose in scope}


def said(decisions: dict[str, rules.Decision]) -> list[tuple[str, str]]:
    """What is asked for each purpose, in words; purposes of which the same is asked stand together."""
    found: dict[str, list[str]] = {}
    for purpose, decision in decisions.items():
        found.setdefault(rules.said(decision), []).append(str(Purpose(purpose).label))
    return [(", ".join(purposes), sentence) for sentence, purposes in found.items()]


def given(consent: Consent) -> policy.Given:
    """A recorded consent as it was given."""
    columns = {name: getattr(consent, name) for name in policy.Given._fields if name not in ("scope", "scan")}
    return policy.Given(**columns, scope=tuple(consent.scope), scan=consent.scan_id)


def why_not(study: Study, *, destination: Destination | None = None) -> str:
    """Say why the consent of a study does not carry it now (toward this destination), or ""."""
    if study.consent is None:
        return ""
    why = why_over(study.consent, study) if destination is None else _why_not_to(study, destination)
    anew = ANEW_HERE if study.released_at else ANEW
    return f"{why} {anew}" if why else ""


def why_over(consent: Consent, study: Study, active: list[rules.Rule] | None = None) -> str:
    """Say that it was withdrawn, has ended, or that policy is not content with it any more; or ""."""
    if consent.withdrawn_at:
        return why_withdrawn(consent)
    decisions, then = asked(study, consent.scope, on=consent.given_on, active=active), given(consent)
    if ended := policy.why_ended(then, decisions, today=timezone.localdate()):
        return ended
    why = policy.why_insufficient(then, decisions)
    return why and f"The consent does not suffice any more. {why}"


def why_withdrawn(consent: Consent) -> str:
    """Say when it was withdrawn, or ""."""
    if consent.withdrawn_at is None:
        return ""
    return f"The consent was withdrawn on {timezone.localtime(consent.withdrawn_at):%Y-%m-%d}."


def _why_not_to(study: Study, destination: Destination) -> str:
    decisions = asked(study, study.consent.scope, on=study.consent.given_on, destination=destination)
    then = given(study.consent)
    why = policy.why_insufficient(then, decisions) or policy.why_ended(then, decisions, today=timezone.localdate())
    return why and f"Not to {destination}: {why}"


def reusable(study: Study, among: QuerySet[Study]) -> list[Consent]:
    """Consents given for studies of this patient from this source, `among` those one may see, that hold and suffice."""
    if study.local_patient is None:
        return []
    theirs = among.filter(local_patient=study.local_patient_id, source=study.source_id).exclude(consent=None)
    found = Consent.objects.filter(pk__in=theirs.values("consent"), basis__in=policy.BY_A_PERSON, withdrawn_at=None)
    rows = found.select_related("study", "recorded_by", "scan").order_by("-given_on", "-pk")[:20]
    active = policy.active()
    return [one for one in rows if not why_over(one, study, active)]


def get_again(study: Study, key, *, among: QuerySet[Study]) -> Consent:
    """One of the reusable ones by its key, or `Conflict`."""
    found = next((one for one in reusable(study, among) if one.key == key), None)
    if found is None:
        raise Conflict("This consent cannot be used again here any more. Load the page again, and record a new one.")
    return found


def withdrawn_before(study: Study) -> list[LedgerLine]:
    """The withdrawals of earlier consents of a study, each with what had gone out by then; [] while one stands so."""
    if study.consent is None or study.consent.withdrawn_at:
        return []
    return list(audit.history(study).filter(verb="withdraw consent"))


def resting_on(consent: Consent) -> QuerySet[Study]:
    return Study.objects.filter(consent=consent)


def gone_out(consent: Consent, among: QuerySet[Study]) -> list[Delivery]:
    """What went out on the strength of a consent: deliveries with `sent` objects and when the `last` was taken."""
    accepted = Q(instances__accepted=True)
    rows = Delivery.objects.filter(study__in=among.filter(consent=consent).values("pk"))
    counted = rows.annotate(sent=Count("instances", filter=accepted), last=Max("instances__at", filter=accepted))
    return list(counted.filter(sent__gt=0).select_related("study", "destination").order_by("-last", "pk"))
