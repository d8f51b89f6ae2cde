"""Four eyes: why one person is not enough for a release, and whose agreement counts.

Two kinds of rules ask: one for the release itself; one for what was overridden on the way to it. The second is met as
soon as one of those who release is somebody who may override and did not do it.
"""

from collections.abc import Iterable

from policies.models import Destination, Power, User
from reconciliation import permission
from reconciliation.models import Study

TWO = "Policy wants a second person for this release: ask for it, and another person approves it."
OVERRIDDEN = (
    "Something was overridden here, and policy wants a second person to agree to that: one who may override, "
    "and is not who did it."
)


def overriders(study: Study) -> set:
    """The keys of those who overrode a finding of this study, or chose how long it is kept against the proposal."""
    found = study.findings.exclude(overridden_by=None).values_list("overridden_by", flat=True)
    return {*found, study.retention_by_id} - {None}


def why_alone(study: Study, *, to: list[Destination], by: User) -> str:
    """Say why `by` cannot release this to these destinations alone, or ""."""
    if permission.second_person(Power.RELEASE, study, to=to):
        return TWO
    return why_unseen(study, to=to, people=[by])


def why_unseen(study: Study, *, to: list[Destination], people: Iterable[User]) -> str:
    """Say that nobody among these people can agree to what was overridden, or "" where nobody has to."""
    return OVERRIDDEN if wants_overseer(study, to=to) and overseer(study, people) is None else ""


def wants_overseer(study: Study, *, to: list[Destination]) -> bool:
    """Whether something was overridden that policy wants a second person for."""
    return bool(overriders(study)) and permission.second_person(Power.OVERRIDE, study, to=to) is not None


def overseer(study: Study, people: Iterable[User]) -> User | None:
    """Who of them may override this study and overrode nothing of it."""
    did = overriders(study)
    may = (one for one in people if one.pk not in did and not permission.why_not(one, Power.OVERRIDE, study))
    return next(may, None)
