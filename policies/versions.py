"""Versions of the rules: every change is kept with who, when and why, and any past day can be asked again."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from django.db import models, transaction
from django.db.models.deletion import Collector
from django.utils import timezone
from django.utils.translation import gettext as _

from policies.models import (
    AssigningAuthority,
    AuthorityAlias,
    CoercionRule,
    ConsentRule,
    Destination,
    Grant,
    MatchingPolicy,
    MatchingWeight,
    Organisation,
    PolicyVersion,
    Procedure,
    ProcedureRule,
    QualityRule,
    Reason,
    RetentionRule,
    SecondPerson,
    Source,
    SourceSystem,
    StowClient,
    User,
)

# What a manager sets, and what follows from it: a new kind of rule is one line here. Who is pointed to comes first.
KINDS: tuple[type[models.Model], ...] = (
    Organisation,
    Source,
    SourceSystem,
    StowClient,
    Destination,
    AssigningAuthority,
    AuthorityAlias,
    Procedure,
    ProcedureRule,
    RetentionRule,
    ConsentRule,
    QualityRule,
    CoercionRule,
    MatchingPolicy,
    MatchingWeight,
    Reason,
    Grant,
    SecondPerson,
)

EMPTY = (None, "", [], {})
Rules = Callable[[type[models.Model]], Iterable[models.Model]]  # a kind of rule to its rows: of now, of a past day


class Difference(NamedTuple):
    """One column of a rule that changed, in words."""

    name: str
    old: str
    new: str


def kind_of(model: models.Model | type[models.Model]) -> str:
    return model._meta.label_lower


def model_of(kind: str) -> type[models.Model] | None:
    """The model of a kind; None for what is no kind of rule, or is none any more."""
    return next((model for model in KINDS if kind_of(model) == kind), None)


def columns_of(obj: models.Model) -> dict[str, Any]:
    """The plain columns of a row as JSON holds them, but its key. What the database sets by the clock is left out."""
    fields = [field for field in obj._meta.concrete_fields if not field.primary_key and not _by_clock(field)]
    return {field.attname: _plain(field, obj) for field in fields}


def _by_clock(field: models.Field) -> bool:
    return getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)


def _plain(field: models.Field, obj: models.Model) -> Any:
    value = getattr(obj, field.attname)
    return value if value is None or type(value) in (bool, int, float, str, list, dict) else field.value_to_string(obj)


def filled(model: type[models.Model], columns: dict[str, Any]) -> dict[str, Any]:
    """The columns that the model has today: one that came later says what it says by default."""
    blank = columns_of(model())
    return {name: columns.get(name, value) for name, value in blank.items()}


def built(model: type[models.Model], key: str, columns: dict[str, Any]) -> models.Model:
    """The row that these columns say, not saved. Columns that a kind has no more are left out."""
    fields = {field.attname: field for field in model._meta.concrete_fields}
    known = {name: fields[name].to_python(value) for name, value in columns.items() if name in fields}
    return model(pk=model._meta.pk.to_python(key) if key else None, **known)


def newest(kind: str, key) -> PolicyVersion | None:
    return PolicyVersion.objects.filter(kind=kind, key=str(key)).order_by("-number").first()


def keep(
    obj: models.Model,
    *,
    by: User | None,
    why: str = "",
    approved_by: User | None = None,
    approved_at: datetime | None = None,
) -> PolicyVersion | None:
    """Write the version that a saved rule is now; None when its newest version says the same. `by` None: the portal.

    To be called in the transaction that saved the rule.
    """
    fresh = type(obj)._base_manager.get(pk=obj.pk)
    return _write(fresh, columns_of(fresh), by=by, why=why, approved_by=approved_by, approved_at=approved_at)


def remove(obj: models.Model, *, by: User | None, why: str = "", **approved) -> None:
    """Delete a rule with what hangs on it; each rule that goes has a last version that says so."""
    with transaction.atomic():
        forget(obj, by=by, why=why, **approved)
        obj.delete()


def forget(obj: models.Model, *, by: User | None, why: str = "", **approved) -> None:
    """Write the last versions of a rule, and of what hangs on it, that is about to be deleted."""
    collector = Collector(using=obj._state.db, origin=obj)
    collector.collect([obj])
    for one in chain(*collector.data.values(), *collector.fast_deletes):
        if type(one) in KINDS:
            _write(one, None, by=by, why=why, **approved)


def _write(obj: models.Model, columns: dict | None, *, by: User | None, **said) -> PolicyVersion | None:
    kind, now = kind_of(obj), timezone.now()
    before = newest(kind, obj.pk)
    if (filled(type(obj), before.columns) if before and before.columns else None) == columns:
        return None
    number, title = before.number + 1 if before else 1, str(obj)[:250]
    row = {"kind": kind, "key": str(obj.pk), "number": number, "title": title, "columns": columns}
    return PolicyVersion.objects.create(**row, made_by=by, made_at=now, effective_from=now, **said)


def now(model: type[models.Model]) -> Iterable[models.Model]:
    """The rules of a kind as they are."""
    pointed = [field.name for field in model._meta.concrete_fields if field.many_to_one or field.one_to_one]
    return model._base_manager.select_related(*pointed) if pointed else model._base_manager.all()


def on(model: type[models.Model], moment: datetime) -> list[models.Model]:
    """The rules of a kind as they were at a moment, as rows that are not saved."""
    rows = PolicyVersion.objects.filter(kind=kind_of(model), effective_from__lte=moment).order_by("number")
    last = {version.key: version for version in rows}
    return [built(model, one.key, one.columns) for one in last.values() if one.columns is not None]


def of(moment: datetime) -> Rules:
    """The rules of a moment, each kind read once."""
    return cache(lambda model: on(model, moment))


def adopt(*kinds: type[models.Model], by: User | None = None, why: str) -> int:
    """Give every rule (of these kinds) that has no version its first; how many had none."""
    made, moment = [], timezone.now()
    for model in kinds or KINDS:
        kind = kind_of(model)
        known = set(PolicyVersion.objects.filter(kind=kind).values_list("key", flat=True))
        for row in now(model):
            if str(row.pk) not in known:
                said = {"kind": kind, "key": str(row.pk), "number": 1, "title": str(row)[:250]}
                said |= {"columns": columns_of(row), "made_at": moment, "effective_from": moment}
                made.append(PolicyVersion(**said, made_by=by, why=why))
    PolicyVersion.objects.bulk_create(made)
    return len(made)


def strays() -> list[str]:
    """Name every rule that is not what its newest version says: it was changed behind the back of the portal."""
    return [sentence for model in KINDS for sentence in _strays(model)]


def _strays(model: type[models.Model]) -> Iterable[str]:
    rows = PolicyVersion.objects.filter(kind=kind_of(model)).order_by("number")
    last = {version.key: version for version in rows}
    name = model._meta.verbose_name
    for row in now(model):
        version = last.pop(str(row.pk), None)
        if version is None:
            yield f"The {name} '{row}' ({row.pk}) has no version."
        elif version.columns is None:
            yield f"The {name} '{row}' ({row.pk}) is there, and its version {version.number} says that it was deleted."
        elif changed := differences(model, version.columns, columns_of(row)):
            said = "; ".join(f"{one.name}: '{one.old}' became '{one.new}'" for one in changed)
            yield f"The {name} '{row}' ({row.pk}) is not what its version {version.number} says: {said}."
    for key, version in last.items():
        if version.columns is not None:
            yield f"The {name} '{version.title}' ({key}) is gone, and no version says so."


def differences(model: type[models.Model], old: dict | None, new: dict | None) -> list[Difference]:
    """The columns that differ, in words; against nothing, those that say something."""
    old, new = (filled(model, columns) if columns else {} for columns in (old, new))
    found = []
    for field in model._meta.concrete_fields:
        before, after = old.get(field.attname), new.get(field.attname)
        if before != after and not (before in EMPTY and after in EMPTY):
            found.append(Difference(str(field.verbose_name), in_words(field, before), in_words(field, after)))
    return found


def in_words(field: models.Field, value: Any) -> str:
    """A column as managers read it."""
    if value in EMPTY:
        return ""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if field.remote_field:
        return title_of(field.remote_field.model, value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(dict(field.flatchoices).get(value, value))


def title_of(model: type[models.Model], key) -> str:
    """What is pointed to, by its name of today, or by its last one."""
    if here := model._base_manager.filter(pk=key).first():
        return str(here)
    last = newest(kind_of(model), key)
    return last.title if last else str(key)
