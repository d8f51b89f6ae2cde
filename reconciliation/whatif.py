"""Rehearsal of any draft: which decisions about past studies, and those held now, would differ. Nothing is written."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import NamedTuple

from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from policies import versions
from policies.drafts import Wanted
from policies.versions import Rules
from reconciliation import queue, topics
from reconciliation.models import Study
from reconciliation.topics import Said, Topic

DAYS = 30
UNTOUCHED = "Nothing that decides about a study is changed by this."
PATIENCE = 10.0  # seconds that a page takes for a rehearsal
A_MOMENT = 2.0  # seconds that saving a rule waits for the warning
SHOWN = 200


class Case(NamedTuple):
    """A study about which a draft would decide otherwise."""

    study: Study
    topic: str
    old: str
    new: str
    open: bool  # whether the decision is still to come


@dataclass
class Found:
    """What a draft would do; `looked` of `total` studies were asked, the newest first."""

    total: int = 0
    looked: int = 0
    silent: str = ""  # why nothing was looked at: no decision hangs on what is changed
    cases: list[Case] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Studies that are held now and would be decided about otherwise."""
        return len({case.study.pk for case in self.cases if case.open})

    @property
    def shown(self) -> list[Case]:
        return self.cases[:SHOWN]

    @property
    def left_out(self) -> int:
        return len(self.cases) - len(self.shown)

    @property
    def cut(self) -> str:
        """Say that not all were looked at, or ""."""
        if self.looked == self.total:
            return ""
        return f"Only the newest {self.looked} of {self.total} studies were looked at in the time given."


def under(wanted: Collection[Wanted], rules: Rules) -> Rules:
    """The rules as they would be with these drafts in force."""

    def drafted(model: type[models.Model]) -> list[models.Model]:
        mine = [one for one in wanted if one.model is model]
        replaced = {one.key for one in mine if one.key}
        new = [versions.built(model, one.key, one.columns) for one in mine if one.columns is not None]
        return [*(row for row in rules(model) if str(row.pk) not in replaced), *new]

    return cache(drafted)


def rehearse(studies: QuerySet[Study], wanted: Collection[Wanted], *, seconds: float | None = None) -> Found:
    """Decide about each study as the rules are, and as they would be; no longer than so many seconds."""
    kinds = {one.model for one in wanted}
    old = cache(lambda model: list(versions.now(model)))
    new = under(wanted, old)
    found, stop = Found(), seconds and time.monotonic() + seconds
    asked = [topic for topic in topics.asking(kinds) if topic.asked is None or topic.asked(old) != topic.asked(new)]
    if not asked:
        found.silent = next(filter(None, map(topics.why_silent, kinds)), UNTOUCHED)
        return found
    found.total = studies.count()
    rows = studies.select_related("source").prefetch_related("proposals").order_by("-received_at", "-id")
    for study in rows.iterator(chunk_size=200):
        if stop and time.monotonic() > stop:
            break
        found.cases += _differing(study, asked, old, new)
        found.looked += 1
    return found


def _differing(study: Study, asked: Iterable[Topic], old: Rules, new: Rules) -> Iterable[Case]:
    today = timezone.localdate()
    for topic in asked:
        facts = topic.facts(study, old, new)
        before, after = topic.decide(facts, old, today), topic.decide(facts, new, today)
        if before.key != after.key:
            told = _told(before, after), _told(after, before)
            yield Case(study, str(topic.label), *told, study.state in topic.states)


def _told(one: Said, other: Said) -> str:
    """A decision in words; where attributes are written, those that are written otherwise."""
    mine, theirs = ({line.name: line for line in said.lines} for said in (one, other))
    lines = [mine.get(name) or line._replace(by="") for name, line in {**theirs, **mine}.items()]
    lines = [line for line in lines if line != theirs.get(line.name)]
    return " ".join(f"{line.name}: {line.sent if line.by else line.received}." for line in lines) or one.words


def effects(request: HttpRequest, wanted: list[Wanted], *, past: bool) -> Found:
    """For the pages of rules: of the studies that this person sees those held now, and with `past` the last month's."""
    counted = Q(state__in=queue.OPEN_STATES)
    if past:
        counted |= Q(received_at__gte=timezone.now() - timedelta(days=DAYS))
    studies = queue.visible_to(request.user).filter(counted)
    return rehearse(studies, wanted, seconds=PATIENCE if past else A_MOMENT)
