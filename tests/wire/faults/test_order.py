"""Power loss, by the order of system calls: what was promised or committed had reached the disk before."""

import re
import time

import pytest

from tests.wire.faults.belt import Belt

CALLS = "trace=fsync,fdatasync,rename,link,unlink,sendto,write"


def index_of(pattern: str, lines: list[str], *, after: int = -1) -> int:
    """The first line after another one that fits the pattern."""
    found = next((n for n, line in enumerate(lines) if n > after and re.search(pattern, line)), None)
    assert found is not None, f"no {pattern} after line {after}:\n" + "\n".join(lines[after + 1 : after + 60])
    return found


@pytest.fixture(scope="module")
def door(belt: Belt) -> list[str]:
    with belt.traced("storescp", CALLS) as traced:
        assert len(belt.send(3).acknowledged()) == 3
        time.sleep(0.3)
    return traced.lines()


@pytest.fixture(scope="module")
def intake(belt: Belt, door) -> list[str]:
    with belt.traced("intake", CALLS) as traced:
        belt.wait_for_intake()
        time.sleep(0.3)
    return traced.lines()


def test_the_origin_is_durable_before_the_first_object_begins(door):
    written = index_of(r"fsync\(.*/spool/\.[0-9a-f-]{36}/origin.json>\)", door)
    unborn = index_of(r"fsync\(.*/spool/\.[0-9a-f-]{36}>\)", door, after=written)
    seen = index_of(r"rename\(\"[^\"]*/spool/\.", door, after=unborn)
    durable = index_of(r"fsync\(.*/spool>\)", door, after=seen)

    assert durable < index_of(r"/1\.part>", door)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_object_is_durable_under_its_name_before_success_is_answered(door, number):
    last = max(n for n, line in enumerate(door) if f"/{number}.part>" in line and " write(" in line)
    synced = index_of(rf"fsync\(.*/{number}\.part>\)", door, after=last)
    whole = index_of(rf"rename\(\"[^\"]*/{number}\.part\", \"[^\"]*/{number}\"\)", door, after=synced)
    durable = index_of(r"fsync\(.*/spool/[0-9a-f-]{36}>\)", door, after=whole)
    answers = [n for n, line in enumerate(door) if "sendto(" in line and n > last]

    assert durable < answers[0]


def test_bytes_and_journal_are_durable_before_an_object_leaves_the_spool(intake):
    linked = [n for n, line in enumerate(intake) if re.search(r" link\(.*/vault/.* = 0", line)]
    left = index_of(r"unlink\(\"[^\"]*/spool/[0-9a-f-]{36}/1\"\)", intake)
    for n in linked:
        aa, bb = re.search(r"/vault/(..)/(..)/", intake[n]).groups()
        assert linked[-1] < index_of(rf"fsync\(.*/vault/{aa}/{bb}>\)", intake, after=n) < left
        assert index_of(rf"fsync\(.*/vault/{aa}>\)", intake, after=n) < left
    journal = index_of(r"write\(.*/vault/journal/.*kept", intake, after=linked[-1])

    assert len(linked) == 3
    assert index_of(r"fsync\(.*/vault/journal/", intake, after=journal) < left


def test_the_rows_are_committed_after_the_bytes_and_before_an_object_leaves_the_spool(intake):
    journal = index_of(r"write\(.*/vault/journal/.*kept", intake)
    committed = index_of(r"fdatasync\(.*-wal>|sendto\(.*COMMIT", intake, after=journal)

    assert committed < index_of(r"unlink\(\"[^\"]*/spool/[0-9a-f-]{36}/1\"\)", intake)
