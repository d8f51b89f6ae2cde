"""The demo: every kind of study is in its queue, it happens once, and one command runs and ends the whole portal."""

import http.cookiejar
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError
from pydicom import dcmread

from imgshare_site import demo
from imgshare_site.archive import UNFILED, Archive
from imgshare_site.management.commands.demo import require_free_ports
from policies import audit
from policies.models import Source, User
from reconciliation import release
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.spool import OutOfRoom
from reconciliation.models import Study, Unreadable
from tests import make

ROOT = Path(__file__).resolve().parents[1]
PROMISED = {
    "clear match": ("held", "strong"),
    "twins": ("held", "possible"),
    "no order": ("held", "strong"),
    "unknown": ("held", ""),
    "transposed": ("held", "possible"),
    "conflict": ("held", "conflict"),
    "deidentified": ("held", ""),
    "disc, his": ("held", "strong"),
    "disc, hers": ("held", "strong"),
    "unreadable": ("held", "strong"),
    "mapped": ("mapped", "strong"),
    "cleared": ("cleared", "strong"),
    "delivered": ("released", "strong"),  # the worker of a running demo takes it on
    "rejected": ("rejected", "strong"),
}


@pytest.fixture
def seeded(db, data_dir):
    demo.seed()


def rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in apps.get_models()}


def levels(study: Study, field: str) -> list[str]:
    return [e["agreement"] for proposal in study.proposals.all() for e in proposal.evidence if e["field"] == field]


def test_the_queue_holds_every_kind_of_study(seeded):
    found = {key: demo.study(key) for key in PROMISED}

    assert {key: (study.state, study.best_class) for key, study in found.items()} == PROMISED
    assert Study.objects.count() == len(PROMISED)
    assert audit.verify() == ""


def test_each_story_shows_what_makes_it_hard(seeded):
    twins, transposed, conflict = (demo.study(key).proposals.all() for key in ("twins", "transposed", "conflict"))

    assert [proposal.ambiguous for proposal in twins if proposal.order] == [True, True]
    assert transposed[0].patient.name == "Björnström^Åsa"
    assert levels(demo.study("transposed"), "birth_date")[0] == "similar"
    assert levels(demo.study("conflict"), "sex")[0] == "different"
    assert conflict[0].klass == "conflict"
    assert all(proposal.order is None for proposal in demo.study("no order").proposals.all())


def test_findings_and_unreadable_files_are_there_to_be_seen(seeded):
    codes = {key: {finding.code for finding in demo.study(key).findings.all()} for key in PROMISED}

    assert "deidentified" in codes["deidentified"]
    assert all("several_patients" in codes[key] for key in ("disc, his", "disc, hers"))
    assert Unreadable.objects.get().submission == demo.study("unreadable").submission


def test_a_second_seed_adds_nothing_and_keeps_what_people_changed(seeded):
    Source.objects.filter(name="General Hospital").update(name="St Elsewhere")
    release.reject(demo.study("unknown"), reason=make.reason("no-consent"), by=make.user("releaser"))
    before = rows()

    assert demo.seed() == 0
    assert rows() == before
    assert demo.study("unknown").state == "rejected"


def test_a_seed_that_was_cut_off_goes_on(db, data_dir, settings):
    settings.MINIMUM_FREE_BYTES = 1 << 62
    with pytest.raises(OutOfRoom):
        demo.seed()
    settings.MINIMUM_FREE_BYTES = 0

    assert demo.why_not_here() == ""
    assert demo.seed() == len(PROMISED)


def test_a_database_in_use_never_becomes_a_demo(db):
    make.user("desk")

    assert "was not made by the demo" in demo.why_not_here()


def test_every_account_signs_in_with_its_password_and_no_other(seeded):
    for name in demo.ACCOUNTS:
        assert User.objects.get(username=name).check_password(f"demo-{name}")
        assert not User.objects.get(username=name).check_password(name)


def test_the_archive_files_each_object_under_its_uids(data_dir, settings):
    settings.MINIMUM_FREE_BYTES = 0
    archive, ds = Archive(data_dir / "archive"), make.dataset()
    for comment in ("first", "again"):
        ds.ImageComments = comment
        put(archive, demo.file_of(ds))
        archive.file_all()
    put(archive, b"nothing that one could file")
    archive.file_all()

    kept = archive.root / ds.StudyInstanceUID / f"{ds.SOPInstanceUID}.dcm"
    assert dcmread(kept).ImageComments == "again"
    assert len(list((archive.root / UNFILED).iterdir())) == 1
    assert archive.spool.keys() == []


def test_no_uid_leads_out_of_the_archive(data_dir, settings):
    settings.MINIMUM_FREE_BYTES = 0
    archive, ds = Archive(data_dir / "archive"), make.dataset()
    uid = ds.StudyInstanceUID.encode()
    hostile = demo.file_of(ds).replace(uid, b"../../../tmp/".ljust(len(uid), b"x"))
    put(archive, hostile)
    archive.file_all()

    assert [path.parent.name for path in archive.root.rglob("*.dcm")] == [UNFILED]


def put(archive: Archive, data: bytes) -> None:
    with archive.spool.open(Origin(door="dimse")) as submission, submission.part() as part:
        part.write(data)
        part.commit()


def test_a_port_in_use_is_named_with_its_variable(settings):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings.DICOM_PORT = other.getsockname()[1]
        settings.HTTP_PORT, settings.MLLP_PORT, settings.PACS_PORT = free_ports(3)

        with pytest.raises(CommandError, match=f"Port {settings.DICOM_PORT} .* set IMGSHARE_DICOM_PORT"):
            require_free_ports()


# --- the whole of it -------------------------------------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(condition, *, seconds: float, what: str):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"Not within {seconds} s: {what}")


class Running:
    """A demo in a process of its own, on free ports, with a data folder of its own and the embedded database."""

    def __init__(self, data: Path):
        self.data, self.screen = data, data / "screen"
        names = ("IMGSHARE_HTTP_PORT", "IMGSHARE_DICOM_PORT", "IMGSHARE_MLLP_PORT", "IMGSHARE_PACS_PORT")
        ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
        self.site = f"http://127.0.0.1:{ports['IMGSHARE_HTTP_PORT']}"
        without = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL"}
        env = {name: value for name, value in os.environ.items() if name not in without}
        with self.screen.open("wb") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", "--for", "240"],
                cwd=ROOT,
                env=env | ports | {"IMGSHARE_DATA_DIR": str(data)},
                stdout=screen,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.screen.read_text()

    def signs_in(self, name: str) -> urllib.request.OpenerDirector:
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        login = browser.open(f"{self.site}/login/").geturl()
        token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        form = {"login": name, "password": f"demo-{name}", "csrfmiddlewaretoken": token}
        landed = browser.open(login, urllib.parse.urlencode(form).encode())
        assert landed.status == 200
        assert "/login/" not in landed.geturl()
        return browser

    def sessions(self) -> set[int]:
        """The sessions of its children."""
        mine = os.getsid(0)  # the child that reads headers shares it, and ends with its parent
        return {session for parent, session in _processes() if parent == self.process.pid} - {mine}


def _processes() -> list[tuple[int, int]]:
    """(parent, session) of every living process (proc(5), stat)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, session, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if state != "Z":
            found.append((int(parent), int(session)))
    return found


@pytest.fixture
def running(tmp_path):
    demo = Running(tmp_path)
    yield demo
    demo.process.terminate()
    demo.process.wait(30)


@pytest.mark.wire
def test_one_command_runs_the_portal_until_ctrl_c_and_leaves_nothing_behind(running):
    until(lambda: "Ready" in running.said() or running.process.poll() is not None, seconds=120, what="ready")
    browser = running.signs_in("desk")
    folder = running.data / "archive" / demo.study_uid("delivered")
    until(lambda: len(list(folder.glob("*.dcm"))) == 6, seconds=40, what="six objects in the archive")
    until(lambda: _delivered(browser, running.site), seconds=10, what="delivered")
    assert {dcmread(path).PatientID for path in folder.iterdir()} == {"100402"}

    children = running.sessions()
    running.process.send_signal(signal.SIGINT)

    assert running.process.wait(15) == 0
    assert len(children) >= 5  # intake has one more: the child that reads headers
    assert children & {session for _, session in _processes()} == set()
    assert "The demo has ended" in running.said()


def _delivered(browser, site: str) -> bool:
    return len(json.load(browser.open(f"{site}/api/studies/?state=delivered"))["results"]) == 1
