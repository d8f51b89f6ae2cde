"""kill -9 at random moments and at named points: what was acknowledged is there, once, and disk and rows agree.

pytest tests/wire/faults/test_kills.py --kills 1000
"""

import random
import time

import pytest

from tests.wire.faults.belt import Belt

SENT = 8  # objects of one association


def test_random_kills_of_door_and_intake_lose_and_double_nothing(belt: Belt, pytestconfig):
    chance = random.Random(pytestconfig.getoption("kills"))
    promised: set[str] = set()
    belt.start("storescp")
    belt.start("intake")
    for _ in range(pytestconfig.getoption("kills")):
        victims = chance.choice([["storescp"], ["intake"], ["storescp", "intake"]])
        sending = belt.send(SENT)
        time.sleep(chance.random() * 0.25)
        for name in victims:
            belt.kill(name)
        promised |= sending.acknowledged()
        for name in victims:
            belt.start(name)
    belt.kill("storescp")
    belt.kill("intake")
    belt.settle()

    assert len(promised) > pytestconfig.getoption("kills")
    belt.must_hold(promised)


DOOR = {
    "writing the origin": "fsync:when=1",
    "before the new submission is seen": "rename:when=1",
    "after it is seen": "fsync:when=3",
    "the object is written, not synced": "fsync:when=4",
    "the object is synced, not whole": "rename:when=2",
    "the object is whole, not promised": "fsync:when=5",
    "in the fourth object": "fsync:when=10",
}


@pytest.mark.parametrize("point", DOOR)
def test_a_door_killed_at_a_named_point_keeps_its_promises(belt: Belt, point):
    with belt.traced("storescp", f"inject={DOOR[point].replace(':', ':signal=SIGKILL:')}") as traced:
        sending = belt.send(SENT)
        promised = sending.acknowledged()
        traced.wait_for_death()
    belt.start("storescp")
    again = belt.send(SENT, like=sending).acknowledged()
    belt.kill("storescp")
    belt.settle()

    assert len(promised) < SENT
    assert len(again) == SENT
    belt.must_hold(promised | again)


INTAKE = {
    "before the first is in the vault": "link:when=1",
    "when some are in the vault": "link:when=9",
    "when all are in the vault, none synced": "fsync:when=5",  # one file and three folders of the journal before
    "when some are synced": "fsync:when=12",
    "when the rows are written": "unlink:when=1",
    "when half has left the spool": "unlink:when=5",
    "before the submission is dropped": "rename:when=1",
    "when it is half dropped": "rmdir:when=1",
}


@pytest.mark.parametrize("point", INTAKE)
def test_an_intake_killed_at_a_named_point_ends_in_the_same_state(belt: Belt, point):
    belt.start("storescp")
    promised = belt.send(SENT).acknowledged()
    belt.kill("storescp")
    with belt.traced("intake", f"inject={INTAKE[point].replace(':', ':signal=SIGKILL:')}") as traced:
        traced.wait_for_death()
    belt.settle()

    assert len(promised) == SENT
    belt.must_hold(promised)
