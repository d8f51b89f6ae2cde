"""Clearance: consent recorded, retention recorded, nothing open that blocks. And a new consent where one is over."""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from policies import audit, bell, retention
from policies.consent import Given, holds_until, require_sufficient
from policies.models import Power, RetentionRule, User
from policies.problems import Conflict, Denied, Invalid
from reconciliation import consents, gate, keeping, lease, permission, replay
from reconciliation.models import Consent, Delivery, Finding, Study
from reconciliation.workflow import move, why_not

RELEASED = (Study.State.RELEASED, Study.State.DELIVERED)


def proposed_rule(study: Study) -> RetentionRule | None:
    """The retention rule that policy proposes for a mapped study."""
    return retention.proposed(keeping.facts(study))


def clear(
    study: Study,
    *,
    consent: Given | Consent,
    by: User,
    rule: RetentionRule | None = None,
    rule_reason: str = "",
    overrides: dict[str, str] | None = None,
) -> None:
    """Record consent and retention and move on; `overrides` maps the code of a finding to the reason for going on.

    A consent recorded before may carry this study too, when it is the same patient's and the same source's.
    """
    if refusal := why_not(study, "clear", by):
        raise refusal
    columns = None if isinstance(consent, Consent) else _judged(study, consent)
    proposal = proposed_rule(study)
    rule = _rule(study, proposal, rule=rule, reason=rule_reason, by=by)
    terms = retention.terms(retention.rule_of(rule))
    with transaction.atomic():
        _override(study, overrides or {}, by=by)
        _require_nothing_open(study, by=by)
        replay.note(study, "retention", "quality", "consent")
        given = _taken_again(study, consent) if columns is None else _recorded(study, by=by, **columns)
        move(
            study,
            "clear",
            by=by,
            detail={**_told(given, study), "retention": str(rule), "rule": terms, "why": rule_reason},
            consent=given,
            retention=rule,
            retention_reason=rule_reason,
            retention_by=None if rule == proposal else by,
            retention_terms=terms,
            **lease.ENDED,
        )


def why_not_renew(study: Study, by: User) -> Denied | Conflict | None:
    """The refusal that `by` would meet who records a new consent on a released study, or None."""
    if barred := permission.why_not(by, Power.RECONCILE, study):
        return Denied(barred)
    if study.state not in RELEASED:
        return Conflict(f"A study that is {study.get_state_display().lower()} gets its consent when it is cleared.")
    if not consents.why_over(study.consent, study):
        return Conflict("Its consent stands. A new one is recorded when it was withdrawn or has ended.")
    return None


def renew(study: Study, *, consent: Given | Consent, by: User) -> None:
    """Record a new consent on a study that is past the gate and whose consent is over: what waited for it goes on.

    What has gone out before stays as it is; the consent of before stays recorded, with its withdrawal.
    """
    if refusal := why_not_renew(study, by):
        raise refusal
    columns = None if isinstance(consent, Consent) else _judged(study, consent)
    with transaction.atomic():
        was = study.consent
        replay.note(study, "consent")
        given = _taken_again(study, consent) if columns is None else _recorded(study, by=by, **columns)
        seen = Study.objects.filter(pk=study.pk, version=study.version, state__in=RELEASED, consent=was)
        if not seen.update(consent=given, version=F("version") + 1):
            raise Conflict("Somebody else changed this study since you opened it. Look at it again, then decide.")
        audit.record(by, "consent", study, detail={**_told(given, study), "instead of": str(was.key)})
        for delivery in study.deliveries.filter(state=Delivery.State.QUEUED):
            bell.ring("reconciliation.tasks.send", delivery.pk)
    study.refresh_from_db()


def _judged(study: Study, given: Given) -> dict:
    """The columns of a consent that suffices; it never holds longer than its rules let it."""
    today = timezone.localdate()
    given = given._replace(given_on=given.given_on or today)
    decisions = consents.asked(study, given.scope, on=given.given_on)
    require_sufficient(given, decisions, today=today)
    if given.scan and given.scan.study_id != study.pk:
        raise Invalid("This scanned form was kept for another study.")
    names = dict.fromkeys(decision.rule.name for decision in decisions.values() if decision.rule)
    until = holds_until(given, decisions, today=today)
    return given._asdict() | {"scope": list(given.scope), "until": until, "by_rule": ", ".join(names)[:250]}


def _recorded(study: Study, *, by: User, **columns) -> Consent:
    whose = {"patient_id": study.local_patient_id, "recorded_by": by, "recorded_at": timezone.now()}
    return Consent.objects.create(study=study, **whose, **columns)


def _taken_again(study: Study, consent: Consent) -> Consent:
    """A consent given before, as it is now; `Conflict` or `Invalid` when it cannot carry this study."""
    now = Consent.objects.select_for_update(of=("self",)).select_related("study").get(pk=consent.pk)
    if now not in consents.reusable(study, Study.objects.all()):
        why = consents.why_over(now, study)
        raise Conflict(why or "This consent was given for another patient, or for images of another source.")
    return now


def _told(given: Consent, study: Study) -> dict:
    told = {"consent": given.basis, "scope": given.scope, "rule": given.by_rule, "consent_key": str(given.key)}
    return told | ({"given_for": str(given.study_id)} if given.study_id != study.pk else {})


def _rule(
    study: Study, proposal: RetentionRule | None, *, rule: RetentionRule | None, reason: str, by: User
) -> RetentionRule:
    """The proposed rule, or another one with a reason by someone who may choose it."""
    if rule is None and proposal is None:
        raise Invalid("No retention rule applies to this study. Choose one; a manager can add a rule that applies.")
    if rule is None or rule == proposal:
        return proposal
    permission.require(by, Power.OVERRIDE, study)
    if not rule.active:
        raise Invalid(f"The retention rule {rule} is no longer in use. Choose another.")
    if not reason.strip():
        raise Invalid(f"Policy proposes '{proposal or 'no rule'}'. To keep the study by '{rule}' instead, say why.")
    return rule


def _override(study: Study, overrides: dict[str, str], *, by: User) -> None:
    for code, reason in overrides.items():
        finding = study.findings.filter(code=code).first()
        if finding is None or finding.severity != Finding.Severity.OVERRIDE:
            raise Invalid(f"There is no finding '{code}' on this study that can be overridden.")
        permission.require(by, Power.OVERRIDE, study)
        if not reason.strip():
            raise Invalid(f"Say why to go on although: {finding.sentence}")
        Finding.objects.filter(pk=finding.pk).update(
            overridden_by=by, overridden_at=timezone.now(), override_reason=reason
        )


def _require_nothing_open(study: Study, *, by: User) -> None:
    standing = gate.standing(study)
    if not standing:
        return
    sentences = " ".join(finding.sentence for finding in standing)
    if any(finding.severity == Finding.Severity.BLOCK for finding in standing):
        way = "What blocks must be settled first."
    elif permission.why_not(by, Power.OVERRIDE, study):
        way = "Somebody who may override findings has to clear this study."
    else:
        way = "Write for each of these why it may go on."
    raise Conflict(f"Not yet clear: {sentences} {way}")
