"""SQLite under several writers: who waits gets the lock when it is free, and gives up when the settings say so."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from imgshare_site.sqlite3.base import Cursor


@pytest.fixture
def path(tmp_path) -> Path:
    with sqlite3.connect(tmp_path / "db.sqlite3") as made:
        made.execute("CREATE TABLE line (number)")
    return tmp_path / "db.sqlite3"


def opened(path: Path, *, patience: float) -> Cursor:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    return connection.cursor(factory=lambda one: Cursor(one, patience))


def test_a_statement_waits_until_the_lock_is_free(path):
    first, second = opened(path, patience=0), opened(path, patience=20)
    first.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, first.execute, ["COMMIT"])
    release.start()
    begun = time.monotonic()
    second.execute("BEGIN IMMEDIATE")

    assert time.monotonic() - begun >= 0.2
    release.join()


@pytest.mark.parametrize(("step", "given"), [("execute", ["1"]), ("executemany", [["1"], ["2"]])])
def test_it_gives_up_after_its_time(path, step, given):
    first, second = opened(path, patience=0), opened(path, patience=0.1)
    first.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        getattr(second, step)("INSERT INTO line VALUES (%s)", given)


def test_other_problems_are_told_at_once(path):
    begun = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        opened(path, patience=20).execute("SELECT * FROM elsewhere")
    assert time.monotonic() - begun < 5
