"""Learning: what people decided moves the numbers, a few decisions move them little."""

import pytest

from policies.rules.learning import learn
from policies.rules.weights import DEFAULT


def learned(right, chance=()):
    return {(row.field, row.level): row for row in learn(right, chance)}


def test_many_decisions_outweigh_the_default():
    rows = learned([{"sex": "same"}] * 700 + [{"sex": "different"}] * 300, [{"sex": "same"}] * 1000)

    assert rows["sex", "different"].m == pytest.approx(0.3, abs=0.07)
    assert rows["sex", "same"].u == pytest.approx(1.0, abs=0.01)
    assert (rows["sex", "same"].decisions, rows["sex", "same"].pairs) == (1000, 1000)


def test_what_was_not_seen_in_a_small_sample_keeps_its_default():
    rows = learned([{"identifier": "same"}] * 100, [{"identifier": "different"}] * 1000)

    assert rows["identifier", "same"].u == pytest.approx(DEFAULT.levels["identifier"]["same"][1], rel=0.01)


def test_what_is_missing_teaches_nothing():
    assert learned([{"sex": "missing"}] * 100) == {}


def test_what_is_learned_can_be_used():
    rows = learn([{"birth_date": "same"}] * 50, [{"birth_date": "different"}] * 50)

    weights = DEFAULT.overridden(rows)

    assert all(0 < m < 1 and 0 < u < 1 for m, u in weights.levels["birth_date"].values())
