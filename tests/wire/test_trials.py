"""Partners tested by a button or by REST: real peers, and what is said of each."""

import socketserver
import threading

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from rest_framework.test import APIClient

from orders import outbound
from policies.models import Destination, LedgerLine
from reconciliation import delivery, trials
from reconciliation.dicom import scu
from tests import make
from tests.wire.certificates import Certified, certificate_for
from tests.wire.conftest import Process, a_free_port
from tests.wire.ris import RIS, nothing
from tests.wire.test_scu import CT, outgoing

pytestmark = [pytest.mark.django_db, pytest.mark.wire]


@pytest.fixture
def strict():
    """An archive that takes calls of KNOWN only."""
    ae = AE("ARCHIVE")
    ae.add_supported_context(Verification)
    ae.require_calling_aet = ["KNOWN"]
    server = ae.start_server(("127.0.0.1", 0), block=False)
    yield server.server_address[1]
    server.shutdown()


def test_an_archive_that_answers_says_that_it_knows_us(storescp):
    trial = trials.destination(make.destination(port=storescp.port, ae_title=storescp.ae_title))

    assert trial.answers
    assert trial.sentence.startswith("Answered in ")
    assert trial.sentence.endswith("STORESCP knows our AE title IMGSHARE.")


def test_an_archive_that_does_not_know_us_is_quoted(strict):
    trial = trials.destination(make.destination(port=strict))

    assert (trial.answers, "does not accept us as IMGSHARE" in trial.sentence) == (False, True), trial.sentence
    assert "alling AE title not recogni" in trial.sentence


def test_an_archive_on_the_web_is_asked_for_nothing(orthanc):
    columns = {"protocol": "stow", "stow_url": orthanc.dicomweb_url, "host": "", "ae_title": ""}
    trial = trials.destination(make.destination(**columns))

    assert trial.answers, trial.sentence
    assert f"{orthanc.dicomweb_url} answers a query." in trial.sentence


def test_an_order_system_is_connected_to_and_told_nothing():
    ris = RIS(nothing)
    trial = outbound.trial(make.order_system(port=ris.port))

    assert trial.answers
    assert "No message was sent." in trial.sentence
    assert ris.received == []


@pytest.fixture
def listener():
    """Whatever it is told, it says this and hangs up; the port that it listens at."""
    servers = []

    def start(says: bytes, *, listens: bool = True) -> int:
        class Talk(socketserver.BaseRequestHandler):
            def handle(self):
                if listens:
                    self.request.recv(4096)
                self.request.sendall(says)

        servers.append(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def on_the_web(port: int) -> Destination:
    return make.destination(protocol="stow", stow_url=f"http://127.0.0.1:{port}/dicom-web", host="", ae_title="")


def test_a_page_for_people_is_no_archive(listener):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"
    trial = trials.destination(on_the_web(listener(page)))

    assert (trial.answers, "not as DICOMweb does" in trial.sentence) == (False, True), trial.sentence


def test_where_nobody_listens_on_the_web_is_said():
    trial = trials.destination(on_the_web(a_free_port()))

    assert (trial.answers, "Nobody listens where PACS should be" in trial.sentence) == (False, True), trial.sentence


def test_a_destination_that_knows_no_tls_is_said(listener):
    trial = trials.destination(over_tls(listener(b"")))

    assert (trial.answers, "does not speak TLS" in trial.sentence) == (False, True), trial.sentence


def test_an_order_system_that_hangs_up_at_once_does_not_count(listener):
    trial = outbound.trial(make.order_system(port=listener(b"", listens=False)))

    assert (trial.answers, "ends it at once" in trial.sentence) == (False, True), trial.sentence


def test_a_destination_is_tested_by_rest(storescp):
    to, root = make.destination(port=storescp.port, ae_title=storescp.ae_title), make.user("manager")
    client = APIClient()
    client.force_authenticate(root)
    said = client.post(f"/api/destinations/{to.pk}/test/")

    assert (said.status_code, said.json()["answers"]) == (200, True)
    assert LedgerLine.objects.get(verb="test connection").detail == {"answers": True}


# --- DICOM over TLS --------------------------------------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path, trust, settings):
    """DCMTK's storescp with TLS: it wants a certificate of an authority that it knows."""
    shown = certificate_for("127.0.0.1", tmp_path, trust)
    settings.TLS_AUTHORITIES = str(trust.authority)
    settings.TLS_CERTIFICATE, settings.TLS_KEY = str(trust.theirs.certificate), str(trust.theirs.key)
    port, folder = a_free_port(), tmp_path / "objects"
    folder.mkdir()
    words = ["/usr/bin/storescp", "+tls", shown.key, shown.certificate, "+cf", trust.authority]
    process = Process([*map(str, words), "-aet", "STORESCP", "-od", str(folder), str(port)], log=tmp_path / "log")
    process.wait_for(port)
    yield port, folder
    process.end()


def over_tls(port: int) -> Destination:
    return make.destination(port=port, ae_title="STORESCP", tls=True)


def test_objects_go_to_a_destination_over_tls(secured):
    port, folder = secured
    said: list[scu.Outcome] = []
    scu.send(delivery.peer(over_tls(port)), [outgoing(CT, "1"), outgoing(CT, "2")], told=said.append)

    assert [outcome.accepted for outcome in said] == [True, True], said
    assert len(list(folder.iterdir())) == 1
    assert "over TLS" in trials.destination(over_tls(port)).sentence


def test_a_destination_whose_certificate_nobody_vouches_for_gets_nothing(secured, settings):
    settings.TLS_AUTHORITIES = ""
    trial = trials.destination(over_tls(secured[0]))

    assert (trial.answers, "is not trusted here" in trial.sentence) == (False, True), trial.sentence


def test_a_destination_that_does_not_trust_us_is_said(secured, settings, trust):
    stranger: Certified = trust.stranger
    settings.TLS_CERTIFICATE, settings.TLS_KEY = str(stranger.certificate), str(stranger.key)

    assert not trials.destination(over_tls(secured[0])).answers
