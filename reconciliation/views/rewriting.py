"""The changes of a mapping as rows for people: received, released, and the rule that says so."""

from itertools import groupby
from typing import NamedTuple

from policies.rules.coercion import Action, Change, Value
from policies.rules.values import called
from reconciliation.models import Instance, Study
from reconciliation.renaming import Renaming
from reconciliation.templatetags.shown import day
from reconciliation.views.cards import Mark, day_marks, marks

MOST_UIDS = 12  # that a page shows
IN_ALL = "in every object, with all that refers to it"
LATER = "of what came later; references stay with what came first"
OTHER_GOES = "the other content under this UID goes out"


class Line(NamedTuple):
    """One attribute. `items` are the leaves of a sequence that is written, as (name, value)."""

    name: str
    action: str
    before: list[Mark]
    after: list[Mark]
    items: list[tuple[str, str]]
    rule: str


class Group(NamedTuple):
    name: str
    lines: list[Line]
    unchanged: list[str]  # attributes that stay as they came
    more: int = 0  # lines that are not shown


def groups(changes: list[Change]) -> list[Group]:
    """Changes by group, in the order of the plan."""
    return [_group(name, list(found)) for name, found in groupby(changes, key=lambda change: change.group)]


def of_uids(study: Study, renamed: Renaming) -> list[Group]:
    """The UIDs that do not stay, and the objects that do not go, as a group; none where there are none."""
    if not renamed:
        return []
    objects = dict(Instance.objects.filter(series__study=study).values_list("pk", "sop_instance_uid"))
    kinds = dict.fromkeys(objects.values(), "SOPInstanceUID")
    kinds |= dict.fromkeys(study.series.values_list("series_instance_uid", flat=True), "SeriesInstanceUID")
    kinds[study.study_instance_uid] = "StudyInstanceUID"
    of = {str(key): uid for key, uid in objects.items()}
    lines = [_renamed(kinds.get(old, "FrameOfReferenceUID"), old, new, IN_ALL) for old, new in renamed.study.items()]
    lines += [_renamed("SOPInstanceUID", of[key], new, LATER) for key, new in renamed.objects.items()]
    lines += [
        Line(called("SOPInstanceUID"), "kept", [Mark(of[key], False)], [], [], OTHER_GOES) for key in renamed.left_out
    ]
    rest = len(lines) - MOST_UIDS
    return [Group("UIDs", lines[:MOST_UIDS], [], more=max(rest, 0))]


def _renamed(keyword: str, old: str, new: str, rule: str) -> Line:
    return Line(called(keyword), "set", [Mark(old, False)], [Mark(new, False)], [], rule)


def _group(name: str, changes: list[Change]) -> Group:
    different = [change for change in changes if not _same(change)]
    return Group(name, [_line(change) for change in different], [called(c.path) for c in changes if _same(c)])


def _same(change: Change) -> bool:
    """Whether what was received is what is released: nothing to look at."""
    if change.action in (Action.EMPTY, Action.REMOVE):
        return not any(change.old) and change.group != "signatures"
    return change.action == Action.SET and change.old == [change.new]


def _line(change: Change) -> Line:
    before = " | ".join(_text(change.path, value) for value in change.old)
    after = _text(change.path, change.new)
    items = _leaves(change.new)
    if items:
        before, after = ("" if change.action == Action.APPEND else before), ""
    compare = day_marks if change.path.endswith("Date") else marks
    compared = compare(before, after) if before and after else ([Mark(before, False)], [Mark(after, False)])
    return Line(called(change.path), change.action.value, *compared, items, _rule(change))


def _rule(change: Change) -> str:
    """The rule without what stands beside it on the screen already."""
    return change.rule.removeprefix("RAD-61: ").removeprefix(f"{called(change.path)} ")


def _text(path: str, value: Value) -> str:
    if isinstance(value, list):
        return " · ".join(text for _, text in _leaves(value)) or "\\".join(v for v in value if isinstance(v, str))
    return day(value) if path.endswith("Date") else value or ""


def _leaves(value: Value) -> list[tuple[str, str]]:
    """(name, value) of everything inside the items of a sequence, at any depth."""
    found: list[tuple[str, str]] = []
    for item in value if isinstance(value, list) else []:
        for keyword, inner in item.items() if isinstance(item, dict) else ():
            found += _leaves(inner) or [(called(keyword), _text(keyword, inner))]
    return [(name, text) for name, text in found if text]
