"""The portal calls only whom the operator has listed: a server that is not listed hears nothing at all."""

import socket
import threading
from contextlib import contextmanager

import pytest

from orders import lookup
from orders.models import DemographicsSource, Worklist
from policies import reachable
from policies.models import Destination, LedgerLine, User
from policies.rules.sparing import Sparing
from reconciliation import delivery, trials
from reconciliation.release import release
from tests import make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.wire]

REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/studies\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def listening(answer: bytes = b"", host: str = "127.0.0.1"):
    """A server that counts the connections that come to it."""
    server, heard = socket.create_server((host, 0)), []

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line:
                heard.append(line.recv(1 << 16) if answer else b"")
                line.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1], heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.fixture(autouse=True)
def every_refusal_is_said(monkeypatch):
    monkeypatch.setattr(reachable, "sparing", Sparing())


def stow(port: int, host: str = "127.0.0.1") -> Destination:
    columns = {"protocol": "stow", "stow_url": f"http://{host}:{port}/dicom-web", "ae_title": "", "host": ""}
    return Destination.objects.create(name=f"Web {port}", proof="none", **columns)


def test_a_port_that_is_not_listed_hears_nothing_and_the_delivery_says_why(settings, data_dir):
    with listening() as (port, heard):
        settings.PEERS = ["127.0.0.1:11113"]
        to = make.destination(port=port)
        (made,) = release(make.study("cleared"), to=[to], by=make.user("releaser"))
        delivery.send(made.pk)

        made.refresh_from_db()
        assert made.state == "refused"
        assert f"Port {port} of 127.0.0.1 is not among those" in made.problem
        assert heard == []
    assert LedgerLine.objects.filter(verb="refuse connection", subject_key=f"127.0.0.1:{port}").count() == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0177.0.0.1"])
def test_loopback_hears_nothing_by_whatever_name(settings, host):
    with listening() as (port, heard):
        settings.PEERS = ["10.0.0.0/8"]
        trial = trials.destination(stow(port, host))

        assert not trial.answers
        assert heard == []


def test_a_name_that_changes_its_mind_gains_nothing(settings, monkeypatch):
    asked = []
    with listening() as (port, heard), listening(host="127.0.0.2") as (_, _):
        settings.PEERS = ["127.0.0.2:1-65535"]
        resolve = socket.getaddrinfo

        def flips(host, *rest, **more):
            if host != "archive.example":
                return resolve(host, *rest, **more)
            asked.append(host)
            return resolve("127.0.0.2" if len(asked) == 1 else "127.0.0.1", *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", flips)
        trials.destination(make.destination(host="archive.example", port=port))

        assert asked == ["archive.example"]
        assert heard == []


def test_a_redirect_is_not_followed(settings):
    with listening() as (inner, heard), listening(REDIRECT % inner) as (port, outer):
        trial = trials.destination(stow(port))

        assert "points to another address" in trial.sentence
        assert (len(outer), heard) == (1, [])


def test_a_look_up_leaves_out_who_is_not_listed_and_asks_the_others(settings):
    with listening() as (port, heard):
        settings.PEERS = ["10.0.0.0/8"]
        DemographicsSource.objects.create(name="EMR", protocol="fhir", url=f"http://127.0.0.1:{port}/fhir", patience=2)
        Worklist.objects.create(name="RIS", ae_title="RIS", host="127.0.0.1", port=port, patience=2)
        answers = lookup.ask(lookup.Question(name="Mueller^Anna", birth_date="19610304"))

        assert ["the operator has listed" in answer.problem for answer in answers] == [True, True]
        assert heard == []
    assert LedgerLine.objects.filter(verb="refuse connection").count() == 1  # one address: once a minute


def test_what_is_not_listed_is_not_saved(settings, client):
    settings.PEERS = ["10.0.0.0/8"]
    client.force_login(User.objects.create_superuser("root"))
    to = make.destination(host="10.0.0.1", port=104)
    form = {"name": "PACS", "kind": "pacs", "protocol": "dimse", "ae_title": "ARCHIVE", "port": 104, "associations": 1}
    form |= {"host": "169.254.169.254", "proof": "none", "commitment_patience": 3600, "active": "on"}
    page = client.post(f"/admin/policies/destination/{to.pk}/change/", form)

    assert page.status_code == 200
    assert "a link-local address" in page.content.decode()
    assert Destination.objects.get().host == "10.0.0.1"


def test_nobody_listens_is_said():
    assert trials.destination(make.destination(port=1)).sentence == "Nobody listens at 127.0.0.1:1 (ARCHIVE)."


def test_a_test_is_in_the_ledger(client):
    client.force_login(User.objects.create_superuser("root"))
    to = make.destination(port=1)
    assert client.get(f"/admin/policies/destination/{to.pk}/test/").status_code == 405
    client.post(f"/admin/policies/destination/{to.pk}/test/")

    line = LedgerLine.objects.get(verb="test connection")
    assert (line.reason, line.detail) == ("Nobody listens at 127.0.0.1:1 (ARCHIVE).", {"answers": False})


def test_who_may_not_change_a_destination_may_not_test_it(client):
    to, auditor = make.destination(port=1), make.user("auditor")
    User.objects.filter(pk=auditor.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=auditor.pk))

    assert client.post(f"/admin/policies/destination/{to.pk}/test/").status_code == 403
    assert client.post(f"/api/destinations/{to.pk}/test/").status_code == 403
