"""Every verb that the code records has words for people and an audit event."""

import ast
from pathlib import Path

import pytest
from django.conf import settings

from policies import deeds
from policies.rules import atna
from reconciliation.workflow import MOVES

ROOMS = ("policies", "orders", "reconciliation", "imgshare_site")


def sources() -> list[Path]:
    every = [path for room in ROOMS for path in (settings.BASE_DIR / room).rglob("*.py")]
    return [path for path in every if "migrations" not in path.parts]


def recorded(path: Path) -> set[str]:
    """The verbs that stand as literals where a line is recorded or told, or as `verb=`."""
    return {verb for node in ast.walk(ast.parse(path.read_text())) for verb in _said(node) if isinstance(verb, str)}


def _said(node: ast.AST) -> list:
    if isinstance(node, ast.keyword) and node.arg == "verb":
        return _literals(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        at = {"record": 1, "tell": 0}.get(node.func.attr, len(node.args))
        return [found for one in node.args[at : at + 1] for found in _literals(one)]
    return []


def _literals(node: ast.AST) -> list:
    """A literal, or those of a choice between two."""
    branches = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return [one.value for one in branches if isinstance(one, ast.Constant)]


def test_every_verb_that_is_recorded_has_words():
    said = {verb: path.name for path in sources() for verb in recorded(path)}

    assert {verb: name for verb, name in said.items() if verb not in deeds.DEEDS} == {}
    assert len(said) > 30


def test_every_step_of_the_workflow_has_words():
    assert set(MOVES) <= set(deeds.DEEDS)


@pytest.mark.parametrize("verb", sorted(deeds.DEEDS))
def test_a_deed_is_an_audit_event_with_an_action(verb):
    deed = deeds.DEEDS[verb]

    assert deed.event.value.startswith("1101")
    assert deed.action in atna.ACTIONS
    assert len(verb) <= 32


@pytest.mark.parametrize("event", [atna.ALERT, atna.USER, atna.APPLICATION_ACTIVITY])
def test_events_that_need_a_type_have_one(event):
    assert [verb for verb, deed in deeds.DEEDS.items() if deed.event == event and deed.type is None] == []
