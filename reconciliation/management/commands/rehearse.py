"""A draft of a matching policy over past studies: what it would have matched, and where people decided otherwise."""

import json

from django.core.management.base import BaseCommand, CommandError

from policies.models import Source
from reconciliation import rehearsal
from reconciliation.automatic import Certainty
from reconciliation.models import Study


class Command(BaseCommand):
    help = "Run a draft of a matching policy over past studies. Nothing is matched and nothing is written."

    def add_arguments(self, parser):
        parser.add_argument("--source", help="The name of a source. Without it: all of them.")
        parser.add_argument("--probability", type=float, default=0.99, help="Least probability of the best candidate.")
        parser.add_argument("--margin", type=float, default=0.5, help="Least distance of the next candidate.")
        parser.add_argument("--days", type=int, default=365, help="How far back studies were received.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, source, probability, margin, days, **options):
        studies = Study.objects.all()
        if source:
            if not Source.objects.filter(name=source).exists():
                raise CommandError(f"There is no source '{source}'.")
            studies = studies.filter(source__name=source)
        found = rehearsal.rehearse(studies, Certainty(probability, margin), days=days)
        said = as_json(found, source=source or "", days=days)
        self.stdout.write(json.dumps(said) if options["json"] else "\n".join(in_words(found)))


def as_json(found: rehearsal.Rehearsal, *, source: str, days: int) -> dict:
    """Keys and counts; names stay in the portal."""
    cases = [
        {
            "study": str(case.study.pk),
            "address": f"/studies/{case.study.pk}/",
            "differs": case.differs,
            "patient": str(case.patient.pk),
            "order": str(case.order.pk),
        }
        for case in found.cases
    ]
    return {
        "source": source,
        "days": days,
        "probability": found.certainty.probability,
        "margin": found.certainty.margin,
        "studies": found.looked,
        "would_match": len(found.cases),
        "differ": len(found.differing),
        "left": found.number_left,
        "left_because": dict(found.left.most_common()),
        "cases": cases,
        "cannot_know": list(rehearsal.CANNOT_KNOW),
    }


def in_words(found: rehearsal.Rehearsal) -> list[str]:
    lines = [
        f"{found.looked} past studies. Would have matched {len(found.cases)}, "
        f"of which {len(found.differing)} differ from what people decided; would have left {found.number_left}."
    ]
    lines += [f"  differs ({case.differs}): /studies/{case.study.pk}/" for case in found.differing]
    lines += [f"  left {count}: {why}" for why, count in found.left.most_common()]
    return [*lines, *rehearsal.CANNOT_KNOW]
