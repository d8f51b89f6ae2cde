"""All rules as one YAML file that people can review: written with names, read back as changes to be looked at first."""

from collections.abc import Iterable
from datetime import date
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

import yaml
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models, transaction

from policies import audit, drafts, versions
from policies.drafts import Wanted
from policies.models import PolicyDraft, User
from policies.problems import Invalid
from policies.versions import KINDS, Difference

HEAD = """\
# The policies of the portal. Rules point to each other by name; a rule without a name is known by what it is for.
# A kind that stands here is complete: a rule that is left out is removed. A kind that is left out stays as it is.
# A group that is not there is made by the import, without people. Accounts and their passwords are not in this file.
# Approvals are not in this file: whoever imports it signs for it.
"""
LARGEST = 2_000_000  # characters


class Change(NamedTuple):
    """What a file changes about one rule: `deed` is added, changed or removed."""

    deed: str
    wanted: Wanted
    differences: list[Difference]

    @property
    def kind(self) -> str:
        return str(self.wanted.model._meta.verbose_name)


class Row(NamedTuple):
    line: int
    values: dict[str, Any]
    lines: dict[str, int]  # of each column


def name_of(model: type[models.Model]) -> str:
    return model._meta.model_name


def natural(model: type[models.Model]) -> tuple[str, ...]:
    """The fields by which people tell its rows apart."""
    for field in model._meta.concrete_fields:
        if field.unique and not field.primary_key and not field.null:
            return (field.name,)
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and constraint.condition is None:
            return constraint.fields or _named_in(constraint.expressions)
    raise ImproperlyConfigured(f"Nothing tells the rows of {model.__name__} apart: give it a unique constraint.")


def _named_in(expressions: Iterable[models.F | models.Expression]) -> tuple[str, ...]:
    """The fields that a constraint over expressions speaks of, in its order."""
    flat = chain.from_iterable([one] if isinstance(one, models.F) else one.flatten() for one in expressions)
    return tuple(one.name for one in flat if isinstance(one, models.F))


def _fields(model: type[models.Model]) -> list[models.Field]:
    """What stands in the file: what people set, first that by which they tell the rows apart."""
    named = natural(model)
    fields = [field for field in model._meta.concrete_fields if field.editable or field.name in named]
    return sorted(
        (field for field in fields if not field.primary_key or field.name in named),
        key=lambda field: named.index(field.name) if field.name in named else len(named),
    )


# --- out -------------------------------------------------------------------------------------------------------------


def exported(kinds: Iterable[type[models.Model]] = KINDS) -> str:
    """The rules of these kinds, always in the same order: two files can be compared."""
    said = {}
    for model in kinds:
        rows = [_said(row) for row in versions.now(model)]
        said[name_of(model)] = sorted(rows, key=lambda row: [str(value) for value in row.values()])
    return HEAD + yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120)


def _said(row: models.Model) -> dict[str, Any]:
    columns = versions.columns_of(row) | {row._meta.pk.attname: str(row.pk)}
    return {
        field.name: _named(getattr(row, field.name)) if field.remote_field else columns[field.attname]
        for field in _fields(type(row))
    }


def _named(row: models.Model | None) -> Any:
    """What is pointed to, by its name; by several fields where it takes several."""
    if row is None:
        return None
    said = {name: getattr(row, name) for name in natural(type(row))}
    return next(iter(said.values())) if len(said) == 1 else said


# --- in --------------------------------------------------------------------------------------------------------------


def read(text: str) -> dict[type[models.Model], list[Row]]:
    """The rows of a file by kind; `Invalid` with the line of what is not understood."""
    if len(text) > LARGEST:
        raise Invalid("This file is too large for one of policies.")
    known = {name_of(model): model for model in KINDS}
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise Invalid(f"Line {event.start_mark.line + 1}: references (*) are not understood here.")
        loader = yaml.SafeLoader(text)
        top = loader.get_single_node()
        found = {}
        for name, node in _pairs(top):
            if name.value not in known:
                raise Invalid(f"Line {_line(name)}: there is no kind of rule '{name.value}'.")
            if not isinstance(node, yaml.SequenceNode):
                raise Invalid(f"Line {_line(node)}: a list of rules is expected under '{name.value}'.")
            found[known[name.value]] = [_row(loader, known[name.value], one) for one in node.value]
    except (yaml.YAMLError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        raise Invalid(f"Line {mark.line + 1}: this is no YAML." if mark else "This is no YAML.") from None
    return found


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    """The names of a mapping, each once, and what stands under them."""
    if not isinstance(node, yaml.MappingNode):
        raise Invalid(f"Line {_line(node) if node else 1}: names with a colon are expected.")
    seen = set()
    for name, _value in node.value:
        if not isinstance(name, yaml.ScalarNode) or name.value in seen:
            raise Invalid(f"Line {_line(name)}: this stands here twice, or is no name.")
        seen.add(name.value)
    return node.value


def _row(loader: yaml.SafeLoader, model: type[models.Model], node: yaml.Node) -> Row:
    fields = {field.name for field in _fields(model)}
    pairs = _pairs(node)
    for name, _value in pairs:
        if name.value not in fields:
            raise Invalid(f"Line {_line(name)}: a {model._meta.verbose_name} has no '{name.value}'.")
    values = {name.value: _plain(loader, value) for name, value in pairs}
    for name in natural(model):
        if name not in values:
            raise Invalid(f"Line {_line(node)}: this {model._meta.verbose_name} does not say its '{name}'.")
    return Row(_line(node), values, {name.value: _line(name) for name, _value in pairs})


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, TypeError, OverflowError, yaml.constructor.ConstructorError):
        raise Invalid(f"Line {_line(node)}: this is no value.") from None


def _fits(field: models.Field, said: Any) -> bool:
    """Whether a column can hold it: one word or number, or a list of them where it is a list."""
    parts = said if isinstance(said, list) and isinstance(field, models.JSONField) else [said]
    return all(isinstance(one, str | int | date | None) or (isinstance(one, float) and isfinite(one)) for one in parts)


def compared(text: str) -> list[Change]:
    """What the file would change, in the order in which it can be: what is pointed to first, what is removed last."""
    rows = read(text)
    reading = _Reading(rows)
    changes, removed = [], []
    for model in KINDS:
        if model in rows:
            changes += reading.changes(model)
            removed = [*reading.removed(model), *removed]
    groups = [Wanted.of(group) for group in reading.groups.values()]
    added = [Change("added", one, versions.differences(Group, None, one.columns)) for one in groups]
    return [*added, *changes, *removed]


class _Reading:
    """The rows of a file beside those that are here."""

    def __init__(self, rows: dict[type[models.Model], list[Row]]):
        self.rows = rows
        self.here: dict[type[models.Model], dict[str, models.Model]] = {}
        self.made: dict[type[models.Model], dict[str, models.Model]] = {}
        self.groups: dict[str, Group] = {}  # that are named and not here

    def changes(self, model: type[models.Model]) -> list[Change]:
        found = []
        self.made[model] = {}
        for row in self.rows[model]:
            wanted = self._wanted(model, row)
            before = wanted.key and model._base_manager.filter(pk=wanted.key).first()
            old = versions.columns_of(before) if before else None
            if changed := versions.differences(model, old, wanted.columns):
                found.append(Change("changed" if before else "added", wanted, changed))
        return found

    def removed(self, model: type[models.Model]) -> list[Change]:
        left = [row for name, row in self._here(model).items() if name not in self.made[model]]
        return [
            Change("removed", Wanted.of(row, deleted=True), versions.differences(model, versions.columns_of(row), None))
            for row in left
        ]

    def _wanted(self, model: type[models.Model], row: Row) -> Wanted:
        values = {}
        for field in _fields(model):
            if field.name in row.values:
                values[field.name] = self._value(field, row.values[field.name], row.lines[field.name])
        name = _spelled(row.values[name] for name in natural(model))
        if name in self.made[model]:
            raise Invalid(f"Line {row.line}: this {model._meta.verbose_name} stands here twice.")
        built = self._here(model).get(name)
        built = versions.built(model, str(built.pk), versions.columns_of(built)) if built else model()
        for column, value in values.items():
            setattr(built, column, value)
        self.made[model][name] = built
        return Wanted.of(built)

    def _value(self, field: models.Field, said: Any, line: int) -> Any:
        if field.remote_field:
            return None if said is None else self._target(field, said, line)
        try:
            if not _fits(field, said):
                raise ValueError
            return field.to_python(said)
        except (ValidationError, TypeError, ValueError):
            raise Invalid(f"Line {line}: '{said}' is no {field.verbose_name}.") from None

    def _target(self, field: models.Field, said: Any, line: int) -> models.Model:
        model = field.remote_field.model
        values = [said.get(name) for name in natural(model)] if isinstance(said, dict) else [said]
        among = self.made[model] if model in self.made else self._here(model)
        if found := among.get(_spelled(values)):
            return found
        if model is Group and isinstance(said, str) and 0 < len(said) <= 150:
            return self.groups.setdefault(said, Group(name=said))
        raise Invalid(f"Line {line}: there is no {model._meta.verbose_name} '{', '.join(map(str, values))}'.")

    def _here(self, model: type[models.Model]) -> dict[str, models.Model]:
        if model not in self.here:
            named = natural(model)
            rows = versions.now(model)
            self.here[model] = {_spelled(_told(row, name) for name in named): row for row in rows}
        return self.here[model]


def _told(row: models.Model, name: str) -> Any:
    field = row._meta.get_field(name)
    return _named(getattr(row, name)) if field.remote_field else getattr(row, name)


def _spelled(values: Iterable[Any]) -> str:
    """A name as it is compared: nothing is empty, and a number is its digits."""
    return "\n".join("" if one is None else str(one) for one in values)


def imported(text: str, *, by: User, why: str) -> list[PolicyDraft]:
    """Make every change of a file, or none: `Invalid` names what cannot be. What needs approval waits for it."""
    if not why.strip():
        raise Invalid("Say why the policies are imported.")
    with transaction.atomic():
        _make_groups(text, by=by, why=why)
        written = [drafts.change(one.wanted, by=by, why=why) for one in compared(text)]
        if problems := [f"{draft.title}: {draft.problem}" for draft in written if draft.problem]:
            raise Invalid(" ".join(problems))
        audit.record(by, "import policies", "policies", key="policies", reason=why, detail={"rules": len(written)})
    return written


def tried(text: str, *, by: User, why: str) -> None:
    """Raise what would keep a file from being imported, before anybody is asked to confirm it. Nothing is kept."""
    with transaction.atomic():
        imported(text, by=by, why=why)
        transaction.set_rollback(True)


def _make_groups(text: str, *, by: User, why: str) -> None:
    """What is granted in them is asked of whoever imports it, grant by grant."""
    for one in compared(text):
        if one.wanted.model is Group:
            audit.record(by, "add", Group.objects.create(name=one.wanted.title), reason=why)
