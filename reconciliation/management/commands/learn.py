"""Learn the weights of matching from confirmed decisions."""

import json
import random
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from orders.models import Patient
from policies import audit, domains, versions
from policies.models import MatchingWeight
from policies.rules import learning
from policies.rules.fields import NO_SHARES, PERSON, judge_persons
from policies.rules.learning import Learned
from policies.rules.weights import DEFAULT
from reconciliation import matching
from reconciliation.models import Mapping, Study

LEAST = 200  # decisions; fewer say nothing that the literature does not say better
PAIRS = 100  # by chance, for each decision
POOL = 5_000  # patients of whom the pairs are drawn
CONFIRMED = (Study.State.RELEASED, Study.State.DELIVERED)


class Command(BaseCommand):
    help = "Learn how much each field says, from studies that people mapped and released. Only --save writes."

    def add_arguments(self, parser):
        parser.add_argument("--save", action="store_true", help="Use what was learned from now on.")
        parser.add_argument("--least", type=int, default=LEAST, help="Fewest decisions to learn from.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, save, least, **options):
        decisions = list(_decisions())
        if len(decisions) < least:
            raise CommandError(
                f"{len(decisions)} decisions are too few to learn from: {least} are needed. "
                "Release more studies first, or go on with the defaults."
            )
        learned = learning.learn(map(_levels, decisions), _by_chance(decisions))
        if save:
            _save(learned, decisions=len(decisions))
        if options["json"]:
            rows = [asdict(row) for row in learned]
            self.stdout.write(json.dumps({"decisions": len(decisions), "saved": save, "weights": rows}))
            return
        for row in learned:
            m, u = DEFAULT.levels[row.field][row.level]
            self.stdout.write(f"{row.field:14}{row.level:12} m {row.m:9.6f} ({m:g})  u {row.u:9.6f} ({u:g})")
        self.stdout.write(f"From {len(decisions)} decisions{'; in use from now on' if save else '; nothing is saved'}.")


def _decisions():
    """What people chose, and neither undid nor recalled. What a policy chose would teach it its own opinion."""
    rows = Mapping.objects.filter(undone_at=None, by_policy="", study__state__in=CONFIRMED, study__deidentified=False)
    rows = rows.filter(patient__apart=False)  # made from the study itself
    return rows.select_related("study__source").order_by("pk").iterator()


def _levels(decision: Mapping) -> dict[str, str]:
    return {one["field"]: one.get("level", "missing") for one in decision.evidence if one["field"] in PERSON}


def _by_chance(decisions: list[Mapping]):
    """Who was received, against patients drawn by lot. The rivals would not do: they were found for being alike."""
    known, lot = domains.known(), random.Random(len(decisions))  # noqa: S311
    keys = list(Patient.objects.filter(merged_into=None, apart=False).values_list("pk", flat=True))
    pool = Patient.objects.filter(pk__in=lot.sample(keys, min(POOL, len(keys)))).prefetch_related("identifiers")
    people = [(one.pk, matching.person_of(one, known)) for one in pool]
    for decision in decisions:
        who = matching.person(decision.study, known)
        for pk, other in lot.sample(people, min(PAIRS, len(people))):
            if pk != decision.patient_id:
                judged = judge_persons(who, other, DEFAULT, NO_SHARES)
                yield {one.field: one.verdict.level for one in judged}


@transaction.atomic
def _save(learned: list[Learned], *, decisions: int) -> None:
    for row in learned:
        said = {"m": row.m, "u": row.u, "decisions": row.decisions}
        weight, _made = MatchingWeight.objects.update_or_create(field=row.field, level=row.level, defaults=said)
        versions.keep(weight, by=None, why=f"Learned from {decisions} decisions.")
    detail = {"decisions": decisions, "weights": [[row.field, row.level, row.m, row.u] for row in learned]}
    audit.record(audit.PORTAL, "learn", "matching weights", detail=detail)
