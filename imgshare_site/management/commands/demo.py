"""The whole portal in one terminal: makes the demo's data, runs every process until Ctrl-C, and ends them all."""

import ctypes
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.models import Q
from django.urls import reverse

from imgshare_site import demo
from imgshare_site.archive import AE_TITLE as ARCHIVE
from orders.dicom import calling
from policies.models import Source

LOOPBACK = "127.0.0.1"  # the passwords are known to everybody: no demo listens to the outside
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
PORTS = {f"IMGSHARE_{door}_PORT": f"{door}_PORT" for door in ("HTTP", "DICOM", "MLLP", "PACS")}
SETTLE_SECONDS = 5  # nobody waits a minute for a study of their own
PATIENCE = 60  # seconds until a process must answer
GOODBYE = 10  # seconds that a process gets to end by itself
TICK = 0.2  # seconds between two looks at the processes
MOST_RESTARTS = 5  # of one process
LOUD = (b" WARNING ", b" ERROR ", b" CRITICAL ", b"[ERROR]", b"[CRITICAL]", b"CommandError")
QUIET = b" WARNING django.request: "  # a page that is not there, a step that was refused: the browser has said so

PARENT_DIED = 1  # PR_SET_PDEATHSIG of prctl(2)
PRCTL = getattr(ctypes.CDLL(None), "prctl", None)


def _end_with_parent() -> None:
    """Even a killed demo leaves nothing behind (Linux; elsewhere a killed demo leaves its processes)."""
    if PRCTL:
        PRCTL(PARENT_DIED, signal.SIGTERM)


@dataclass
class Child:
    """A process in a session of its own, so that Ctrl-C reaches the demo alone; what it says goes into its log."""

    name: str
    command: list[str]
    answers: Callable[[], bool] = lambda: True
    process: subprocess.Popen | None = None
    restarts: int = 0
    told: int = 0  # bytes of the log that have been looked at
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = settings.DATA_DIR / "logs" / f"{self.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.told = self.told or file.tell()
            self.process = subprocess.Popen(
                self.command,
                cwd=settings.BASE_DIR,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def kill(self) -> None:
        """The whole group: workers of a process too."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def news(self) -> list[str]:
        """Warnings and errors since the last call; an unfinished line waits for the next one."""
        with self.log.open("rb") as file:
            file.seek(self.told)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.told += len(whole)
        loud = [line for line in whole.splitlines() if any(mark in line for mark in LOUD) and QUIET not in line]
        return [line.decode(errors="replace") for line in loud]


def _environment() -> dict[str, str]:
    mine = {"IMGSHARE_SETTLE_SECONDS": str(SETTLE_SECONDS), "PYTHONUNBUFFERED": "1"}
    return mine | os.environ | {"IMGSHARE_BIND_ADDRESS": LOOPBACK}


class Command(BaseCommand):
    help = "Run the whole portal with demo data until Ctrl-C."

    def add_arguments(self, parser):
        parser.add_argument("--once", "--seed-only", action="store_true", help="Make the data and end.")
        parser.add_argument("--for", type=float, default=0, metavar="SECONDS", help="End by itself after so long.")

    def handle(self, **options):
        began = time.monotonic()
        self.over = Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.over.set())
        if not options["once"]:
            require_free_ports()
        logging.getLogger().setLevel(logging.WARNING)  # the screen is for the reader; logs are in files
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # nobody answers C-ECHO until the doors are open
        self._prepare()
        if options["once"]:
            return
        children = _children()
        try:
            self._start(children)
            if not self.over.is_set():
                self._welcome(time.monotonic() - began)
            self._watch(children, until=began + options["for"] if options["for"] else None)
        finally:
            _end(children)
        self._say("The demo has ended. Everything in it is kept; start it again to go on.")

    def _say(self, text: str) -> None:
        """At once, also into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()

    def _prepare(self) -> None:
        """Tables, data and static files; the last in a process of its own, because it takes as long as the others."""
        collecting = subprocess.Popen(
            [*MANAGE, "collectstatic", "--noinput", "-v0", "--skip-checks"], start_new_session=True
        )
        try:
            call_command("migrate", verbosity=0)
            if refusal := demo.why_not_here():
                raise CommandError(refusal)
            made = demo.seed()
            self._say(f"{made} studies came in." if made else "The data of the last demo is still here.")
            connections.close_all()
            while collecting.poll() is None and not self.over.wait(TICK):
                pass
            if collecting.returncode:
                raise CommandError("The static files could not be collected.")
        finally:
            collecting.kill()
            collecting.wait()

    def _start(self, children: list[Child]) -> None:
        (settings.DATA_DIR / "logs").mkdir(parents=True, exist_ok=True)
        if self.over.is_set():
            return
        for child in children:
            child.start()
        until = time.monotonic() + PATIENCE
        waiting = list(children)
        while waiting and not self.over.wait(TICK):
            self._look_after(children)
            waiting = [child for child in waiting if not child.answers()]
            if waiting and time.monotonic() > until:
                names = ", ".join(child.name for child in waiting)
                raise CommandError(f"No answer after {PATIENCE} s: {names}. Its log is in {waiting[0].log.parent}.")

    def _watch(self, children: list[Child], *, until: float | None) -> None:
        while not self.over.wait(TICK):
            self._look_after(children)
            if until and time.monotonic() >= until:
                return

    def _look_after(self, children: list[Child]) -> None:
        """Show what is wrong, and start again what has died; `CommandError` for a process that dies again and again."""
        for child in children:
            for line in child.news():
                self._say(f"{child.name}: {line}")
            if child.process.poll() is None:
                continue
            if child.restarts == MOST_RESTARTS:
                raise CommandError(f"{child.name} has ended {MOST_RESTARTS + 1} times. Its log says why: {child.log}")
            child.restarts += 1
            if self.over.wait(child.restarts):  # seconds; longer each time
                return
            self._say(f"{child.name} has ended (status {child.process.returncode}); starting it again.")
            child.kill()  # workers that it left behind would hold its port
            child.start()

    def _welcome(self, seconds: float) -> None:
        site = f"http://{LOOPBACK}:{settings.HTTP_PORT}"
        accounts = [f"  {name:10}{demo.password(name):16}{does}" for name, (_, _, does, _) in demo.ACCOUNTS.items()]
        self._say(
            WELCOME.format(
                seconds=seconds,
                site=site,
                admin=site + reverse("admin:index"),
                docs=f"{site}/api/docs/",
                accounts="\n".join(accounts),
                title=settings.AE_TITLE,
                host=LOOPBACK,
                port=settings.DICOM_PORT,
                mllp_port=settings.MLLP_PORT,
                archive=ARCHIVE,
                archive_port=settings.PACS_PORT,
                data=_shown(settings.DATA_DIR),
                python=_shown(Path(sys.executable)),
                variables=_variables(),
                source=demo.DISCS,
                sender=_sender() or "AE_TITLE",
            )
        )


WELCOME = """
Ready after {seconds:.1f} s.

  Queue     {site}/
  Admin     {admin}
  API       {docs}
  HL7       {host}:{mllp_port}, over MLLP
  PACS      {archive} at {host}:{archive_port}; what it receives lies in {data}/archive
  Logs      {data}/logs

Accounts
{accounts}

Send a study of your own (it is in the queue a few seconds later)
  storescu -aet {sender} -aec {title} {host} {port} FILE
  {variables}{python} manage.py importmedia FOLDER --source "{source}"

Ctrl-C ends the demo."""


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(settings.BASE_DIR)) if path.is_relative_to(settings.BASE_DIR) else str(path)


def _variables() -> str:
    """What another terminal must be told to work on the same data."""
    given = [name for name in ("IMGSHARE_DATA_DIR", "DATABASE_URL") if os.environ.get(name)]
    return "".join(f'{name}="{os.environ[name]}" ' for name in given)


def require_free_ports() -> None:
    """Raise `CommandError` for a port that another program has, naming the variable that gives another one."""
    for variable, name in PORTS.items():
        port = getattr(settings, name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as problem:
                raise CommandError(
                    f"Port {port} cannot be used ({problem.strerror}); set {variable} to a free port and try again."
                ) from None


def _children() -> list[Child]:
    web = [sys.executable, "-m", "gunicorn", "imgshare_site.wsgi", "--bind", f"{LOOPBACK}:{settings.HTTP_PORT}"]
    web += [
        "--worker-class",
        "gthread",
        "--workers",
        "2",
        "--threads",
        "4",
        "--graceful-timeout",
        "5",
        "--no-control-socket",
    ]
    mine = settings.AE_TITLE
    return [
        Child("archive", [*MANAGE, "archive"], lambda: _echoes(settings.PACS_PORT, ARCHIVE, mine)),
        Child("web", web, _page_is_there),
        Child("storescp", [*MANAGE, "storescp"], lambda: _echoes(settings.DICOM_PORT, mine, _sender())),
        Child("intake", [*MANAGE, "intake"]),
        Child("mllp", [*MANAGE, "mllp"], lambda: _listens(settings.MLLP_PORT)),
        Child("worker", [*MANAGE, "qcluster"]),
    ]


def _page_is_there() -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, settings.HTTP_PORT, timeout=10)
    try:
        connection.request("GET", reverse("login"))
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _sender() -> str:
    """The AE title of a source that may call from here, "" when managers have left none."""
    may_call = Source.objects.filter(Q(address=None) | Q(address=LOOPBACK), active=True, certificate="")
    titles = list(may_call.exclude(ae_title=None).values_list("ae_title", flat=True))
    first = demo.SOURCES[0]["ae_title"]
    return first if first in titles else next(iter(titles), "")


def _echoes(port: int, called: str, title: str) -> bool:
    """Whether C-ECHO is answered; only whether somebody listens, when there is nobody to ask as."""
    if title:
        return not calling.echo(calling.Peer(host=LOOPBACK, port=port, ae_title=called, calling_title=title))
    return _listens(port)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _end(children: list[Child]) -> None:
    """Ask every process to end, give them time together, and end by force what is left of their groups.

    The leaders are asked alone: each ends its own workers, and a cluster whose workers vanish first waits for ever.
    """
    started = [child for child in children if child.process]
    for child in started:
        child.process.terminate()
    until = time.monotonic() + GOODBYE
    for child in started:
        try:
            child.process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
    for child in started:
        child.kill()
