"""What rules decide about a study, topic by topic: facts in, a decision out, by the rules of any day or of a draft."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any, NamedTuple

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from policies import consent as consent_policy
from policies import quality as quality_policy
from policies import retention
from policies.models import (
    ConsentRule,
    Destination,
    MatchingPolicy,
    Procedure,
    ProcedureRule,
    QualityRule,
    RetentionRule,
)
from policies.rules import consent as consent_rules
from policies.rules import quality as checks
from policies.rules.matching import Class
from policies.rules.procedures import Outside
from policies.rules.retention import Facts as RetentionFacts
from policies.versions import Rules
from reconciliation import consents, keeping, ordering, quality
from reconciliation.models import Study

State = Study.State
BEFORE_RELEASE = (State.RECEIVING, State.HELD, State.MAPPED, State.CLEARED)
Facts = dict[str, Any]
DAYS = ("received", "study_date", "birth_date", "viewed", "reported")


class Said(NamedTuple):
    """`key` tells two decisions apart: a rule that is only called otherwise decides the same."""

    key: str
    words: str


NOTHING = Said("", "")


class Topic(NamedTuple):
    """`kinds`: the rules that it asks. `states`: in which its decision is still to come. Facts are kept as JSON."""

    label: str
    kinds: tuple[type[models.Model], ...]
    states: tuple[str, ...]
    facts: Callable[..., Facts]  # of a study, under all of these rules
    decide: Callable[[Facts, Rules, date], Said]


# --- retention -------------------------------------------------------------------------------------------------------


def _retention_facts(study: Study, *among: Rules) -> Facts:
    return {
        name: str(value) if isinstance(value, date) else value for name, value in asdict(keeping.facts(study)).items()
    }


def _retention(facts: Facts, rules: Rules, day: date) -> Said:
    """The rule that wins, and the last day by it."""
    days = {name: date.fromisoformat(facts[name]) if facts[name] else None for name in DAYS}
    said = RetentionFacts(**{**facts, **days, "modalities": tuple(facts["modalities"])})
    found = retention.decide(said, among=retention.rules(rules(RetentionRule)))
    if found.rule is None:
        return NOTHING
    return Said(f"{found.rule.key} {found.due.day} {found.rule.outcome}", f"{found.rule.name}: {found.due.sentence}")


# --- the procedure of a generated order ------------------------------------------------------------------------------


def _procedure_facts(study: Study, *among: Rules) -> Facts:
    return ordering.outside(study, *among)._asdict()


def _procedure(facts: Facts, rules: Rules, day: date) -> Said:
    listed = {name: tuple(facts[name]) for name in ("modalities", "body_parts")}
    said = Outside(**{**facts, **listed, "codes": tuple((value, scheme) for value, scheme in facts["codes"])})
    chosen = ordering.proposed_for(said, rules).procedure
    return Said(str(chosen.pk), str(chosen)) if chosen else NOTHING


# --- record quality --------------------------------------------------------------------------------------------------


def _quality_facts(study: Study, *among: Rules) -> Facts:
    """With the attributes that any of these rules asks for."""
    rows = [quality_policy.rule(row) for rules in among for row in rules(QualityRule)]
    record = quality.record(study, checks.asked(rows))
    return {"header": record.header, "series": record.series, "source": record.source}


def _quality(facts: Facts, rules: Rules, day: date) -> Said:
    record = checks.Record(facts["header"], facts["series"], day, facts["source"])
    found = checks.decide([quality_policy.rule(row) for row in rules(QualityRule)], record).found
    key = ", ".join(sorted(f"{one.code} {one.severity}" for one in found))
    return Said(key[:250], " ".join(one.sentence for one in found))


# --- consent ---------------------------------------------------------------------------------------------------------


def _consent_facts(study: Study, *among: Rules) -> Facts:
    return asdict(consents.facts(study, "care", on=timezone.localdate()))


def _consent(facts: Facts, rules: Rules, day: date) -> Said:
    """What is asked for when the images are used for care."""
    active = [consent_policy.rule_of(row) for row in rules(ConsentRule) if row.active]
    decision = consent_rules.decide(active, consent_rules.Facts(**facts))
    asked = decision.rule
    key = f"{asked.key} {','.join(sorted(asked.suffices))} {asked.evidence} {asked.period}" if asked else ""
    return Said(key[:250], consent_rules.said(decision))


# --- matching without a person ---------------------------------------------------------------------------------------


def _matching_facts(study: Study, *among: Rules) -> Facts:
    first = next(iter(study.proposals.all()), None)
    certain = first and first.order_id and first.klass == Class.STRONG and not first.ambiguous
    barred = study.deidentified or study.for_a_person or not certain
    said = {"source": str(study.source_id), "barred": bool(barred)}
    return said | {"probability": first.score if first else 0.0, "margin": first.margin if first else 0.0}


def _matching(facts: Facts, rules: Rules, day: date) -> Said:
    """By the bounds of the source's policy alone: the rehearsal of matching looks at the candidates anew."""
    for policy in rules(MatchingPolicy):
        if str(policy.source_id) == facts["source"] and policy.automatic and not facts["barred"]:
            enough = facts["probability"] >= policy.least_probability and facts["margin"] >= policy.least_margin
            return Said("automatic", str(_("without a person"))) if enough else NOTHING
    return NOTHING


# --- where to --------------------------------------------------------------------------------------------------------


def _no_facts(study: Study, *among: Rules) -> Facts:
    return {}


def _destinations(facts: Facts, rules: Rules, day: date) -> Said:
    offered = sorted((row.name, str(row.pk), row.offered) for row in rules(Destination) if row.active)
    key = " ".join(f"{key[:8]}{'+' * ticked}" for _name, key, ticked in offered)
    return Said(key[:250], ", ".join(f"{name} ✓" if ticked else name for name, _key, ticked in offered))


TOPICS: dict[str, Topic] = {
    "retention": Topic(
        _("Retention"), (RetentionRule,), (State.RECEIVING, State.HELD, State.MAPPED), _retention_facts, _retention
    ),
    "procedure": Topic(
        _("Procedure"), (ProcedureRule, Procedure), (State.RECEIVING, State.HELD), _procedure_facts, _procedure
    ),
    "quality": Topic(_("Findings"), (QualityRule,), (State.RECEIVING, State.HELD), _quality_facts, _quality),
    "consent": Topic(_("Consent"), (ConsentRule,), BEFORE_RELEASE, _consent_facts, _consent),
    "matching": Topic(_("Matched"), (MatchingPolicy,), (State.HELD,), _matching_facts, _matching),
    "destinations": Topic(_("Destinations"), (Destination,), BEFORE_RELEASE, _no_facts, _destinations),
}
