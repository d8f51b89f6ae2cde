"""Receiving and indexing: how long it takes until the last object of a series is visible by REST."""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from imgshare_site.bench.material import ct_series, empty
from imgshare_site.bench.measure import ROUNDS, Row, row
from imgshare_site.bench.orthanc import Orthanc, orthanc
from imgshare_site.bench.peers import call, child, free_port, program

LOOK = 0.02  # seconds between two questions whether all is visible
LONGEST = 120  # seconds
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
SETUP = """
from rest_framework.authtoken.models import Token
from policies import roles
from policies.models import Source, User
Source.objects.create(name="Sender", ae_title="SENDER", issuer="SENDER")
reader = User.objects.create(username="reader")
reader.groups.add(roles.install()["Reconciliation"])
print(Token.objects.create(user=reader).key)
"""


@dataclass(frozen=True)
class Portal:
    """Our door, our intake and our pages, each in a process of its own as in production, on SQLite."""

    dicom_port: int
    http_port: int
    token: str
    ae_title: str = "IMGSHARE"

    def count(self) -> int:
        """Objects that are visible by REST."""
        asked = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            asked.request("GET", "/api/studies/", headers={"Authorization": f"Token {self.token}"})
            return sum(study["counts"]["instances"] for study in json.loads(asked.getresponse().read())["results"])
        finally:
            asked.close()


@contextmanager
def portal(folder: Path) -> Iterator[Portal]:
    """A portal that has seen nothing yet."""
    dicom_port, http_port = free_port(), free_port()
    environment = os.environ | {
        "IMGSHARE_DATA_DIR": str(empty(folder / "portal")),
        "DATABASE_URL": f"sqlite:///{folder / 'portal' / 'db.sqlite3'}",
        "IMGSHARE_DICOM_PORT": str(dicom_port),
        "IMGSHARE_MINIMUM_FREE_BYTES": "0",
        "IMGSHARE_LOG_LEVEL": "ERROR",
    }
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], env=environment, check=True)
    made = subprocess.run(
        [*MANAGE, "shell", "--verbosity", "0", "-c", SETUP], env=environment, check=True, capture_output=True, text=True
    )
    pages = ["-m", "gunicorn", "imgshare_site.wsgi", "--no-control-socket", "--threads", "2", "--bind"]
    with ExitStack() as running:
        for command, port in (
            ([sys.executable, *pages, f"127.0.0.1:{http_port}"], http_port),
            ([*MANAGE, "intake"], http_port),
            ([*MANAGE, "storescp"], dicom_port),
        ):
            running.enter_context(child(command, port, **environment))
        ours = Portal(dicom_port, http_port, made.stdout.strip())
        ours.count()  # the first page takes longer, as the first of any program
        time.sleep(1)  # until intake has begun to look
        yield ours


def until_visible(peer: Portal | Orthanc, send: Callable[[str, int], None], count: int) -> float:
    """Seconds from the first byte that is sent until all `count` objects are visible."""
    start = time.perf_counter()
    send(peer.ae_title, peer.dicom_port)
    while peer.count() < count:
        if time.perf_counter() - start > LONGEST:
            raise TimeoutError(f"{peer.count()} of {count} objects are visible after {LONGEST} s")
        time.sleep(LOOK)
    return time.perf_counter() - start


def index_ct(folder: Path) -> Row:
    """C-STORE of CTs by `storescu` until they are in the queue; every object synced by both."""
    files, sender = ct_series(folder, 500), program("storescu")
    ours, theirs = [], []

    def send(title: str, port: int) -> None:
        flags = ["-R", "+sd", "--max-send-pdu", "131072", "-aet", "SENDER", "-aec", title]
        call([sender, *flags, "127.0.0.1", str(port), str(files)], TCP_NODELAY="1")

    with orthanc(folder) as peer:
        for _ in range(ROUNDS):
            with portal(folder) as fresh:
                ours.append(until_visible(fresh, send, 500))
            peer.clear()
            theirs.append(until_visible(peer, send, 500))
    mine, other = statistics.median(ours), statistics.median(theirs)
    return row("receive and index 500 CT until visible", "Orthanc, SyncStorageArea", mine, other, at_most=0.7)


WORKS = {"index-ct": index_ct}
