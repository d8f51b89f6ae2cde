"""Clearance: consent recorded, retention recorded, nothing open that blocks."""

from datetime import date
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from policies import retention
from policies.consent import require_sufficient
from policies.models import Power, RetentionRule, User
from policies.problems import Conflict, Invalid
from reconciliation import gate, lease, permission
from reconciliation.models import Consent, Finding, Study
from reconciliation.workflow import move, why_not


class Given(NamedTuple):
    """A consent as it was given at the desk."""

    basis: str
    evidence: str
    given_by: str = ""
    scope: tuple[str, ...] = ("care",)
    until: date | None = None


def proposed_rule(study: Study) -> RetentionRule | None:
    """The retention rule that policy proposes for a mapped study."""
    return retention.proposed(source=study.source, modalities=study.modalities, intent=study.intent)


def clear(
    study: Study,
    *,
    consent: Given,
    by: User,
    rule: RetentionRule | None = None,
    rule_reason: str = "",
    overrides: dict[str, str] | None = None,
) -> None:
    """Record consent and retention and move on; `overrides` maps the code of a finding to the reason for going on."""
    if refusal := why_not(study, "clear", by):
        raise refusal
    require_sufficient(**consent._asdict() | {"scope": list(consent.scope)}, today=timezone.localdate())
    rule = _rule(study, rule=rule, reason=rule_reason, by=by)
    with transaction.atomic():
        _override(study, overrides or {}, by=by)
        _require_nothing_open(study, by=by)
        now = timezone.now()
        given = Consent.objects.create(
            study=study, recorded_by=by, recorded_at=now, **consent._asdict() | {"scope": list(consent.scope)}
        )
        move(
            study,
            "clear",
            by=by,
            detail={"consent": given.basis, "scope": given.scope, "retention": str(rule), "why": rule_reason},
            consent=given,
            retention=rule,
            retention_reason=rule_reason,
            **lease.ENDED,
        )


def _rule(study: Study, *, rule: RetentionRule | None, reason: str, by: User) -> RetentionRule:
    """The proposed rule, or another one with a reason by someone who may choose it."""
    proposal = proposed_rule(study)
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
    who = " Somebody who may override findings has to clear this study."
    helpless = permission.why_not(by, Power.OVERRIDE, study)
    raise Conflict(f"Not yet clear: {sentences}{who if helpless else ''}")
