"""A database that is down in the middle: the door goes on, and intake catches up without anybody's help."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.wire.faults.belt import Belt


@contextmanager
def locked(url: str) -> Iterator[None]:
    """SQLite: another program writes and does not come to its end."""
    with sqlite3.connect(urlsplit(url).path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    other.close()


@contextmanager
def shut(url: str) -> Iterator[None]:
    """PostgreSQL: every connection to this database ends, and no new one is let in."""
    name = urlsplit(url).path[1:]
    server = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@contextmanager
def moved(url: str) -> Iterator[None]:
    """SQLite: the file cannot be opened."""
    path = urlsplit(url).path
    with suppress(FileNotFoundError):
        os.rename(path, f"{path}.away")
    os.mkdir(path)
    yield
    os.rmdir(path)
    os.rename(f"{path}.away", path)


@pytest.mark.parametrize("down", ["locked", "gone"])
def test_the_door_goes_on_while_the_database_is_down_and_intake_catches_up(belt: Belt, down):
    url = belt.portal.env["DATABASE_URL"]
    outage = shut if url.startswith("postgres") else {"locked": locked, "gone": moved}[down]
    belt.start("storescp")
    belt.start("intake")
    before = belt.send(5).acknowledged()
    belt.wait_for_intake()
    with outage(url):
        during = belt.send(10).acknowledged() | belt.send(10).acknowledged()
        time.sleep(1)
        # An intake that has the moved file open goes on writing into it: nothing need wait then.
        assert belt.waiting() or outage is moved
    belt.wait_for_intake()
    for name in ("storescp", "intake"):
        belt.kill(name)
    belt.settle()

    assert (len(before), len(during)) == (5, 20)
    belt.must_hold(before | during)
