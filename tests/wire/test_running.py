"""Every process tells the ledger that it has started and that it stops, and waits for no database to do so."""

import json
import signal
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.wire.conftest import wait_until
from tests.wire.faults.test_database import locked, shut

pytestmark = pytest.mark.django_db
NAMES = {"web": "web", "storescp": "storescp", "intake": "intake", "mllp": "mllp", "qcluster": "worker"}
LINES = """
import json
from policies.models import LedgerLine
print(json.dumps(list(LedgerLine.objects.filter(subject="process").values_list("verb", "subject_key"))))
"""


def lines(portal) -> Counter:
    return Counter(map(tuple, json.loads(portal.shell(LINES))))


def test_each_start_and_each_stop_is_one_line(portal):
    once = {("start", name): 1 for name in NAMES.values()}
    wait_until(lambda: lines(portal) == once, seconds=20, failing=f"not each has started: {lines(portal)}")
    for name in NAMES:
        portal.kill(name, signal.SIGTERM)

    assert lines(portal) == once | {("stop", name): 1 for name in NAMES.values()}


def test_a_door_opens_and_closes_while_the_database_is_down_and_tells_of_its_start_when_it_is_back(new_portal):
    portal = new_portal()
    url = portal.env["DATABASE_URL"]
    with (locked if urlsplit(url).scheme == "sqlite" else shut)(url):
        begun = time.monotonic()
        portal.start("storescp")
        portal.kill("storescp", signal.SIGTERM)
        assert time.monotonic() - begun < 20
        portal.start("storescp")

    wait_until(lambda: lines(portal)["start", "storescp"], seconds=60, failing="its start was never told")
