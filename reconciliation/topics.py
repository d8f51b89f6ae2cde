"""What rules decide about a study, topic by topic: facts in, a decision out, by the rules of any day or of a draft."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from policies import coercion as coercion_policy
from policies import consent as consent_policy
from policies import quality as quality_policy
from policies import retention
from policies.models import (
    AssigningAuthority,
    AuthorityAlias,
    CoercionRule,
    ConsentRule,
    Destination,
    Grant,
    MatchingPolicy,
    MatchingWeight,
    Organisation,
    Power,
    Procedure,
    ProcedureRule,
    QualityRule,
    Reason,
    RetentionRule,
    SecondPerson,
    Source,
    SourceSystem,
    StowClient,
)
from policies.rules import amendments, coercion, scopes
from policies.rules import consent as consent_rules
from policies.rules import quality as checks
from policies.rules.matching import Class
from policies.rules.procedures import Outside
from policies.rules.retention import Facts as RetentionFacts
from policies.rules.values import called
from policies.versions import Rules
from reconciliation import amending, consents, keeping, ordering, quality
from reconciliation.models import Study

State = Study.State
BEFORE_RELEASE = (State.RECEIVING, State.HELD, State.MAPPED, State.CLEARED)
Facts = dict[str, Any]
DAYS = ("received", "study_date", "birth_date", "viewed", "reported")


class Line(NamedTuple):
    """An attribute of the objects: as received, as it would be sent, and by which rule; "" where it stays.

    `added`: managers look at it, not RAD-61.
    """

    name: str
    received: str
    sent: str
    by: str
    added: bool = True


class Said(NamedTuple):
    """`key` tells two decisions apart: a rule that is only called otherwise decides the same.

    `passed`: the rules that were asked and did not speak, each with why. `lines`: what is written, attribute by
    attribute, where that is the decision.
    """

    key: str
    words: str
    passed: tuple[tuple[str, str], ...] = ()
    lines: tuple[Line, ...] = ()


class Topic(NamedTuple):
    """`kinds`: the rules that it asks. `states`: in which its decision is still to come. Facts that are kept (see
    `replay`) are JSON. `asked`: what of its rules it looks at, where that tells without a study that all stays."""

    label: str
    kinds: tuple[type[models.Model], ...]
    states: tuple[str, ...]
    facts: Callable[..., Facts]  # of a study, under all of these rules
    decide: Callable[[Facts, Rules, date], Said]
    asked: Callable[[Rules], Any] | None = None


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
    passed = tuple(found.passed_over)
    if found.rule is None:
        return Said("", "", passed)
    words = f"{found.rule.name}: {found.due.sentence}"
    return Said(f"{found.rule.key} {found.due.day} {found.rule.outcome}", words, passed)


# --- the procedure of a generated order ------------------------------------------------------------------------------


def _procedure_facts(study: Study, *among: Rules) -> Facts:
    return ordering.outside(study, *among)._asdict()


def _procedure(facts: Facts, rules: Rules, day: date) -> Said:
    listed = {name: tuple(facts[name]) for name in ("modalities", "body_parts")}
    said = Outside(**{**facts, **listed, "codes": tuple((value, scheme) for value, scheme in facts["codes"])})
    chosen = ordering.proposed_for(said, rules)
    key, words = (str(chosen.procedure.pk), str(chosen.procedure)) if chosen.procedure else ("", "")
    return Said(key, words, tuple((str(line), why) for line, why in chosen.passed))


# --- record quality --------------------------------------------------------------------------------------------------


def _quality_facts(study: Study, *among: Rules) -> Facts:
    """With the attributes that any of these rules asks for."""
    rows = [quality_policy.rule(row) for rules in among for row in rules(QualityRule)]
    record = quality.record(study, checks.asked(rows))
    return {"header": record.header, "series": record.series, "source": record.source}


def _quality(facts: Facts, rules: Rules, day: date) -> Said:
    record = checks.Record(facts["header"], facts["series"], day, facts["source"])
    decision = checks.decide([quality_policy.rule(row) for row in rules(QualityRule)], record)
    key = ", ".join(sorted(f"{one.code} {one.severity}" for one in decision.found))
    passed = tuple((one.rule.code, one.why) for one in decision.passed)
    return Said(key, " ".join(one.sentence for one in decision.found), passed)


# --- consent ---------------------------------------------------------------------------------------------------------


def _consent_facts(study: Study, *among: Rules) -> Facts:
    return asdict(consents.facts(study, "care", on=timezone.localdate()))


def _consent(facts: Facts, rules: Rules, day: date) -> Said:
    """What is asked for when the images are used for care."""
    active = [consent_policy.rule_of(row) for row in rules(ConsentRule) if row.active]
    decision = consent_rules.decide(active, consent_rules.Facts(**facts))
    asked = decision.rule
    key = f"{asked.key} {','.join(sorted(asked.suffices))} {asked.evidence} {asked.period}" if asked else ""
    return Said(key, consent_rules.said(decision), tuple((rule.name, why) for rule, why in decision.passed_over))


# --- matching without a person ---------------------------------------------------------------------------------------


def _matching_facts(study: Study, *among: Rules) -> Facts:
    first = next(iter(study.proposals.all()), None)
    certain = first and first.order_id and first.klass == Class.STRONG and not first.ambiguous
    barred = study.deidentified or study.for_a_person or not certain
    said = {"source": str(study.source_id), "barred": bool(barred)}
    return said | {"probability": first.score if first else 0.0, "margin": first.margin if first else 0.0}


def _matching(facts: Facts, rules: Rules, day: date) -> Said:
    """By the bounds of the source's policy alone: the rehearsal of matching looks at the candidates anew."""
    source = _source(facts["source"], rules)
    trusted = source is None or source.trust != Source.Trust.QUARANTINE
    for policy in rules(MatchingPolicy):
        if str(policy.source_id) == facts["source"] and policy.automatic and trusted and not facts["barred"]:
            enough = facts["probability"] >= policy.least_probability and facts["margin"] >= policy.least_margin
            return Said("automatic", str(_("without a person"))) if enough else Said("", "")
    return Said("", "")


def _matching_asked(rules: Rules) -> list:
    policies = [
        (row.source_id, row.automatic, row.least_probability, row.least_margin) for row in rules(MatchingPolicy)
    ]
    return [policies, {row.pk: row.trust for row in rules(Source)}]


def _source(key: str, rules: Rules) -> Source | None:
    return next((row for row in rules(Source) if str(row.pk) == key), None)


# --- what is written into the objects --------------------------------------------------------------------------------


def _coercion_facts(study: Study, *among: Rules) -> Facts:
    """As it was mapped, or else as its first candidate would make it; the objects are read for all of these rules."""
    given = [one for rules in among for one in coercion_policy.amendments(rules)]
    policy = amending.of(study, study.intent, given=given)
    patient, order = (study.local_patient, study.order) if study.local_patient else _likeliest(study)
    return {
        "source": str(study.source_id),
        "institution": study.institution_name,
        "patient_id": study.patient_id,
        "occasion": policy.occasion,
        "header": amending.facts(study, patient, order, policy),
        "whole": patient is not None,
    }


def _likeliest(study: Study) -> tuple:
    """Patient and order of the first proposal: whose values would win."""
    row = study.proposals.select_related("patient", "order").filter(patient__merged_into=None).first()
    return (row.patient, row.order) if row and row.patient.identifier() else (None, None)


def _coercion(facts: Facts, rules: Rules, day: date) -> Said:
    """What RAD-61 and the rules write; without a patient what the rules alone do, and shown is what they do."""
    source, occasion, header = _source(facts["source"], rules), facts["occasion"], facts["header"]
    if source:
        occasion = occasion._replace(source_name=source.name)
        sender = {"source_name": facts["institution"] or source.name, "source_issuer": source.issuer}
        header = header._replace(importer=replace(header.importer, **sender))
    if source and (prefix := coercion_policy.prefix(source, occasion.category, rules)):
        number = f"{prefix.text.strip()}{facts['patient_id']}"
        line = Line(called("PatientID"), facts["patient_id"], number, prefix.name)
        return Said(f"{number} {prefix.issuer}", f"{line.name}: {number} ({prefix.issuer})", lines=(line,))
    policy = amending.under(coercion_policy.amendments(rules), occasion)
    asked = policy.rules if facts["whole"] else amendments.rules(policy.decision.chosen, occasion)
    lines = tuple(_line(rule, header) for rule in asked)
    warned = policy.warnings(header)
    words = [f"{one.name}: {one.sent or '–'}." for one in lines if one.added and one.by] + warned
    key = json.dumps([[(one.name, one.sent, bool(one.by)) for one in lines], warned])
    return Said(key, " ".join(words), tuple((one.name, why) for one, why in policy.decision.passed), lines)


def _line(rule: coercion.Rule, header: coercion.Facts) -> Line:
    held = dict.fromkeys(_text(each.get(rule.path)) for each in header.incoming)
    decision, added = rule.decide(rule.path, header), rule.group == amendments.GROUP
    sent, by = (_text(decision.new), decision.rule) if decision else ("", "")
    return Line(called(rule.path), " | ".join(filter(None, held)), sent, by, added)


def _text(value: coercion.Value) -> str:
    """As people read it; of a sequence what its items say."""
    if isinstance(value, dict):
        return ", ".join(f"{called(name)} {_text(one)}" for name, one in value.items() if one)
    return " \\ ".join(map(_text, value)) if isinstance(value, list) else str(value or "")


def _coercion_asked(rules: Rules) -> list:
    given = sorted((one for one in coercion_policy.amendments(rules) if one.active), key=repr)
    prefixes = [row for row in rules(CoercionRule) if row.active and row.kind == CoercionRule.Kind.PREFIX]
    said = sorted((str(row.source_id), row.priority, row.name, row.text, row.issuer) for row in prefixes)
    return [given, said, {row.pk: (row.name, row.issuer) for row in rules(Source)}]


# --- where two must agree --------------------------------------------------------------------------------------------


def _second_facts(study: Study, *among: Rules) -> Facts:
    columns = ("modalities", "intent", "category")
    return {"source": str(study.source_id)} | {name: getattr(study, name) for name in columns}


def _second(facts: Facts, rules: Rules, day: date) -> Said:
    """The deeds that need a second person; a release toward each destination by itself."""
    study = scopes.Facts(source=UUID(facts["source"]), modalities=tuple(facts["modalities"]), intent=facts["intent"])
    study = study._replace(category=facts["category"])
    places = [(row.pk, f" → {row.name}") for row in rules(Destination) if row.active] or [(None, "")]
    two, passed = set(), []
    for row in (row for row in rules(SecondPerson) if row.active and row.power != Power.SET_POLICY):
        toward = places if row.power == Power.RELEASE else [(None, "")]
        fits = [where for key, where in toward if scopes.touches(scopes.of(row), study._replace(destination=key))]
        two.update(f"{row.get_power_display()}{where}" for where in fits)
        passed += [] if fits else [(str(row), str(_("It is for other studies.")))]
    return Said(", ".join(sorted(two)), ", ".join(sorted(two)), tuple(passed))


# --- where to --------------------------------------------------------------------------------------------------------


def _no_facts(study: Study, *among: Rules) -> Facts:
    return {}


def _destinations(facts: Facts, rules: Rules, day: date) -> Said:
    offered = sorted((row.name, str(row.pk), row.offered) for row in rules(Destination) if row.active)
    key = " ".join(f"{key}{'+' * ticked}" for _name, key, ticked in offered)
    return Said(key, ", ".join(f"{name} ✓" if ticked else name for name, _key, ticked in offered))


TOPICS: dict[str, Topic] = {
    "retention": Topic(
        _("Retention"), (RetentionRule,), (State.RECEIVING, State.HELD, State.MAPPED), _retention_facts, _retention
    ),
    "procedure": Topic(
        _("Procedure"), (ProcedureRule, Procedure), (State.RECEIVING, State.HELD), _procedure_facts, _procedure
    ),
    "quality": Topic(_("Findings"), (QualityRule,), (State.RECEIVING, State.HELD), _quality_facts, _quality),
    "consent": Topic(_("Consent"), (ConsentRule,), BEFORE_RELEASE, _consent_facts, _consent),
    "matching": Topic(
        _("Matched"), (MatchingPolicy, Source), (State.HELD,), _matching_facts, _matching, _matching_asked
    ),
    "coercion": Topic(
        _("Written into the objects"),
        (CoercionRule, QualityRule, Source),
        (State.RECEIVING, State.HELD),
        _coercion_facts,
        _coercion,
        _coercion_asked,
    ),
    "second": Topic(_("Second person"), (SecondPerson,), BEFORE_RELEASE, _second_facts, _second),
    "destinations": Topic(_("Destinations"), (Destination,), BEFORE_RELEASE, _no_facts, _destinations),
}

# The kinds that no topic asks, each with why no decision about a study would come out otherwise.
SILENT: dict[type[models.Model], str] = {
    Organisation: _("An organisation says whom to ask. No decision about a study hangs on it."),
    StowClient: _("Who may send by DICOMweb is asked at the door. What is here already keeps its source."),
    SourceSystem: _("Further senders are told apart at the door. What is here already keeps its source."),
    AssigningAuthority: _(
        "Candidates are looked for anew once this is in force. Who would be proposed then is not rehearsed."
    ),
    AuthorityAlias: _("Candidates are looked for anew once this is in force. Who would be proposed is not rehearsed."),
    MatchingWeight: _("Candidates are looked for anew once this is in force. Who would be proposed is not rehearsed."),
    Reason: _("A person chooses the reason of a rejection. No decision about a study hangs on it."),
    Grant: _("A grant says who may decide. What is decided about a study does not hang on it."),
}


def asking(kinds: Iterable[type[models.Model]]) -> list[Topic]:
    """The topics whose decisions hang on rules of these kinds."""
    wanted = set(kinds)
    return [topic for topic in TOPICS.values() if wanted.intersection(topic.kinds)]


def why_silent(kind: type[models.Model]) -> str:
    """Say why no decision about a study hangs on rules of this kind, or ""."""
    return "" if asking([kind]) else str(SILENT.get(kind, _("Rules of this kind are not rehearsed.")))
