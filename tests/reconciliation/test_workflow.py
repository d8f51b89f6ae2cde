import pytest

from policies import audit
from policies.models import LedgerLine
from policies.problems import Conflict, Denied
from reconciliation.models import Study
from reconciliation.workflow import MOVES, move, offered, why_not
from tests import make

pytestmark = pytest.mark.django_db

# Written by hand, so that the table is not checked against itself. d: desk, r: releasing officer, p: the portal alone.
GRID = """
            settle  map  unmap  reopen  clear  release  deliver  reject  reinstate expire
receiving     drp    -     -      -       -       -        -       -         -         -
held           -    drp    -      -       -       -        -       r         -         p
mapped         -     -    dr      p      dr       -        -       r         -         p
cleared        -     -    dr      p       -       r        -       r         -         p
released       -     -     -      -       -       -        p       -         -         -
delivered      -     -     -      -       -       -        -       -         -         p
rejected       -     -     -      -       -       -        -       -         r         p
expired        -     -     -      -       -       -        -       -         -         -
"""
VERBS = GRID.split("\n")[1].split()
CELLS = [
    (row.split()[0], verb, actor, actor[0] in cell)
    for row in GRID.strip().split("\n")[1:]
    for verb, cell in zip(VERBS, row.split()[1:], strict=True)
    for actor in ("desk", "releaser", "portal", "frontdesk", "manager", "auditor")
]
CELLS = [(s, v, a, ok if a in ("desk", "releaser", "portal") else False) for s, v, a, ok in CELLS]


@pytest.fixture
def studies():
    return {state: make.study(state) for state in Study.State.values}


def test_the_grid_of_state_verb_and_role(studies):
    assert set(VERBS) == set(MOVES)
    people = {name: make.user(name) for name in ("desk", "releaser", "frontdesk", "manager", "auditor")}
    people["portal"] = audit.PORTAL
    wrong = [
        (state, verb, actor, str(refusal))
        for state, verb, actor, allowed in CELLS
        if (refusal := why_not(studies[state], verb, people[actor])) is allowed or bool(refusal) is allowed
    ]
    assert wrong == []


def test_who_may_not_is_told_so_before_the_state_is_spoken_of():
    with pytest.raises(Denied, match="may not release studies"):
        move(make.study("held"), "release", by=make.user("desk"))


def test_a_step_that_does_not_exist_is_refused():
    with pytest.raises(Conflict, match="no step called 'explode'"):
        move(make.study("held"), "explode", by=make.user("releaser"))


def test_a_step_and_its_ledger_line_land_together(monkeypatch):
    study, officer = make.study("mapped"), make.user("releaser")
    monkeypatch.setattr(audit, "digest", lambda line: None)  # the ledger cannot take this line

    with pytest.raises(Exception, match=r"(?i)null"):
        move(study, "unmap", by=officer, local_patient=None)

    assert Study.objects.get(pk=study.pk).state == "mapped"


def test_a_commit_on_an_old_version_is_refused_with_a_sentence():
    study, officer = make.study("held"), make.user("releaser")
    stale = Study.objects.get(pk=study.pk)
    Study.objects.filter(pk=study.pk).update(version=study.version + 1)

    with pytest.raises(Conflict, match="Somebody else changed this study"):
        move(stale, "reject", by=officer, rejected_for=make.reason())


def test_a_step_raises_the_version_and_names_itself_in_the_ledger():
    study = make.study("receiving")
    move(study, "settle", by=audit.PORTAL)

    line = LedgerLine.objects.filter(subject_key=str(study.pk)).latest("id")
    assert (study.state, study.version) == ("held", 3)
    assert (line.verb, line.detail["from"], line.detail["to"]) == ("settle", "receiving", "held")


def test_buttons_are_the_steps_from_here_with_the_reason_that_bars_them():
    barred = offered(make.study("cleared"), make.user("desk"))

    assert set(barred) == {"unmap", "release", "reject"}
    assert barred["unmap"] == ""
    assert barred["release"] == "Your role may not release studies."
