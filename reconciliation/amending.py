"""Amending: the managers' part of what a mapping writes, and the facts that it is made of, asked about one study."""

from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone

from orders.models import Order, Patient
from policies import coercion as policy
from policies.rules import amendments, coercion
from policies.rules.amendments import Amendment, Decision, Occasion
from reconciliation import local, samples
from reconciliation.models import Study

MANUFACTURER = "imgshare"


class Policy(NamedTuple):
    """The amendments that fit a study, and why the others do not."""

    occasion: Occasion
    decision: Decision

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*coercion.ATTRIBUTES, *amendments.attributes(self.decision.chosen))))

    @property
    def rules(self) -> tuple[coercion.Rule, ...]:
        """Those of RAD-61, and what managers add: before what tells of the change itself, as staff read it."""
        added = amendments.rules(self.decision.chosen, self.occasion)
        told = [rule for rule in coercion.RULES if rule.group == "provenance"]
        return (*(rule for rule in coercion.RULES if rule not in told), *added, *told)

    def warnings(self, facts: coercion.Facts) -> list[str]:
        return amendments.warnings(self.decision.chosen, self.occasion, facts)


def of(study: Study, intent: str, *, given: Iterable[Amendment] | None = None) -> Policy:
    """What is amended in a study; `given`: by these instead of the rules in use."""
    occasion = Occasion(
        source=str(study.source_id),
        source_name=study.source.name,
        category=study.category,
        modalities=tuple(study.modalities),
        intent=intent,
    )
    return under(policy.amendments() if given is None else given, occasion)


def under(given: Iterable[Amendment], occasion: Occasion) -> Policy:
    return Policy(occasion, amendments.decide(given, occasion))


def asks_for_intent() -> bool:
    """Whether what is amended depends on what a study is for."""
    return any(one.intent for one in policy.amendments() if one.active)


def facts(study: Study, patient: Patient | None, order: Order | None, policy: Policy) -> coercion.Facts:
    """What the plan looks at, from the first object of each series; without a patient ours say nothing."""
    incoming = [one.said for one in samples.read(study, policy.attributes)]
    ours = local.facts(order, patient) if patient else coercion.LocalFacts(scheduled=False)
    return coercion.Facts(incoming, ours, _importer(study), study.signed)


def _importer(study: Study) -> coercion.Importer:
    return coercion.Importer(
        manufacturer=MANUFACTURER,
        institution_name=settings.INSTITUTION_NAME,
        station_name=settings.STATION_NAME,
        modifying_system=settings.STATION_NAME,
        source_name=study.institution_name or study.source.name,
        source_issuer=study.source.issuer,
        door=study.submission.door,
        at=timezone.localtime().strftime("%Y%m%d%H%M%S.%f%z"),
    )
