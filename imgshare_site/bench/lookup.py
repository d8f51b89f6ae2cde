"""Finding candidates among many patients: PostgreSQL with a million of them, against itself with ten thousand."""

import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from imgshare_site.bench import matching
from imgshare_site.bench.measure import Missing, Row, row
from imgshare_site.bench.people import people, received
from orders import queries
from orders.models import Identifier, Patient, PatientKey
from policies.domains import Domains
from policies.rules import blocking
from policies.rules.matching import Candidate, Proposal, propose
from policies.rules.names import name_key
from policies.rules.weights import DEFAULT
from reconciliation.matching import person_of

FEW, MANY = 10_000, 1_000_000
ASKED, WARM = 400, 100  # look-ups; the first of them are not timed
LONGEST = 30.0  # milliseconds
BATCH = 20_000
NO_DOMAINS = Domains({}, {}, frozenset(), frozenset())
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
CODE = "from imgshare_site.bench import lookup; lookup.report({few}, {many})"


def look_up(folder: Path) -> Row:
    """The median at `MANY` against the median at `FEW`; `LONGEST` at most."""
    few, many = _medians()
    return row(
        f"look up among {MANY:,} patients", f"among {FEW:,}", many, few, at_most=min(3.0, LONGEST / few), unit="ms"
    )


def _medians() -> list[float]:
    """In a cluster of its own, as the tests have it."""
    code = CODE.format(few=FEW, many=MANY)
    script = " && ".join(
        (f"{' '.join(MANAGE)} migrate --verbosity 0", f'exec {" ".join(MANAGE)} shell --verbosity 0 -c "{code}"')
    )
    done = subprocess.run(
        [str(settings.BASE_DIR / "deploy" / "with-postgres"), "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    if done.returncode:
        raise Missing(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "PostgreSQL did not start")
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(*sizes: int) -> None:
    """Print the median of a look-up in milliseconds at each size, the smallest first, as a JSON list."""
    everybody, known = people(max(sizes), seed=20), 0
    asked, medians = [], []
    for size in sizes:
        for some in _batches(islice(everybody, size - known)):
            _write(some)
            asked += some[:: max(1, size // ASKED)]
        known = size
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        cache.clear()
        medians.append(round(_median(asked[-ASKED:]), 3))
    print(json.dumps(medians))  # noqa: T201


def _batches(rows: Iterable[dict]) -> Iterable[list[dict]]:
    rows = iter(rows)
    while some := list(islice(rows, BATCH)):
        yield some


def _write(rows: list[dict]) -> None:
    """By COPY: a million patients with their keys in minutes."""
    now = timezone.now().isoformat()
    patients, numbers, keys = [], [], []
    for one, pk in zip(rows, sorted(uuid.uuid4() for _ in rows), strict=True):
        who = matching.person(one)
        born = f"{who.birth_date[:4]}-{who.birth_date[4:6]}-{who.birth_date[6:]}"
        patients.append((pk, who.name, name_key(who.name)[:194], born, who.sex, "{}", now))
        numbers.append((pk, one["id"], "LOCAL", "", "", True, ""))
        keys += [(pk, key) for key in blocking.keys(who.name, who.birth_date)]
    _copy(Patient, ("id", "name", "name_key", "birth_date", "sex", "told", "changed_at"), patients)
    columns = ("patient_id", "value", "issuer", "universal_id", "universal_id_type", "primary", "since")
    _copy(Identifier, columns, numbers)
    _copy(PatientKey, ("patient_id", "key"), keys)


def _copy(model, columns: tuple[str, ...], rows: Iterable[tuple]) -> None:
    named = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY {model._meta.db_table} ({named}) FROM STDIN") as copy:
        for values in rows:
            copy.write_row(values)


def _median(rows: list[dict]) -> float:
    times = []
    for one in rows:
        who = matching.person(received(one, seed=21))
        start = time.perf_counter()
        _proposals(who)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[min(WARM, len(times) // 2) :])


def _proposals(who: matching.Person) -> list[Proposal]:
    found = queries.find(name=who.name, birth_date=who.birth_date, patient_ids=["4711"])
    known = [Candidate(str(one.pk), person_of(one, NO_DOMAINS), None) for one in found.patients]
    return propose(who, None, known, weights=DEFAULT.among(queries.population()), shares=found.shares)


WORKS = {"lookup": look_up}
ON_REQUEST = {"lookup"}  # takes 3 GB of the disk, and minutes
