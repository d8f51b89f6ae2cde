"""Many processes write the ledger at once: the chain holds, and no line is lost."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from os import environ

import pytest
from django.conf import settings
from django.db import connection

from policies import audit
from policies.models import LedgerLine

WRITERS, LINES = 8, 1250
WRITE = """
import sys, django
from django.conf import settings
django.setup()
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
if connection.vendor == "sqlite":  # the disk's speed is not what is asked here
    connection.cursor().execute("PRAGMA synchronous=OFF")
from policies import audit
for number in range(int(sys.argv[3])):
    audit.record(f"writer {sys.argv[2]}", "map", "study", key=f"k{number}")
"""


@pytest.mark.django_db(transaction=True)
def test_ten_thousand_lines_of_eight_writers_are_one_chain():
    name = str(connection.settings_dict["NAME"])
    words = [sys.executable, "-c", WRITE, name]
    environment = environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(settings.BASE_DIR)}

    def write(number: int) -> subprocess.CompletedProcess:
        given = [*words, str(number), str(LINES)]
        return subprocess.run(given, env=environment, capture_output=True, text=True, timeout=300, check=False)

    with ThreadPoolExecutor(WRITERS) as writers:
        done = list(writers.map(write, range(WRITERS)))

    assert [one.stderr[-500:] for one in done if one.returncode] == []
    assert LedgerLine.objects.count() == WRITERS * LINES
    assert audit.verify() == ""
