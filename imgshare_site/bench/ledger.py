"""What a line of the ledger costs: a step of the workflow with its line against the same step without."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.utils import timezone

from imgshare_site.bench.measure import Missing, Row, row
from policies import audit
from policies.models import Source
from reconciliation.models import Study, Submission
from reconciliation.workflow import move

STEPS, WARM = 400, 50  # of each kind; the first are not timed
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


def ledger_line(folder: Path) -> Row:
    """Medians on the embedded database, in a folder of its own, where each step is one durable transaction."""
    here = os.environ | {"IMGSHARE_DATA_DIR": str(folder / "ledger")}
    here.pop("DATABASE_URL", None)
    calls = [[*MANAGE, "migrate", "--verbosity", "0"]]
    calls += [[*MANAGE, "shell", "--verbosity", "0", "-c", "from imgshare_site.bench import ledger; ledger.report()"]]
    for words in calls:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600, env=here)
        if done.returncode:
            raise Missing(done.stderr.strip().splitlines()[-1])
    mine, other = json.loads(done.stdout.strip().splitlines()[-1])
    # 15 % of the whole step at most: with the line it takes 1 / 0.85 of the rest.
    return row("a step of the workflow with its ledger line", "without", mine, other, at_most=1.17, unit="ms")


def report() -> None:
    """Print the medians in milliseconds, with and without, as a JSON list. The two alternate."""
    source = Source.objects.create(name="Bench", issuer="BENCH")
    now = timezone.now()
    submission = Submission.objects.create(door="dimse", source=source, received_at=now)
    times: tuple[list[float], list[float]] = ([], [])
    for n in range(2 * STEPS):
        study = Study.objects.create(
            study_instance_uid=f"2.25.{n + 1}",
            source=source,
            submission=submission,
            received_at=now,
            last_arrival_at=now,
            queued_at=now,
        )
        if n % 2:
            with mock.patch.object(audit, "record"):
                times[1].append(_settled(study))
        else:
            times[0].append(_settled(study))
    print(json.dumps([round(statistics.median(taken[WARM:]), 3) for taken in times]))  # noqa: T201


def _settled(study: Study) -> float:
    start = time.perf_counter()
    move(study, "settle", by=audit.PORTAL)
    return 1000 * (time.perf_counter() - start)


WORKS = {"ledger-line": ledger_line}
