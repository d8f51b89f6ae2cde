"""A year of days over a hundred studies of all kinds: what must stay stays, what may go goes, each with its proof."""

import random
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from policies import audit
from policies.models import LedgerLine
from reconciliation import deletion, expiry, inventory, keeping, stores
from reconciliation.models import Consent, Deletion, DeliveredInstance, Delivery, Instance, LegalHold, Study
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

DAYS, STUDIES, LATELY, GRACE, WEEK = 365, 100, 20, 3, 5
# What the rules below say, said once more: days after the start, and whether a look starts them anew.
RULES = {"kept out": (40, False), "reference": (60, True), "read": (90, False)}
KINDS = ["kept out", "reference", "read", "a child", "a person decides", "still held"]
REALLY = timezone.now


class Clock:
    """The portal's clock, which the test turns."""

    def __init__(self, monkeypatch):
        self.at = REALLY() - timedelta(DAYS + 10)
        monkeypatch.setattr(timezone, "now", lambda: self.at)

    def turn(self, days: int) -> None:
        self.at += timedelta(days)


def lay_rules():
    make.rule(name="Children", priority=1, under=18, period="P10D", birthday=40)
    make.rule(name="By a person", priority=2, modality="MR", period="P10D", outcome="decide")
    make.rule(name="Reference", priority=3, intent="reference", period="P60D", clock="viewed", outcome="tell")
    make.rule(name="Read", priority=4, intent="read", period="P90D")
    make.rule(name="Others", priority=5, period="P40D")


def arrive(kind: str) -> Study:
    """A study of this kind, by the real way."""
    if kind in ("kept out", "still held", "a child", "a person decides"):
        said = {"a child": {"PatientBirthDate": "20200229"}, "a person decides": {"Modality": "MR"}}.get(kind, {})
        return make.study("held" if kind == "still held" else "rejected", **said)
    made = make.study("held")
    make.mapping.apply(made, order=make.order(make._seen_before(made)), intent=kind, by=make.user("releaser"))
    for step in (make._clear, make._release, make._deliver):
        step(Study.objects.get(pk=made.pk), None)
    prove(made)
    return Study.objects.get(pk=made.pk)


def prove(study: Study) -> None:
    for one in Instance.objects.filter(series__study=study):
        said = {"sop_instance_uid": one.sop_instance_uid, "accepted": True, "at": timezone.now()}
        DeliveredInstance.objects.create(
            delivery=Delivery.objects.get(study=study), instance=one, committed_at=timezone.now(), **said
        )


class Story:
    """What happened to a study, kept beside the portal: the judge does not ask whom it judges."""

    def __init__(self, study: Study, kind: str, at: datetime):
        self.study, self.kind, self.came = study, kind, at
        self.views, self.holds, self.bound_until = [], [], None

    def over(self, at: datetime) -> bool:
        """Whether its retention was over on that day, by plain counting."""
        if self.kind in ("a child", "a person decides"):
            return False
        days, anew = RULES.get(self.kind, RULES["kept out"])
        views = [view for view in self.views if anew and view <= at]
        return (max([self.came, *views]) + timedelta(days)).date() <= at.date()

    def stays(self, at: datetime) -> bool:
        """Whether something kept it at that time, over or not."""
        held = any(begun <= at and (end is None or at < end) for begun, end in self.holds)
        lately = any(at - timedelta(LATELY) < view <= at for view in self.views)
        return held or lately or bool(self.bound_until and self.bound_until >= at.date())


def happen(chance: random.Random, story: Story, clock: Clock, approver) -> None:
    """What a day may bring for one study."""
    study = story.study
    if chance.random() < 0.004:
        keeping.viewed(Study.objects.get(pk=study.pk))
        story.views.append(clock.at)
    if chance.random() < 0.0015 and not (story.holds and story.holds[-1][1] is None):
        keeping.hold(study=study, reason="Court", by=approver)
        story.holds.append((clock.at, None))
    elif story.holds and story.holds[-1][1] is None and chance.random() < 0.01:
        keeping.lift(LegalHold.objects.get(study=study, lifted_at=None), reason="Settled", by=approver)
        story.holds[-1] = (story.holds[-1][0], clock.at)


def test_a_year_of_days(monkeypatch, settings):
    settings.DELETION_GRACE_SECONDS, settings.VIEWED_LATELY_SECONDS = GRACE * 86400, LATELY * 86400
    chance, clock = random.Random(5), Clock(monkeypatch)
    lay_rules()
    approver, stories, gone = make.approver(), [], {}
    for day in range(DAYS):
        if day % 2 == 0 and len(stories) < STUDIES:
            stories.append(begin(chance, KINDS[len(stories) % len(KINDS)], clock))
        for story in stories:
            if story.study.pk not in gone:
                happen(chance, story, clock, approver)
        if day % WEEK == 0:
            keeping.work_out()
            items = [one for one in expiry.due(expiry.may_be_due(approver)) if not (one.barred or one.alone)]
            expiry.approve_all([one.study for one in items], reason="Retention is over", by=approver)
        for decision in deletion.due():
            deletion.carry_out(decision)
        for key in Study.objects.filter(state="expired").exclude(pk__in=gone).values_list("pk", flat=True):
            gone[key] = clock.at
        clock.turn(1)
    judge(stories, gone, clock)


def begin(chance: random.Random, kind: str, clock: Clock) -> Story:
    story = Story(arrive(kind), kind, clock.at)
    if kind in ("reference", "read") and chance.random() < 0.4:
        story.bound_until = (clock.at + timedelta(chance.randrange(20, 300))).date()
        Consent.objects.filter(study=story.study).update(until=story.bound_until)
    return story


def judge(stories: list[Story], gone: dict, clock: Clock) -> None:
    assert len(stories) == STUDIES
    for story in stories:
        at = gone.get(story.study.pk)
        if at:
            assert story.over(at), f"{story.kind}: deleted on {at} before its day"
            assert not story.stays(at), f"{story.kind}: deleted on {at} though something kept it"
            decision = Deletion.objects.get(study=story.study, state="done")
            assert decision.rule["name"]
            assert decision.approved_by.username == "approver"
            assert decision.proof.number_of_instances == 1
        else:
            assert Instance.objects.filter(series__study=story.study).exists()
            free = all(
                story.over(clock.at - timedelta(n)) and not story.stays(clock.at - timedelta(n))
                for n in range(GRACE + WEEK + 2)
            )
            assert not free, f"{story.kind}: nothing kept it, and it is still here"
    kinds = {story.kind for story in stories if story.study.pk in gone}
    assert kinds == {"kept out", "reference", "read", "still held"}
    kept = {one.digest for one in Instance.objects.all()}
    assert {path.name for path in stores.vault().root.glob("??/??/*")} == kept
    assert audit.verify() == ""
    assert LedgerLine.objects.filter(verb="delete").count() == len(gone)
    assert list(inventory.differences()) == []
