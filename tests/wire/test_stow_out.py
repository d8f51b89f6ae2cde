"""STOW-RS to a real archive and to servers of ill will: what was stored, refused, unknown; and never elsewhere."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRLittleEndian

from policies.models import LedgerLine
from policies.rules import coercion
from policies.rules.coercion import Importer, LocalFacts
from reconciliation import commitment, delivery
from reconciliation.dicom import edit, header, reread, web
from reconciliation.dicom.scu import Refused, Unreachable
from reconciliation.dicom.web import Site
from reconciliation.models import DeliveredInstance
from tests import make
from tests.wire.test_delivery import released

LOCAL = LocalFacts(PatientName="Muster^Maria", PatientID="MRN0042", IssuerOfPatientID="LOCAL", scheduled=False)
IMPORTER = Importer("imgshare", "Here", "HERE", "HERE", "There", "THERE", "dimse", "20261124120000.000000+0000")


@pytest.fixture
def objects(tmp_path):
    """`objects(3)`: outgoing objects of one study, as a delivery makes them."""

    def prepare(count: int = 1, **keywords):
        first = make.dataset(**keywords)
        made = [first, *(make.dataset(StudyInstanceUID=first.StudyInstanceUID, **keywords) for _ in range(count - 1))]
        return [outgoing(ds, tmp_path / f"{n}.dcm") for n, ds in enumerate(made)]

    return prepare


def outgoing(ds, original: Path):
    ds.save_as(original, enforce_file_format=True)
    return SimpleNamespace(
        key=str(ds.SOPInstanceUID),
        SOPClassUID=str(ds.SOPClassUID),
        SOPInstanceUID=str(ds.SOPInstanceUID),
        StudyInstanceUID=str(ds.StudyInstanceUID),
        original=original,
        made=lambda: edit.make(original, changes(original)),
    )


def changes(original: Path) -> list:
    return coercion.plan([header.attributes(original, coercion.ATTRIBUTES)], local=LOCAL, importer=IMPORTER)


@pytest.fixture
def scripted():
    """`scripted((503, b""), ...)`: a server that answers in turn as it is told (the last again and again)."""
    servers = []

    def start(*answers, headers=(), tls=None):
        got, left = [], list(answers)

        class Scripted(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                got.append((self.path, dict(self.headers), body))
                status, said = left.pop(0) if len(left) > 1 else left[0]
                said = said(body) if callable(said) else said
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
        servers.append(server)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        scheme = "https" if tls else "http"
        return Site(f"{scheme}://127.0.0.1:{server.server_address[1]}/dicom-web", "Archive"), got

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answer(stored=(), failed=()) -> bytes:
    """A Store Instances Response: UIDs, or (UID, reason) pairs."""

    def item(one, reason_tag):
        uid, reason = one if isinstance(one, tuple) else (one, None)
        return {"00081155": {"vr": "UI", "Value": [uid]}} | (
            {reason_tag: {"vr": "US", "Value": [reason]}} if reason is not None else {}
        )

    return json.dumps(
        {
            "00081199": {"vr": "SQ", "Value": [item(one, "00081196") for one in stored]},
            "00081198": {"vr": "SQ", "Value": [item(one, "00081197") for one in failed]},
        }
    ).encode()


def sent(site, objects):
    outcomes = []
    web.send(site, objects, told=outcomes.append)
    return outcomes


# --- a real archive ---


def test_objects_lie_in_the_archive_with_their_new_headers_and_their_own_pixels(orthanc, objects):
    mine = objects(3)
    outcomes = sent(Site(orthanc.dicomweb_url, "Orthanc"), mine)

    assert [(one.accepted, one.status) for one in outcomes] == [(True, 0)] * 3
    originals = {one.SOPInstanceUID: dcmread(one.original) for one in mine}
    arrived = [dcmread(DicomBytesIO(orthanc.file(one))) for one in orthanc.instances()]
    assert {ds.PatientID for ds in arrived} == {"MRN0042"}
    assert {ds.SOPInstanceUID: ds.PixelData for ds in arrived} == {uid: ds.PixelData for uid, ds in originals.items()}


def test_what_arrives_differs_from_the_original_only_as_planned(orthanc, objects, tmp_path):
    (mine,) = objects()
    sent(Site(orthanc.dicomweb_url, "Orthanc"), [mine])

    (instance,) = orthanc.instances()
    (tmp_path / "arrived.dcm").write_bytes(orthanc.file(instance))
    assert reread.differences(mine.original, tmp_path / "arrived.dcm", changes(mine.original)) == []


def test_more_objects_than_one_request_carries_go_over_several_connections(orthanc, objects, monkeypatch):
    monkeypatch.setattr(web, "BATCH_OBJECTS", 4)
    outcomes = sent(Site(orthanc.dicomweb_url, "Orthanc", connections=3), objects(18))

    assert [one.accepted for one in outcomes] == [True] * 18
    assert len(orthanc.instances()) == 18


def test_objects_are_counted_and_those_that_are_not_there_are_not(orthanc, objects):
    mine = objects(5)
    site = Site(orthanc.dicomweb_url, "Orthanc")
    sent(site, mine[:4])

    found = web.instances(site, mine[0].StudyInstanceUID, wanted={one.SOPInstanceUID for one in mine})
    assert found == {one.SOPInstanceUID for one in mine[:4]}
    assert web.instances(site, "1.2.3.4", wanted={"1.2.3.5"}) == set()


@pytest.mark.django_db
def test_a_study_is_delivered_by_stow_and_counted(orthanc):
    made = to_stow(orthanc.dicomweb_url, proof="count", count=2)
    delivery.send(made.pk)
    made.refresh_from_db()
    assert made.state == "sent"
    commitment.prove(made.pk)

    made.refresh_from_db()
    assert (made.state, made.study.state, made.problem) == ("delivered", "delivered", "")
    assert {
        json.loads(orthanc.request("GET", f"/instances/{one}/simplified-tags"))["PatientID"]
        for one in orthanc.instances()
    } == {made.mapping.patient.identifier().value}
    assert LedgerLine.objects.filter(verb="delivery counted").get().detail["found"] == 2


def to_stow(url: str, *, count: int = 1, **columns):
    """A released delivery whose destination speaks STOW-RS at `url`."""
    made = released(1, count=count)
    to = made.destination
    for name, value in {"protocol": "stow", "stow_url": url, "ae_title": "", "host": "", **columns}.items():
        setattr(to, name, value)
    to.full_clean()
    to.save()
    return made


# --- a server that says other things ---


def test_warnings_are_accepted_and_failures_are_told_with_their_reasons(scripted, objects):
    mine = objects(4)
    one, two, three, four = (each.SOPInstanceUID for each in mine)
    site, _ = scripted((202, answer([one, (two, 0xB000)], [(three, 0xA700), (four, 0xC122)])))

    outcomes = sent(site, mine)
    assert [(each.status, each.accepted, each.final) for each in outcomes] == [
        (0, True, False),
        (0xB000, True, False),
        (0xA700, False, False),
        (0xC122, False, True),
    ]
    assert "transfer syntax" in outcomes[3].sentence


def test_an_object_of_which_nothing_is_said_is_unknown_and_may_be_sent_again(scripted, objects):
    mine = objects(2)
    site, _ = scripted((200, answer([mine[0].SOPInstanceUID])))

    assert [(each.status, each.accepted, each.final) for each in sent(site, mine)] == [
        (0, True, False),
        (None, False, False),
    ]


def test_a_conflict_refuses_for_good_with_or_without_reasons(scripted, objects):
    mine = objects(2)
    with_reasons, _ = scripted((409, answer(failed=[(each.SOPInstanceUID, 0x0122) for each in mine])))
    without, _ = scripted((409, b"<html>conflict</html>"))

    assert [(each.status, each.final) for each in sent(with_reasons, mine)] == [(0x0122, True)] * 2
    assert [(each.status, each.final) for each in sent(without, mine)] == [(None, True)] * 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[1]", b'{"00081199": 3}', b"[" * 100_000, b"\xff\xfe", b"null"])
def test_success_that_cannot_be_read_proves_nothing(scripted, objects, body):
    site, _ = scripted((200, body))
    with pytest.raises(Unreachable, match="cannot be read"):
        sent(site, objects())


@pytest.mark.parametrize("status", [500, 502, 503, 504, 507, 429, 408])
def test_an_archive_in_trouble_is_tried_again_later(scripted, objects, status):
    site, _ = scripted((status, b"busy"))
    with pytest.raises(Unreachable, match=str(status)):
        sent(site, objects())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 415, 501])
def test_what_a_person_must_set_right_is_refused(scripted, objects, status):
    site, _ = scripted((status, b"no"))
    with pytest.raises(Refused, match=str(status)):
        sent(site, objects())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(scripted, objects, status):
    elsewhere, got = scripted((200, b""))
    site, _ = scripted((status, b""), headers=[("Location", elsewhere.url)])
    with pytest.raises(Refused, match="not followed"):
        sent(site, objects())
    with pytest.raises(Refused, match="not followed"):
        web.instances(site, "1.2", wanted={"1.2.3"})

    assert got == []


def test_a_batch_that_is_too_large_is_halved_until_it_fits(scripted, objects):
    mine = objects(4)
    limit = 2 * mine[0].made().size + 1000
    uids = [each.SOPInstanceUID for each in mine]
    site, got = scripted((413, b""), (200, answer(uids[:2])), (200, answer(uids[2:])))

    assert [each.accepted for each in sent(site, mine)] == [True] * 4
    assert [len(body) < limit for _, _, body in got] == [False, True, True]


def test_an_object_that_is_too_large_alone_is_told(scripted, objects):
    site, _ = scripted((413, b""))
    (outcome,) = sent(site, objects())

    assert outcome.final
    assert "size" in outcome.sentence


def test_what_was_told_before_the_archive_went_down_stands(scripted, objects, monkeypatch):
    monkeypatch.setattr(web, "BATCH_OBJECTS", 1)
    mine, outcomes = objects(3), []
    site, _ = scripted((200, answer([mine[0].SOPInstanceUID])), (503, b""))
    with pytest.raises(Unreachable):
        web.send(site, mine, told=outcomes.append)

    assert [each.key for each in outcomes if each.accepted] == [mine[0].key]


def test_an_object_that_cannot_be_made_is_told_and_the_others_are_sent(scripted, objects):
    mine = objects(2)

    def broken():
        raise edit.CannotWrite("It cannot be made as planned.")

    mine[0].made = broken
    site, got = scripted((200, answer([mine[1].SOPInstanceUID])))
    outcomes = sent(site, mine)

    assert sorted((each.accepted, each.final) for each in outcomes) == [(False, True), (True, False)]
    assert mine[0].SOPInstanceUID.encode() not in got[0][2]


def test_credentials_go_as_they_are_configured(scripted, objects):
    mine = objects()
    site, got = scripted((200, answer([mine[0].SOPInstanceUID])))
    sent(Site(site.url, site.name, credentials="portal:secret"), mine)
    sent(Site(site.url, site.name, credentials="Bearer abc"), mine)

    assert [headers["Authorization"] for _, headers, _ in got] == ["Basic cG9ydGFsOnNlY3JldA==", "Bearer abc"]


@pytest.mark.parametrize("manner", ["hang up at once", "say nothing", "talk nonsense", "promise more than comes"])
def test_a_line_that_breaks_is_tried_again_later(objects, manner):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=misbehave, args=[server, manner], daemon=True).start()
        site = Site(f"http://127.0.0.1:{server.getsockname()[1]}", "Archive", answer_timeout=0.5)
        with pytest.raises(Unreachable, match="does not answer"):
            sent(site, objects())


def misbehave(server, manner):
    line, _ = server.accept()
    with line:
        line.settimeout(3)
        if manner == "hang up at once":
            return
        while b"--\r\n" not in line.recv(1 << 20)[-40:]:
            pass
        if manner == "say nothing":
            threading.Event().wait(2)
        line.sendall(
            {"talk nonsense": b"\0\1\2\3 no HTTP\r\n\r\n"}.get(
                manner, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
            )
        )


@pytest.fixture
def certificate(tmp_path):
    """A certificate of 127.0.0.1 that nobody has signed but itself: (certificate, key)."""
    made = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


@pytest.mark.parametrize("trusted", [True, False])
def test_an_encrypted_line_carries_the_same_bytes_and_only_to_whom_we_trust(
    scripted, objects, certificate, monkeypatch, trusted
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    mine = objects(2)
    site, got = scripted((200, answer([each.SOPInstanceUID for each in mine])), tls=context)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert [each.accepted for each in sent(site, mine)] == [True, True]
        tail = mine[1].original.read_bytes()[mine[1].made().tail_offset :]
        assert mine[1].made().head + tail in got[0][2]
    else:
        with pytest.raises(Refused, match="not trusted"):
            sent(site, mine)
        assert got == []


LARGE = """
import re, sys
from pathlib import Path
from types import SimpleNamespace
from reconciliation.dicom import edit, web
original = Path(sys.argv[1])
with original.open("rb") as file:
    size = original.stat().st_size
    made = edit.Made(file.read(500), 500, size, 132, "1.2.840.10008.1.2.1", "1.2", size)
each = SimpleNamespace(key="1", SOPInstanceUID="1.2", original=original, made=lambda: made)
said = []
web.send(web.Site(sys.argv[2], "Archive"), [each], told=said.append)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # rusage would count who started us
print(said[0].accepted, int(peak[1]) // 1024)
"""


def test_memory_stays_flat_whatever_the_size_of_the_object(tmp_path):
    original = tmp_path / "large.dcm"
    with original.open("wb") as file:
        file.truncate(600 << 20)  # of nothing, and no place on the disk
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=swallow, args=[server, original.stat().st_size], daemon=True).start()
        command = [sys.executable, "-c", LARGE, str(original), f"http://127.0.0.1:{server.getsockname()[1]}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    accepted, megabytes = done.stdout.split()
    assert accepted == "True", done.stderr
    assert int(megabytes) < 120


def swallow(server, size):
    line, _ = server.accept()
    with line:
        while size > 0:
            size -= len(line.recv(1 << 20))
        body = answer(["1.2"])
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_a_host_that_is_down_or_unknown_is_tried_again_later(free_port, objects):
    for url in (f"http://127.0.0.1:{free_port}", "http://nobody.invalid"):
        with pytest.raises(Unreachable):
            sent(Site(url, "Archive"), objects())


def test_an_archive_that_hangs_up_between_two_requests_is_called_anew(objects, monkeypatch):
    monkeypatch.setattr(web, "BATCH_OBJECTS", 1)
    mine = objects(2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_once_a_line, args=[server, mine], daemon=True).start()
        outcomes = sent(Site(f"http://127.0.0.1:{server.getsockname()[1]}", "Archive", answer_timeout=3), mine)

    assert [each.accepted for each in outcomes] == [True, True]


def answer_once_a_line(server, objects):
    """Promise to stay, and hang up after each answer all the same."""
    for each in objects:
        line, _ = server.accept()
        with line:
            while b"--\r\n" not in line.recv(1 << 20)[-40:]:
                pass
            body = answer([each.SOPInstanceUID])
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_pages_of_a_count_are_asked_for_until_all_are_found_or_none_is_new(scripted):
    def page(*uids):
        return 200, json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]).encode()

    site, got = scripted(page("1.1", "1.2"), page("1.3"), page("1.3"))

    assert web.instances(site, "1", wanted={"1.1", "1.2", "1.3", "1.4"}) == {"1.1", "1.2", "1.3"}
    assert [path.rpartition("offset=")[2] for path, _, _ in got] == ["0", "2", "3"]


@pytest.mark.parametrize(("status", "body", "problem"), [(200, b"garbage", Unreachable), (404, b"", Refused)])
def test_a_count_that_cannot_be_read_counts_nothing(scripted, status, body, problem):
    site, _ = scripted((status, body))
    with pytest.raises(problem):
        web.instances(site, "1", wanted={"1.1"})


@pytest.mark.django_db
def test_credentials_that_are_not_in_the_environment_stop_the_delivery(scripted, monkeypatch):
    site, got = scripted((200, b""))
    made = to_stow(site.url, proof="none", credentials="IMGSHARE_CREDENTIALS_PACS")
    monkeypatch.delenv("IMGSHARE_CREDENTIALS_PACS", raising=False)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert (made.state, got) == ("refused", [])
    assert "IMGSHARE_CREDENTIALS_PACS" in made.problem


@pytest.mark.django_db
def test_an_archive_that_answers_success_and_keeps_nothing_is_found_out_by_the_count(orthanc, scripted):
    def all_stored(body: bytes) -> bytes:
        received = dcmread(DicomBytesIO(body[body.index(b"DICM") - 128 :]), stop_before_pixels=True)
        return answer([str(received.SOPInstanceUID)])

    site, _ = scripted((200, all_stored))
    made = to_stow(site.url, proof="count", query_url=orthanc.dicomweb_url)
    proven_or_not(made)

    made.refresh_from_db()
    assert made.state == "refused"
    assert "not in the archive" in made.problem
    assert LedgerLine.objects.filter(verb="lost objects").count() == commitment.MOST_ROUNDS
    assert not DeliveredInstance.objects.filter(accepted=True).exists()


def proven_or_not(made):
    """Send and look for the proof until nothing is to be done any more, however long the pauses are."""
    for _ in range(40):
        type(made).objects.filter(pk=made.pk).update(due_at=made.due_at)
        delivery.send(made.pk)
        type(made).objects.filter(pk=made.pk).update(due_at=made.due_at)
        commitment.prove(made.pk)


# --- an archive that takes no compressed objects ---


def compressed(tmp_path, name: str = "MR_small_RLE.dcm"):
    return outgoing(make.dataset(name), tmp_path / "compressed.dcm")


def arrived(request: tuple) -> Dataset:
    """The one object of a request."""
    body = request[2]
    return dcmread(DicomBytesIO(body[body.index(b"\r\n\r\n") + 4 : body.rindex(b"\r\n--")]))


@pytest.mark.parametrize("reason", [0xC122, 0x0122])
@pytest.mark.parametrize("status", [202, 409])
def test_an_object_whose_transfer_syntax_is_refused_goes_uncompressed(scripted, tmp_path, status, reason):
    one = compressed(tmp_path)
    uid = one.SOPInstanceUID
    site, got = scripted((status, answer(failed=[(uid, reason)])), (200, answer([uid])))
    [outcome] = sent(site, [one])

    assert outcome.accepted
    assert outcome.sentence == "Sent as Explicit VR Little Endian: Archive does not take RLE Lossless."
    there, before = arrived(got[1]), dcmread(one.original)
    assert there.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (there.SOPInstanceUID, there.PatientID) == (uid, "MRN0042")
    assert (there.pixel_array == before.pixel_array).all()
    assert "LossyImageCompression" not in there


def test_of_a_request_that_is_refused_as_a_whole_only_what_is_compressed_changes(scripted, objects, tmp_path):
    [plain], packed = objects(), compressed(tmp_path)
    answers = [(415, b""), (200, answer([plain.SOPInstanceUID])), (200, answer([packed.SOPInstanceUID]))]
    site, got = scripted(*answers)

    assert [each.accepted for each in sent(site, [plain, packed])] == [True, True]
    assert arrived(got[1]).SOPInstanceUID == plain.SOPInstanceUID
    assert arrived(got[2]).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_what_was_lost_is_said_and_stays_said_in_the_object(scripted, tmp_path):
    one = compressed(tmp_path, "JPEGLSNearLossless_08.dcm")
    site, got = scripted((415, b""), (200, answer([one.SOPInstanceUID])))
    [outcome] = sent(site, [one])

    assert "what was lost stays lost" in outcome.sentence
    assert arrived(got[1]).LossyImageCompression == "01"


def test_an_object_that_cannot_be_written_without_compression_is_told(scripted, tmp_path):
    ds = make.dataset("MR_small_RLE.dcm")
    ds.PixelData = encapsulate([b"no run lengths"])
    one = outgoing(ds, tmp_path / "broken.dcm")
    site, _ = scripted((200, answer(failed=[(one.SOPInstanceUID, 0xC122)])))
    [outcome] = sent(site, [one])

    assert (outcome.accepted, outcome.final) == (False, True)
    assert outcome.sentence.startswith("Archive does not take RLE Lossless, and it cannot be written without")


def test_an_archive_that_refuses_it_uncompressed_too_has_the_last_word(scripted, tmp_path):
    one = compressed(tmp_path)
    site, got = scripted((409, answer(failed=[(one.SOPInstanceUID, 0x0122)])))
    [outcome] = sent(site, [one])

    assert (outcome.status, outcome.final, len(got)) == (0x0122, True, 2)


# --- an archive that answers in XML ---


def in_xml(stored=(), failed=(), *, head='xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"') -> bytes:
    def sequence(tag: str, items: list[str]) -> str:
        return f'<DicomAttribute tag="{tag}" vr="SQ">{"".join(items)}</DicomAttribute>' if items else ""

    def item(uid: str, more: str = "") -> str:
        of = f'<DicomAttribute tag="00081155" vr="UI"><Value number="1">{uid}</Value></DicomAttribute>'
        return f'<Item number="1">{of}{more}</Item>'

    def reason(code: int) -> str:
        return f'<DicomAttribute tag="00081197" vr="US"><Value number="1">{code}</Value></DicomAttribute>'

    good = sequence("00081199", [item(uid) for uid in stored])
    bad = sequence("00081198", [item(uid, reason(code)) for uid, code in failed])
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel {head}>{bad}{good}</NativeDicomModel>'.encode()


@pytest.mark.parametrize(
    "head", ["", 'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"', 'xml:space="preserve"']
)
def test_an_answer_in_xml_is_read_too(scripted, objects, head):
    mine = objects(2)
    one, two = (each.SOPInstanceUID for each in mine)
    site, _ = scripted((202, in_xml([one], [(two, 0xA700)], head=head)))

    assert [(each.status, each.accepted) for each in sent(site, mine)] == [(0, True), (0xA700, False)]


HOSTILE_XML = {
    "a document type": b'<!DOCTYPE a [<!ENTITY b "c">]><NativeDicomModel/>',
    "many entities": b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><NativeDicomModel>&c;</NativeDicomModel>',
    "an outside entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><NativeDicomModel>&b;</NativeDicomModel>',
    "levels without end": b"<NativeDicomModel>" + b'<DicomAttribute tag="00081199"><Item>' * 10_000,
    "cut off": in_xml(["1.2.3"])[:-30],
    "another page": b"<html><body>Stored.</body></html>",
    "nothing in it": b"<NativeDicomModel/>",
    "values outside": b"<NativeDicomModel><Value>1.2</Value><Item/></NativeDicomModel>",
}


@pytest.mark.parametrize("name", HOSTILE_XML)
def test_xml_of_ill_will_proves_nothing(scripted, objects, name):
    site, _ = scripted((200, HOSTILE_XML[name]))
    with pytest.raises(Unreachable, match="cannot be read"):
        sent(site, objects())
