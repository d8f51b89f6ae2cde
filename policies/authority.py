"""Who may do what to which studies, toward which destination, when. Every page, button, call and verb asks here."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from policies.models import Category, Destination, Grant, Intent, Power, SecondPerson, Source, User
from policies.problems import Denied
from policies.rules import scopes
from policies.rules.scopes import Facts, Limits

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
    Power.EMERGENCY: "open studies in an emergency",
}
# Any of these over a study lets one view it: nobody works on what they cannot see. The others are not about a study.
VIEWING = frozenset(
    {Power.VIEW, Power.RECONCILE, Power.ORDER, Power.OVERRIDE, Power.RELEASE, Power.REJECT}
    | {Power.SHARE, Power.DOWNLOAD, Power.RECALL, Power.DELETE}
)
# What lets images out, calls them back or destroys them waits until the intent is decided, where a grant is limited
# to one; looking at a study and deciding about it cannot wait for the decision.
DECIDED = frozenset({Power.RELEASE, Power.SHARE, Power.DOWNLOAD, Power.RECALL, Power.DELETE})


class Scope(NamedTuple):
    """Where somebody holds a power: everywhere, or at the sources named."""

    everywhere: bool
    sources: frozenset

    def __bool__(self):
        return self.everywhere or bool(self.sources)

    def __contains__(self, source):
        return self.everywhere or getattr(source, "pk", source) in self.sources

    def over(self, column: str) -> Q:
        """The condition that the source of a row, in this column, lies in it; it may be joined with others by `|`."""
        return Q(pk__isnull=False) if self.everywhere else Q(**{f"{column}__in": self.sources})


def grants(user: User) -> list[Grant]:
    """The grants of a person's groups, of any time, read once for each user object (that is, once a request)."""
    if not hasattr(user, "_grants"):
        user._grants = list(Grant.objects.filter(group__user=user).distinct()) if user.is_active else []
    return user._grants


def in_force(user: User) -> list[Grant]:
    """Those of them that hold today, by the date of the house."""
    today = timezone.localdate()
    return [grant for grant in grants(user) if scopes.of(grant).holds_on(today)]


def held(user: User, power: str) -> list[Limits]:
    """Within which limits `user` holds `power` today, by the date of the house."""
    today = timezone.localdate()
    return [one for one in _ever(user, power) if one.holds_on(today)]


def scope(user: User, power: str, *, whole: bool = False) -> Scope:
    """The sources at which `user` holds `power`: over some of their studies, or over the `whole` of them."""
    found = [one for one in held(user, power) if not whole or not (one.modality or one.intent or one.category)]
    return Scope(any(one.source is None for one in found), frozenset(one.source for one in found if one.source))


def why_not(
    user: User,
    power: str,
    *,
    source: Source | None = None,
    destination: Destination | None = None,
    modalities: Iterable[str] | None = None,
    intent: str | None = None,
    category: str | None = None,
) -> str:
    """Say why `user` may not, or "" if they may. What is not given is not asked: without any, "anywhere at all?".

    `modalities` are all that the study has: each must be covered. `intent` is "" while it is not decided; that bars
    nobody from viewing and deciding, but does from `DECIDED`.
    """
    facts = facts_of(source, destination, modalities, intent, category)
    now, lenient = held(user, power), power not in DECIDED
    limit, left = scopes.bar(now, facts, undecided_is_covered=lenient) if now else ("power", [])
    if not limit:
        return ""
    today = timezone.localdate()
    other = [one for one in _ever(user, power) if not one.holds_on(today)]
    if other and not scopes.bar(other, facts, undecided_is_covered=lenient)[0]:
        return _at_another_time(power, other, today)
    return _sentence(power, limit, left, source, destination, facts)


def require(user: User, power: str, **facts) -> None:
    """Raise `Denied` with the sentence of `why_not`."""
    if barred := why_not(user, power, **facts):
        raise Denied(barred)


def facts_of(source=None, destination=None, modalities=None, intent=None, category=None) -> Facts:
    """What was asked, as values."""
    listed = None if modalities is None else tuple(modalities)
    return Facts(getattr(source, "pk", source), getattr(destination, "pk", destination), listed, intent, category)


def _ever(user: User, power: str) -> list[Limits]:
    """The limits of the grants that give this power at some time."""
    giving = VIEWING if power == Power.VIEW else {power}
    return [scopes.of(grant) for grant in grants(user) if grant.power in giving]


# --- in words --------------------------------------------------------------------------------------------------------


def _at_another_time(power: str, other: list[Limits], today) -> str:
    past = [one.valid_until for one in other if one.began(today)]
    if past:
        return f"Your authority to {DEEDS[power]} ended on {max(past):%Y-%m-%d}."
    return f"Your authority to {DEEDS[power]} begins on {min(one.valid_from for one in other):%Y-%m-%d}."


def _sentence(power: str, limit: str, left: list[Limits], source, destination, facts: Facts) -> str:
    """What limits this role, in a sentence."""
    deed = DEEDS[power]
    if limit == "power":
        return f"Your role may not {deed}."
    if limit == "source":
        return f"Your role may not {deed} from {source}."
    if limit == "destination":
        return f"Your role may not {deed} to {destination}."
    only = sorted({getattr(one, limit) for one in left} - {""})
    if limit == "modality":
        return _only(deed, f"{_either(only)} studies")
    if limit == "category":
        return _only(deed, f"studies of the category {_either([_quoted(Category(one)) for one in only])}")
    undecided = "" if facts.intent else " Nobody has decided yet what this one is for."
    return _only(deed, f"studies with the purpose {_either([_quoted(Intent(one)) for one in only])}") + undecided


def _quoted(choice: Category | Intent) -> str:
    return f"'{choice.label}'"


def _only(deed: str, which: str) -> str:
    said = deed.replace("studies", f"only {which}") if "studies" in deed else f"{deed} only for {which}"
    return f"Your role may {said}."


def _either(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


# --- a second person -------------------------------------------------------------------------------------------------


def second_person(power: str, **facts) -> SecondPerson | None:
    """The rule by which this deed needs a second person who holds the same power, if there is one."""
    asked = facts_of(**facts)
    rules = SecondPerson.objects.filter(power=power, active=True)
    return next((rule for rule in rules if scopes.touches(scopes.of(rule), asked)), None)


# --- passing on ------------------------------------------------------------------------------------------------------


def passes_on(user: User) -> bool:
    """Whether this person may give any power at all to others."""
    give = (one.may_pass_on or one.power == Power.GRANT for one in in_force(user))
    return user.is_active and (user.is_superuser or any(give))


def why_not_pass_on(user: User, grant: Grant, *, taking_back: bool = False) -> str:
    """Say why `user` may not give (or take back) this grant, which need not be saved yet, or "" if they may.

    Who holds `grant` gives any power but that one, within the scope and time of their own; who holds a power that may
    be passed on gives that one, never wider and never longer. Nobody gives to a group of their own.
    """
    if user.is_superuser and user.is_active:
        return ""
    if not passes_on(user):
        return "Your role may not grant powers to others."
    if not taking_back and user.groups.filter(pk=grant.group_id).exists():
        return "Nobody widens their own powers: ask another person to give this to a group that you belong to."
    given, own = scopes.of(grant), in_force(user)
    giving = [one for one in own if one.power == Power.GRANT and grant.power != Power.GRANT]
    passing = [one for one in own if one.power == grant.power and one.may_pass_on]
    if not giving and not passing:
        return f"You may not pass on the power to {DEEDS[grant.power]}."
    if any(scopes.within(given, scopes.of(one)) for one in giving + passing):
        return ""
    return f"You may pass on the power to {DEEDS[grant.power]} only within your own scope and time."


def why_not_regrant(user: User, before: Grant | None, after: Grant | None) -> str:
    """Say why `user` may not make the one grant the other (None: there is none), or ""."""
    barred = before and why_not_pass_on(user, before, taking_back=True)
    return barred or (after and why_not_pass_on(user, after)) or ""
