"""Permission: what a person may do to one study, and to which studies. All its facts are asked about.

The rows that `within` lets through are exactly those for which `why_not` of the same power has nothing to say.
"""

import json

from django.db.models import BooleanField, F, Func, Q, QuerySet, Value
from django.db.models.functions import Now

from policies import authority
from policies.models import Destination, Power, SecondPerson, User
from policies.problems import Denied
from policies.rules.scopes import Limits
from reconciliation.models import EmergencyAccess, Study

IN_AN_EMERGENCY = (Power.VIEW, Power.RECONCILE)


def about(study: Study, **instead) -> dict:
    """The facts of a study as `authority.why_not` asks for them; `instead` are those that it will have."""
    facts = {"source": study.source, "modalities": study.modalities, "intent": study.intent}
    return facts | {"category": study.category} | instead


def why_not(user: User, power: str, study: Study, *, destination: Destination | None = None, **instead) -> str:
    """Say why `user` may not do this to this study, or ""."""
    barred = authority.why_not(user, power, destination=destination, **about(study, **instead))
    return "" if barred and power in IN_AN_EMERGENCY and study.pk in opened(user) else barred


def require(user: User, power: str, study: Study, **more) -> None:
    """Raise `Denied` with the sentence of `why_not`."""
    if barred := why_not(user, power, study, **more):
        raise Denied(barred)


def second_person(power: str, study: Study, *, to: list[Destination] | None = None) -> SecondPerson | None:
    """The rule by which this needs a second person, if there is one; toward any of the destinations is enough."""
    places = to or [None]
    rules = (authority.second_person(power, destination=place, **about(study)) for place in places)
    return next(filter(None, rules), None)


def opened(user: User) -> frozenset:
    """Keys of the studies that this person has open in an emergency; read once for each user object."""
    if not hasattr(user, "_opened"):
        live = EmergencyAccess.objects.filter(by=user, until__gt=Now()).select_related("study__source")
        rows = [one.study for one in live] if authority.held(user, Power.EMERGENCY) else []
        may = (one for one in rows if not authority.why_not(user, Power.EMERGENCY, **about(one)))
        user._opened = frozenset(one.pk for one in may)
    return user._opened


# --- as a condition of the database ----------------------------------------------------------------------------------


def visible(user: User) -> QuerySet[Study]:
    """The studies that this person may view."""
    return within(user, Power.VIEW)


def within(user: User, power: str) -> QuerySet[Study]:
    """The studies over which this person holds a power, whatever the destination."""
    held, undecided = authority.held(user, power), [] if power in authority.DECIDED else [""]
    limited: dict[str, list[Limits]] = {}
    for one in held:
        limited.setdefault(one.modality, []).append(one)
    whole = limited.pop("", [])
    if any(_everything(one) for one in whole):
        return Study.objects.all()
    conditions = [_in_scope(whole, undecided)] if whole else []
    if limited:
        conditions.append(_covered(limited, undecided))
    if keys := opened(user) if power in IN_AN_EMERGENCY else ():
        conditions.append(Q(pk__in=keys))
    seen = Q()
    for one in conditions:
        seen |= one
    return Study.objects.filter(seen) if conditions else Study.objects.none()


def _everything(one: Limits) -> bool:
    """Whether nothing but a modality limits it."""
    return not (one.source or one.intent or one.category)


def _in_scope(limits: list[Limits], undecided: list[str]) -> Q:
    """Whether a study lies within any of these, whatever its modalities. Viewing does not wait for the intent."""
    found = Q(source__in={one.source for one in limits if one.source and not (one.intent or one.category)})
    for one in limits:
        if one.intent or one.category:
            found |= (
                (Q(source=one.source) if one.source else Q())
                & (Q(category=one.category) if one.category else Q())
                & (Q(intent__in=[one.intent, *undecided]) if one.intent else Q())
            )
    return found


def _covered(limited: dict[str, list[Limits]], undecided: list[str]) -> Q:
    """Whether each modality of a study is one that some grant covers for this study."""
    found = Q(_only_of([*limited])) & ~Q(modalities=[])
    for modality, limits in limited.items():
        if not any(_everything(one) for one in limits):
            found &= Q(_only_of([one for one in limited if one != modality])) | _in_scope(limits, undecided)
    return found


def _only_of(modalities: list[str]) -> "OnlyOf":
    return OnlyOf(F("modalities"), Value(json.dumps(modalities)))


class OnlyOf(Func):
    """Whether a JSON list names nothing but the texts of another one."""

    output_field = BooleanField()

    def as_sqlite(self, compiler, connection, **context):
        lists = "SELECT 1 FROM json_each(%(column)s) WHERE value NOT IN (SELECT value FROM json_each(%(those)s))"
        return self._written(f"NOT EXISTS ({lists})", compiler)

    def as_postgresql(self, compiler, connection, **context):
        return self._written("(%(column)s <@ %(those)s::jsonb)", compiler)

    def _written(self, template: str, compiler):
        (column, before), (those, after) = (compiler.compile(one) for one in self.source_expressions)
        return template % {"column": column, "those": those}, (*before, *after)
