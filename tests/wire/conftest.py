"""Real peers and a real portal on loopback, each with ports and folders of its own, ended by process group."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from pynetdicom import _config

from tests.conftest import program
from tests.wire.certificates import Trust, trust_in

ROOT = Path(__file__).resolve().parents[2]
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
READY_WITHIN, ENDED_WITHIN = 30, 15  # seconds
COMMANDS = {
    "storescp": ["manage.py", "storescp"],
    "intake": ["manage.py", "intake"],
    "mllp": ["manage.py", "mllp"],
    "qcluster": ["manage.py", "qcluster"],
    "web": ["-m", "gunicorn", "imgshare_site.wsgi", "--no-control-socket", "--threads", "4", "--bind"],
}


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(true: Callable[[], bool], *, seconds: float, failing: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(failing)
        time.sleep(0.05)


class Process:
    """A peer in a process group of its own, its output in a file."""

    def __init__(self, arguments: list[str], *, log: Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                arguments, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def wait_for(self, port: int) -> None:
        def listens_or_has_ended() -> bool:
            return answers(port) or self.popen.poll() is not None

        wait_until(listens_or_has_ended, seconds=READY_WITHIN, failing=f"nothing on port {port}:\n{self.tail()}")
        if self.popen.poll() is not None:
            pytest.fail(f"{self.log.stem} ended with {self.popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def signal(self, number: int) -> None:
        """SIGKILL goes to the whole group. Others go to its leader, who tells the rest: a worker's guard that is
        asked to end together with its cluster leaves the cluster waiting for it for ever.
        """
        try:
            (os.killpg if number == signal.SIGKILL else os.kill)(self.popen.pid, number)
        except ProcessLookupError:
            pass

    def end(self) -> None:
        if self.popen.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            self.popen.wait(ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            pass
        self.signal(signal.SIGKILL)
        self.popen.wait(ENDED_WITHIN)


@pytest.fixture(autouse=True)
def _as_the_library_comes(monkeypatch):
    """A door changes pynetdicom for its whole process; the next test's receiver may be another."""
    monkeypatch.setattr(_config, "UNRESTRICTED_STORAGE_SERVICE", _config.UNRESTRICTED_STORAGE_SERVICE)


@pytest.fixture
def free_port() -> int:
    return a_free_port()


@pytest.fixture(scope="session")
def trust(tmp_path_factory) -> Trust:
    return trust_in(tmp_path_factory.mktemp("certificates"))


# --- DCMTK ---


@pytest.fixture
def storescu() -> Callable[..., subprocess.CompletedProcess]:
    """`storescu("-aec", "IMGSHARE", "127.0.0.1", port, path, ...)`: runs it to its end, output as text in `.stdout`."""

    def run(*arguments: object) -> subprocess.CompletedProcess:
        command = [program("storescu"), *map(str, arguments)]
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(command, **out, errors="replace", check=False, timeout=120)

    return run


class StoreSCP:
    """DCMTK's storescp: keeps each object bit by bit as it came, under a name of its own."""

    ae_title = "STORESCP"

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = a_free_port(), folder / "objects"
        self.folder.mkdir(parents=True)
        self.process = Process(
            [program("storescp"), "-aet", self.ae_title, "+xa", "+B", "+uf", "-od", str(self.folder), str(self.port)],
            log=folder / "dcmtk-storescp.log",
        )

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@pytest.fixture
def storescp(tmp_path) -> Iterator[StoreSCP]:
    peer = StoreSCP(tmp_path / "storescp")
    try:
        peer.process.wait_for(peer.port)
        yield peer
    finally:
        peer.process.end()


# --- Orthanc ---


class Orthanc:
    """Debian's Orthanc with its DICOMweb plugin; takes objects from anybody and keeps no secret from loopback."""

    ae_title = "ORTHANC"

    def __init__(self, folder: Path) -> None:
        self.dicom_port, self.http_port = a_free_port(), a_free_port()
        self.http_url = f"http://127.0.0.1:{self.http_port}"
        self.dicomweb_url = f"{self.http_url}/dicom-web"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orthanc.json").write_text(json.dumps(self._configuration(folder)))
        self.process = Process([program("Orthanc"), str(folder / "orthanc.json")], log=folder / "orthanc.log")

    def _configuration(self, folder: Path) -> dict:
        return {
            "Name": "Archive of the tests",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(DICOMWEB)] if DICOMWEB.exists() else [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": True,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom_port,
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": True,
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": False,
            "SyncStorageArea": False,
            "StableAge": 1,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """One call of the REST interface; a `body` that is not bytes goes as JSON. Any answer but 2xx fails."""
        asked = http.client.HTTPConnection(urlsplit(self.http_url).netloc, timeout=30)
        try:
            asked.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body))
            answer = asked.getresponse()
            content = answer.read()
        finally:
            asked.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {content[:500]!r}"
        return content

    def instances(self) -> list[str]:
        return json.loads(self.request("GET", "/instances"))

    def file(self, instance: str) -> bytes:
        return self.request("GET", f"/instances/{instance}/file")

    def know(self, name: str, *, ae_title: str, port: int) -> None:
        """Make a peer on loopback known as a modality, so that Orthanc sends to it (`/modalities/{name}/store`)."""
        self.request("PUT", f"/modalities/{name}", {"AET": ae_title, "Host": "127.0.0.1", "Port": port})

    def clear(self) -> None:
        for patient in json.loads(self.request("GET", "/patients")):
            self.request("DELETE", f"/patients/{patient}")


@pytest.fixture(scope="session")
def _orthanc(tmp_path_factory) -> Iterator[Orthanc]:
    peer = Orthanc(tmp_path_factory.mktemp("orthanc"))
    try:
        peer.process.wait_for(peer.http_port)
        peer.process.wait_for(peer.dicom_port)
        yield peer
    finally:
        peer.process.signal(signal.SIGKILL)  # it takes three seconds to end in peace, for nothing worth keeping
        peer.process.end()


@pytest.fixture
def orthanc(_orthanc) -> Orthanc:
    """One server for the whole session, empty at the start of each test."""
    _orthanc.clear()
    return _orthanc


# --- The portal ---


class Portal:
    """The portal's own processes on a database and a data folder of its own, with production settings."""

    ae_title = "IMGSHARE"

    def __init__(self, folder: Path, *, database_url: str, static: Path, **env: object) -> None:
        self.folder, self.data_dir = folder, folder / "data"
        self.data_dir.mkdir(parents=True)
        (self.data_dir / "staticfiles").symlink_to(static)
        self.http_port, self.dicom_port, self.mllp_port = a_free_port(), a_free_port(), a_free_port()
        self.http_url = f"http://127.0.0.1:{self.http_port}"
        self.env = portal_environment(
            IMGSHARE_DATA_DIR=self.data_dir,
            DATABASE_URL=database_url,
            IMGSHARE_HTTP_PORT=self.http_port,
            IMGSHARE_DICOM_PORT=self.dicom_port,
            IMGSHARE_MLLP_PORT=self.mllp_port,
            IMGSHARE_PACS_PORT=a_free_port(),
            IMGSHARE_AE_TITLE=self.ae_title,
            **{"IMGSHARE_SETTLE_SECONDS": 1, **env},
        )
        self.processes: dict[str, Process] = {}

    def manage(self, *arguments: object) -> subprocess.CompletedProcess:
        """Run one command to its end: output as text in `.stdout` and `.stderr`, `.returncode` unchecked."""
        return manage(self.env, *arguments)

    def shell(self, code: str) -> str:
        """Run Python in the portal's own settings and database, and give what it prints."""
        done = self.manage("shell", "--verbosity", "0", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str) -> None:
        """Start one of COMMANDS, again after `kill` too, and come back when it listens (if it does)."""
        where = [f"127.0.0.1:{self.http_port}"] if name == "web" else []
        if name in self.processes:
            self.processes[name].end()
        process = Process([sys.executable, *COMMANDS[name], *where], log=self.folder / f"{name}.log", env=self.env)
        self.processes[name] = process
        if port := {"web": self.http_port, "storescp": self.dicom_port, "mllp": self.mllp_port}.get(name):
            process.wait_for(port)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal (SIGKILL: to all processes of `name`), and come back when it has ended."""
        self.processes[name].signal(number)
        self.processes[name].popen.wait(ENDED_WITHIN)

    def end(self) -> None:
        """End everything, at once: its database and folder end with it. The logs show only under a test that failed."""
        for process in self.processes.values():
            process.signal(signal.SIGKILL)
            process.end()
        for log in sorted(self.folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-8000:]}")  # noqa: T201


def portal_environment(**values: object) -> dict[str, str]:
    """This process's environment without what the tests' own settings put into it."""
    ours = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"}
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("IMGSHARE_")}
    fixed = {"IMGSHARE_SECRET_KEY": "k" * 60, "IMGSHARE_MINIMUM_FREE_BYTES": "0", "PYTHONUNBUFFERED": "1"}
    fixed |= {"IMGSHARE_PEERS": "127.0.0.0/8:1-65535,[::1]:1-65535"}
    return kept | fixed | {name: str(value) for name, value in values.items()}


def manage(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "manage.py", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=180
    )


class SQLiteDatabases:
    """Each portal gets a copy of one file that was migrated once."""

    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.sqlite3"
        self.template_url = f"sqlite:///{self.template}"

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        copy = folder / "db.sqlite3"
        shutil.copyfile(self.template, copy)
        yield f"sqlite:///{copy}"


class PostgreSQLDatabases:
    """Each portal gets a copy of one database that was migrated once, dropped at its end."""

    def __init__(self) -> None:
        self.template = f"portal_{uuid4().hex}"
        self.template_url = self._url(self.template)
        self._execute(f'CREATE DATABASE "{self.template}"')

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        name = f"portal_{uuid4().hex}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        try:
            yield self._url(name)
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _url(self, name: str) -> str:
        return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as server:
            server.execute(statement)


@pytest.fixture(scope="session")
def _databases(tmp_path_factory) -> SQLiteDatabases | PostgreSQLDatabases:
    folder = tmp_path_factory.mktemp("databases")
    databases = SQLiteDatabases(folder) if connection.vendor == "sqlite" else PostgreSQLDatabases()
    done = manage(portal_environment(IMGSHARE_DATA_DIR=folder, DATABASE_URL=databases.template_url), "migrate")
    assert done.returncode == 0, done.stderr
    return databases


@pytest.fixture(scope="session")
def _static(tmp_path_factory) -> Path:
    """The pages' static files, collected once: without them production settings show no page (but /api/docs/)."""
    folder = tmp_path_factory.mktemp("static")
    done = manage(
        portal_environment(IMGSHARE_DATA_DIR=folder),
        "collectstatic",
        "--no-input",
        "--ignore",
        "drf_spectacular_sidecar",
    )
    assert done.returncode == 0, done.stderr
    return folder / "staticfiles"


@pytest.fixture
def new_portal(tmp_path, _databases, _static) -> Iterator[Callable[..., Portal]]:
    """`new_portal("storescp", "intake", IMGSHARE_SETTLE_SECONDS=5)`: a portal with these processes (none: none yet)."""
    with ExitStack() as at_the_end:
        numbers = count()

        def make(*names: str, **env: object) -> Portal:
            folder = tmp_path / f"portal-{next(numbers)}"
            folder.mkdir()
            url = at_the_end.enter_context(_databases.fresh(folder))
            portal = Portal(folder, database_url=url, static=_static, **env)
            at_the_end.callback(portal.end)
            for name in names:
                portal.start(name)
            return portal

        yield make


@pytest.fixture
def portal(new_portal) -> Portal:
    """A portal with everything running."""
    return new_portal(*COMMANDS)
