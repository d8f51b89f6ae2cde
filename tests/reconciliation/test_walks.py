"""Any walk through the workflow under four eyes: what two persons must do, one alone never achieves."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from policies.models import LedgerLine, Power, SecondPerson
from policies.problems import Problem
from reconciliation import approvals, clearance, lease, mapping, release
from reconciliation.models import Approval, Study
from tests import make

PEOPLE = ("desk", "releaser", "second", "stranger")
who = st.sampled_from(["releaser", "second", *PEOPLE])  # who may go on, more often


class Walks(RuleBasedStateMachine):
    """People try any step at any time; what is refused must change nothing, and the rules hold whatever is not."""

    laid: dict

    def __init__(self):
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.key, self.version = self.laid["study"].pk, self.laid["study"].version

    def teardown(self):
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def attempt(self, deed) -> None:
        before = Study.objects.filter(pk=self.key).values().get()
        lines = LedgerLine.objects.count()
        try:
            with transaction.atomic():
                deed(Study.objects.select_related("source").get(pk=self.key))
        except Problem:
            assert Study.objects.filter(pk=self.key).values().get() == before
            assert LedgerLine.objects.count() == lines

    @rule(by=who)
    def map(self, by):
        self.attempt(lambda one: mapping.apply(one, order=self.laid["order"], intent="read", by=self.laid[by]))

    @rule(by=who)
    def go_on(self, by):
        """The step that leads on: walks get far enough to be worth looking at."""
        study = Study.objects.get(pk=self.key)
        second = self.approve if approvals.waiting(study) else self.ask
        {"held": self.map, "mapped": self.clear, "cleared": second}.get(study.state, self.reinstate)(by)

    @rule(by=who)
    def go_on_as_well(self, by):
        self.go_on(by)

    @rule(by=who)
    def unmap(self, by):
        self.attempt(lambda one: mapping.unmap(one, by=self.laid[by]))

    @rule(by=who)
    def clear(self, by):
        self.attempt(lambda one: clearance.clear(one, consent=make.CONSENT, by=self.laid[by]))

    @rule(by=who)
    def release(self, by):
        self.attempt(lambda one: release.release(one, to=[self.laid["to"]], by=self.laid[by]))

    @rule(by=who)
    def ask(self, by):
        self.attempt(lambda one: approvals.request(one, to=[self.laid["to"]], by=self.laid[by]))

    @rule(by=who)
    def approve(self, by):
        self.attempt(lambda one: approvals.approve(one, by=self.laid[by]))

    @rule(by=who, reason=st.sampled_from(["", "Not yet"]))
    def decline(self, by, reason):
        self.attempt(lambda one: approvals.decline(one, by=self.laid[by], reason=reason))

    @rule(by=who)
    def withdraw(self, by):
        self.attempt(lambda one: approvals.withdraw(one, by=self.laid[by]))

    @rule(by=who)
    def take(self, by):
        self.attempt(lambda one: lease.take(one, by=self.laid[by], reason="My turn"))

    @rule(by=who)
    def reject(self, by):
        self.attempt(lambda one: release.reject(one, reason=self.laid["reason"], by=self.laid[by]))

    @rule(by=who)
    def reinstate(self, by):
        self.attempt(lambda one: release.reinstate(one, by=self.laid[by]))

    @invariant()
    def released_means_two_persons_and_one_set_of_deliveries(self):
        study = Study.objects.get(pk=self.key)
        approved = list(study.approvals.filter(state=Approval.State.APPROVED))
        out = study.state == Study.State.RELEASED
        assert len(approved) == study.deliveries.count() == LedgerLine.objects.filter(verb="release").count() == out
        self.laid["reached"].add(study.state)
        if out:
            assert study.released_by == approved[0].decided_by != approved[0].asked_by
            assert "desk" != study.released_by.username != "stranger"

    @invariant()
    def only_a_cleared_study_waits_and_once(self):
        study = Study.objects.get(pk=self.key)
        assert approvals.live().filter(study=study).count() <= (study.state == Study.State.CLEARED)

    @invariant()
    def versions_only_rise(self):
        now = Study.objects.get(pk=self.key).version
        assert now >= self.version
        self.version = now


@pytest.mark.django_db
def test_no_walk_releases_with_one_person(data_dir):
    SecondPerson.objects.create(power=Power.RELEASE)
    make.rule()
    study = make.study("held")
    people = {name: make.user(name) for name in ("desk", "releaser")}
    people["second"] = make.user("second", group="Releasing officers")
    people["stranger"] = make.user("stranger")
    Walks.laid = people | {"study": study, "order": make.order(), "to": make.destination(), "reason": make.reason()}
    Walks.laid["reached"] = reached = set()

    run_state_machine_as_test(
        Walks,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert reached >= {Study.State.HELD, Study.State.CLEARED, Study.State.RELEASED, Study.State.REJECTED}
