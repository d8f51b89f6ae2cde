"""Auto-match: what a source's policy lets the portal map without a person, off unless approved.

Clearance and release stay a person's.
"""

from collections.abc import Collection
from typing import NamedTuple

from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from orders.models import Patient
from policies import audit, domains
from policies.models import MatchingPolicy, Source
from policies.problems import Problem
from policies.rules import matching as rules
from policies.rules.quality import Found, Severity
from reconciliation import gate, lease, mapping, matching
from reconciliation.matching import WORTH, Seen
from reconciliation.models import Mapping, Proposal, Study

A_MINUTE = 200  # studies judged in one sweep
# The levels at which a field agrees for this purpose: a married, swapped or misspelt name is for a person to judge.
WRITTEN = {"same", "collapsed", "particle", "unseparated", "partial"}
AGREES = {"family_name": WRITTEN - {"partial"}, "given_name": WRITTEN, "birth_date": {"same"}}


class Certainty(NamedTuple):
    """What a policy or a draft of one asks for: the least probability, and the distance of the next candidate."""

    probability: float
    margin: float


def due(limit: int = A_MINUTE) -> list[Study]:
    """The held studies that an approved policy may match and was not asked about since anything changed."""
    first = Proposal.objects.filter(study=OuterRef("pk"), rank=1, order__isnull=False, ambiguous=False)
    asked_before = Q(judged_at__gt=F("proposed_at") + matching.MARGIN) & Q(
        judged_at__gt=F("source__matching_policy__approved_at")
    )
    rows = Study.objects.filter(
        lease.open_to_nobody(),
        Exists(first),
        state=Study.State.HELD,
        deidentified=False,
        segregated=False,
        for_a_person=False,
        best_class=rules.Class.STRONG,
        best_score__gte=F("source__matching_policy__least_probability"),
        source__matching_policy__automatic=True,
        source__trust=Source.Trust.NORMAL,
    )
    rows = rows.exclude(asked_before).select_related("source__matching_policy__approved_by")
    return list(rows.order_by(F("judged_at").asc(nulls_first=True), "received_at", "pk")[:limit])


def match(study: Study) -> Mapping | None:
    """Map the study by the policy of its source, or leave it to a person until something changes."""
    policy = MatchingPolicy.objects.select_related("source", "approved_by").get(source=study.source_id)
    asked_at = timezone.now()
    study = Study.objects.select_related("source", "submission").get(pk=study.pk)
    mapped = _mapped(study, policy, matching.look(study))
    Study.objects.filter(pk=study.pk).update(judged_at=asked_at)  # not when it crashed: then it is asked again
    return mapped


def _mapped(study: Study, policy: MatchingPolicy, seen: Seen) -> Mapping | None:
    if why_not(study, policy, seen):
        return None
    order = seen.order(seen.proposals[0].match)
    try:
        return mapping.apply(study, by=audit.PORTAL, intent=policy.intent, order=order, policy=policy)
    except Problem:  # somebody was faster, or what was true a moment ago is not true any more
        return None


def why_not(study: Study, policy: MatchingPolicy, seen: Seen) -> str:
    """Say why a study must be left to a person, or "" when the policy matches it."""
    if not policy.automatic or policy.approved_by_id is None:
        return f"No approved policy matches studies of {policy.source}."
    if policy.source.trust == Source.Trust.QUARANTINE:
        return f"{policy.source} is in quarantine."
    if study.state != Study.State.HELD or study.for_a_person or study.segregated:
        return "A person decides about this study."
    if lease.holder(study):
        return "Somebody has the study open."
    if gate.standing(study):
        return "Findings stand that a person must decide about."
    if uncertain := why_uncertain(study, Certainty(policy.least_probability, policy.least_margin), seen):
        return uncertain
    first = seen.proposals[0].match
    against = mapping.objections(study, patient=seen.patient(first), order=seen.order(first))
    return why_against(against) or gate.why_not_this_patient(study, seen.patient(first).pk)


def why_against(against: list[Found]) -> str:
    """The first objection that a person would have to override, or ""."""
    return next((one.sentence for one in against if one.severity == Severity.OVERRIDE), "")


def why_uncertain(study: Study, asked: Certainty, seen: Seen) -> str:
    """Say why what was found is not certain enough, whoever asks: the policy, or a rehearsal of one; or ""."""
    trusted = domains.known().trusted
    barred = rules.may_match_itself(
        seen.proposals, trusted=trusted, least=asked.probability, deidentified=study.deidentified
    )
    if barred:
        return barred
    first, *others = seen.proposals
    if any(one.level not in AGREES[one.field] for one in first.match.evidence if one.field in AGREES):
        return "Name or birth date are not quite the same."
    if seen.order(first.match) is None:
        return "No open order of the patient fits."
    if _rivals(seen, others, seen.patient(first.match)):
        return "Another patient is plausible too."
    if first.margin < asked.margin:
        return "The next candidate is too near."
    return ""


def _rivals(seen: Seen, others: Collection[rules.Proposal], chosen: Patient) -> list[Patient]:
    """Other patients who could be meant, a contradiction with their own number included."""
    plausible = [one for one in others if one.match.klass in WORTH or _has_number(one.match)]
    return [patient for one in plausible if (patient := seen.patient(one.match)) != chosen]


def _has_number(match: rules.Match) -> bool:
    """Whether the number that came is this candidate's."""
    return any(one.field == "identifier" and one.agreement == rules.Agreement.SAME for one in match.evidence)
