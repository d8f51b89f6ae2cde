"""Who may do what to studies of which source, toward which destination. Every page, button, call and verb asks here."""

from typing import NamedTuple

from policies.models import Destination, Grant, Power, Source, User
from policies.problems import Denied

DEEDS = {power: f"{power.value} studies" for power in Power} | {
    Power.AUDIT: "read the ledger",
    Power.ORDER: "create reconciliation orders",
    Power.OVERRIDE: "override findings or change the proposed retention",
    Power.STAGE: "bring in discs and uploads",
    Power.DOWNLOAD: "download images",
    Power.DELETE: "approve that studies are deleted",
    Power.SET_POLICY: "set policy",
    Power.APPROVE_POLICY: "approve policy",
    Power.GRANT: "grant powers to others",
}


class Scope(NamedTuple):
    """Where somebody holds a power: everywhere, or at the sources named."""

    everywhere: bool
    sources: frozenset

    def __bool__(self):
        return self.everywhere or bool(self.sources)

    def __contains__(self, source):
        return self.everywhere or getattr(source, "pk", source) in self.sources


def grants(user: User) -> list[Grant]:
    """The grants of a person's groups, read once for each user object (that is, once a request)."""
    if not hasattr(user, "_grants"):
        user._grants = list(Grant.objects.filter(group__user=user)) if user.is_active else []
    return user._grants


def scope(user: User, power: str) -> Scope:
    """The sources at which `user` holds `power`."""
    held = _holding(user, power)
    return Scope(any(g.source_id is None for g in held), frozenset(g.source_id for g in held if g.source_id))


def why_not(user: User, power: str, *, source: Source | None = None, destination: Destination | None = None) -> str:
    """Say why `user` may not, or "" if they may. Without `source` the question is: anywhere at all?"""
    held, deed = _holding(user, power), DEEDS[power]
    if not held:
        return f"Your role may not {deed}."
    if source is not None:
        held = [grant for grant in held if grant.source_id in (None, source.pk)]
        if not held:
            return f"Your role may not {deed} from {source}."
    if destination is not None and not any(grant.destination_id in (None, destination.pk) for grant in held):
        return f"Your role may not {deed} to {destination}."
    return ""


def _holding(user: User, power: str) -> list[Grant]:
    """The grants that give this power. Any power over studies lets one view them; reading the ledger does not."""
    if power == Power.VIEW:
        return [grant for grant in grants(user) if grant.power != Power.AUDIT]
    return [grant for grant in grants(user) if grant.power == power]


def require(user: User, power: str, *, source: Source | None = None, destination: Destination | None = None) -> None:
    """Raise `Denied` with the sentence of `why_not`."""
    if barred := why_not(user, power, source=source, destination=destination):
        raise Denied(barred)
