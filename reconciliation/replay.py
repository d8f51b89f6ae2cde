"""What was decided is kept with its facts, and worked out again under the rules of its day."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from policies import versions
from policies.models import PolicyVersion
from reconciliation.models import Decided, Study
from reconciliation.topics import TOPICS, Said

LONGEST = Decided._meta.get_field("key").max_length


def note(study: Study, *names: str) -> None:
    """Keep what the rules say about these topics now, in the transaction of the deed that follows them."""
    at = timezone.now()
    for name in names:
        topic = TOPICS[name]
        facts = topic.facts(study, versions.now)
        said = topic.decide(facts, versions.now, timezone.localdate(at))
        Decided.objects.create(study=study, topic=name, at=at, facts=facts, key=_short(said.key), words=said.words)


def _short(key: str) -> str:
    """A key as it is kept: of a long one its beginning, and a digest that tells it from others that begin so."""
    return key if len(key) <= LONGEST else f"{key[: LONGEST - 17]} {hashlib.sha256(key.encode()).hexdigest()[:16]}"


class Differs(NamedTuple):
    """A decision that comes out otherwise under the rules of its day."""

    decided: Decided
    now: Said


@dataclass
class Replayed:
    """`before`: decisions that are older than the versions, which nothing can be said about."""

    same: int = 0
    before: int = 0
    differing: list[Differs] = field(default_factory=list)


def replay(decisions: QuerySet[Decided] | None = None) -> Replayed:
    """Work out every decision again under the versions of its moment."""
    done = Replayed()
    rows = Decided.objects.all() if decisions is None else decisions
    begun = PolicyVersion.objects.order_by("effective_from").values_list("effective_from", flat=True).first()
    for decided, rules in _with_rules(rows.order_by("at", "id")):
        if begun is None or decided.at < begun:
            done.before += 1
            continue
        topic = TOPICS[decided.topic]
        said = topic.decide(decided.facts, rules, timezone.localdate(decided.at))
        if _short(said.key) == decided.key:
            done.same += 1
        else:
            done.differing.append(Differs(decided, said))
    return done


def _with_rules(rows: QuerySet[Decided]) -> Iterator[tuple[Decided, versions.Rules]]:
    """Each decision with the rules of its moment, which are read anew only when a version came between."""
    changes = list(PolicyVersion.objects.order_by("effective_from").values_list("effective_from", flat=True))
    reached, rules = -1, versions.now
    for decided in rows.select_related("study__source").iterator():
        passed = max(reached, 0)
        while passed < len(changes) and changes[passed] <= decided.at:
            passed += 1
        if passed != reached:
            reached, rules = passed, versions.of(decided.at)
        yield decided, rules
