"""Mapping: the decision which order a study belongs to, and the exact list of attribute changes that follows."""

import hashlib
import json

from django.db import transaction
from django.utils import timezone

from orders import outbound
from orders.models import Order, Patient
from orders.patients import root
from policies import audit
from policies.models import Intent, MatchingPolicy, Power, User
from policies.problems import Conflict, Denied, Invalid
from policies.rules import coercion
from policies.rules import objections as rules
from policies.rules.coercion import Change
from policies.rules.matching import Match
from policies.rules.quality import Found
from reconciliation import (
    amending,
    gate,
    links,
    local,
    matching,
    parts,
    permission,
    prefixing,
    renaming,
    replay,
)
from reconciliation.models import Finding, Mapping, Study
from reconciliation.workflow import move, undecide, why_not


def preview(
    study: Study,
    *,
    order: Order | None = None,
    patient: Patient | None = None,
    intent: str = "",
    policy: amending.Policy | None = None,
) -> list[Change]:
    """The changes that a mapping would make. With an order it is a scheduled import, with a patient alone an
    unscheduled one (IHE RAD-61). `policy`: what managers add, instead of what is in use. Raises `Invalid` or `Conflict`
    when they cannot be made."""
    if order is not None and not order.is_open:
        raise Invalid(f"The order {order} was cancelled. Choose another one.")
    if order is not None and (waiting := outbound.why_waiting(order)):
        raise Conflict(waiting)
    if order is None and patient is None:
        raise Invalid("Choose an order, or a patient for an import without an order.")
    if merged := local.why_not_theirs(Patient.objects.get(pk=(patient or order.patient).pk)):
        raise Invalid(f"{merged} Choose that one.")
    if (patient or order.patient).identifier() is None:
        raise Invalid(
            "This patient has no identifier of ours, so the study could not be filed. Register the patient first."
        )
    if apart := prefixing.why_not(study, patient or order.patient, order):
        raise Conflict(apart)
    policy = policy or amending.of(study, intent)
    known = amending.facts(study, patient or order.patient, order, policy)
    rules = prefixing.unlinked(policy.rules) if (patient or order.patient).apart else policy.rules
    try:
        return coercion.plan(**known._asdict(), rules=rules)
    except ValueError as refusal:
        raise Invalid(str(refusal)) from refusal


def apply(
    study: Study,
    *,
    by: User | str,
    intent: str,
    order: Order | None = None,
    patient: Patient | None = None,
    uids: renaming.Choice = renaming.AS_RECEIVED,
    shown: str = "",
    policy: MatchingPolicy | None = None,
) -> Mapping:
    """Map the study: store the decision with its changes. Nothing is written to any object before it is sent.

    `uids` gives new ones where the old ones cannot stay; only who may override chooses it. `shown` is the `fingerprint`
    of the changes that the person saw; when they would be others by now, `Conflict`. The portal maps by an approved
    `policy` only; the decision is then its approver's.
    """
    if (by == audit.PORTAL) != (policy is not None and policy.approved_by is not None):
        raise Denied("The portal maps a study only by a policy that somebody approved.")
    if refusal := why_not(study, "map", by):
        raise refusal
    if by != audit.PORTAL:
        permission.require(by, Power.RECONCILE, study, intent=intent)
    if uids:
        permission.require(by, Power.OVERRIDE, study, intent=intent)
    patient = _chosen(study, intent=intent, order=order, patient=patient)
    changes, renamed = preview(study, order=order, patient=patient, intent=intent), renaming.plan(study, uids)
    if shown and shown != fingerprint(changes, renamed):
        raise Conflict("What would change is not what you were shown. Choose the candidate again and look at it.")
    match = matching.judge(study, patient=patient, order=order)
    against = _against(study, match, patient, order, intent)
    with transaction.atomic():
        if order and not Order.objects.filter(pk=order.pk, changed_at=order.changed_at).exists():
            raise Conflict("The order has changed meanwhile. Look at it again.")
        Study.objects.select_for_update().get(pk=study.pk)  # a study before its patient, as everywhere
        _require_not_merged(patient)
        mapping = Mapping.objects.create(
            study=study,
            patient=patient,
            order=order,
            intent=intent,
            local=local.as_json(local.facts(order, patient)),
            klass=match.klass,
            evidence=matching.as_json(match.evidence),
            changes=[change.to_json() for change in changes],
            uids=renamed.to_json(),
            made_by=policy.approved_by if policy else by,
            by_policy=said_of(policy) if policy else "",
            made_at=timezone.now(),
        )
        replay.note(study, "procedure", "matching")
        decided = {"mapping": mapping, "local_patient": patient, "order": order, "intent": intent}
        told = _told(study, mapping, match, against)
        move(study, "map", by=by, reason=mapping.by_policy, detail=told, **decided)
        if uids:
            _tell_of_uids(study, uids, renamed, by=by)
        for one in against:
            Finding.objects.create(study=study, code=one.code, severity=one.severity, sentence=one.sentence)
    return mapping


def _tell_of_uids(study: Study, chosen: renaming.Choice, renamed: renaming.Renaming, *, by: User) -> None:
    """Two contents under one UID block no more, for as long as the mapping stands."""
    why = str(renaming.Doubled(chosen.doubled).label) if chosen.doubled else "New UIDs for those that are not valid."
    if chosen.doubled:
        found = study.findings.filter(code=parts.OTHER_CONTENT)
        found.update(overridden_by=by, overridden_at=timezone.now(), override_reason=why)
    audit.record(by, "change UIDs", study, reason=why, detail=renamed.to_json())


def said_of(policy: MatchingPolicy) -> str:
    """A policy as decisions and the ledger name it."""
    on = f"{timezone.localtime(policy.approved_at):%Y-%m-%d}"
    return f"By policy of {policy.source}, approved by {policy.approved_by} on {on}."


def _require_not_merged(patient: Patient) -> None:
    """Asked again where the decision is written: a merge may have come since the patient was looked at."""
    now = Patient.objects.select_for_update(no_key=True).get(pk=patient.pk)
    if merged := local.why_not_theirs(now):
        raise Conflict(f"{merged} Choose that one.")


def _chosen(study: Study, *, intent: str, order: Order | None, patient: Patient | None) -> Patient:
    """Whose the study will be; `Invalid` or `Conflict` when the choice is none, or cannot stand."""
    if intent not in Intent.values:
        raise Invalid("Say whether the study is for reference or to be read here.")
    if order is None and patient is None:
        raise Invalid("Choose an order, or a patient for an import without an order.")
    if order is not None and patient is not None and order.patient_id != patient.pk:
        raise Invalid("This order is another patient's. Choose the patient again.")
    chosen = patient or order.patient
    if barred := prefixing.why_not(study, chosen, order) or gate.why_not_this_patient(study, chosen.pk):
        raise Conflict(barred)
    return chosen


def _told(study: Study, mapping: Mapping, match: Match, against: list[Found]) -> dict:
    """What the ledger keeps of a mapping: the choice, how well it fits, and what speaks against it."""
    return {
        "mapping": str(mapping.pk),
        "patient": str(mapping.patient_id),
        "order": str(mapping.order_id or ""),
        "intent": mapping.intent,
        "match": f"{match.klass} {match.score:.2f}",
        "against": [one.sentence for one in against],
        "incoming": {"patient_id": study.patient_id, "accession_number": study.accession_number},
    }


def objections(study: Study, *, patient: Patient, order: Order | None = None, intent: str = "") -> list[Found]:
    """What speaks against a choice. Once mapped these are findings: to be overridden with a reason, or undone."""
    return _against(study, matching.judge(study, patient=patient, order=order), patient, order, intent)


def _against(study: Study, match: Match, patient: Patient, order: Order | None, intent: str) -> list[Found]:
    others = Study.objects.exclude(state=Study.State.REJECTED).exclude(study_instance_uid=study.study_instance_uid)
    taken = order is not None and others.filter(order=order).exists()
    alike = set(study.proposals.filter(ambiguous=True).values_list("patient", flat=True))
    another = "" if patient.apart else links.why_another(study, patient)
    found = rules.objections(match, taken=taken, alike=len(alike) if patient.pk in alike else 0, another=another)
    return [*found, *_not_amended(study, patient, order, intent)]


def _not_amended(study: Study, patient: Patient, order: Order | None, intent: str) -> list[Found]:
    """What of the managers' policy cannot be done to these objects, as one note."""
    policy = amending.of(study, intent)
    if not policy.decision.chosen or patient.identifier() is None:
        return []
    return rules.not_amended(policy.warnings(amending.facts(study, patient, order, policy)))


def unmap(study: Study, *, by: User, reason: str = "") -> None:
    """Undo the mapping: the study is held again; consent, retention and overrides that hung on it are undone too."""
    with transaction.atomic():
        undecided = undecide(study)
        detail = {"mapping": str(study.mapping_id)}
        move(study, "unmap", by=by, reason=reason, detail=detail, for_a_person=True, **undecided)


def again(study: Study, *, by: User) -> Mapping:
    """Map a study again as it was, to the record that its patient's was merged into, in one step for a person.

    When that is refused after the mapping was undone, the study is held: nothing stays with the old record.
    """
    patient, order, intent = root(study.local_patient), study.order, study.intent
    if patient == study.local_patient:
        raise Conflict("The patient of this study was not merged. Look at it again.")
    if order and (not order.is_open or order.patient_id != patient.pk):
        raise Conflict(f"The order {order} is not an open order of {patient}. Undo the mapping, and choose another.")
    if refusal := why_not(study, "unmap", by):
        raise refusal
    preview(study, order=order, patient=patient, intent=intent)
    unmap(study, by=by, reason=local.why_not_theirs(study.local_patient))
    return apply(study, by=by, intent=intent, order=order, patient=patient)


def changes(mapping: Mapping) -> list[Change]:
    """The stored changes as values."""
    return [Change.from_json(change) for change in mapping.changes]


def fingerprint(changes: list[Change], renamed: renaming.Renaming = renaming.UNCHANGED) -> str:
    """Tells whether two plans change the same; the time of the mapping does not count."""
    said = [*(change.to_json() for change in changes if change.group != "provenance"), renamed.to_json()]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
