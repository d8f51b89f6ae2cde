"""Look-ups with real peers: worklist, PDQ, PIX and FHIR; what they know becomes candidates."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from orders import lookup
from orders.hl7 import mllp, read
from orders.models import CrossReference, DemographicsSource, Identifier, Lookup, Order, Patient, Worklist
from policies.models import AssigningAuthority, LedgerLine
from reconciliation import asking, tasks
from reconciliation.models import Study
from tests import make
from tests.wire import worklists
from tests.wire.rawpeer import raw_peer
from tests.wire.test_worklist import running
from tests.wire.worklists import item

pytestmark = pytest.mark.django_db
BORN = make.date(1961, 3, 4)


@pytest.fixture(autouse=True)
def ours(data_dir):
    AssigningAuthority.objects.create(
        namespace_id="LOCAL", universal_id="1.2.3", universal_id_type="ISO", local=True, trusted=True
    )


class Supplier:
    """A PDQ and PIX supplier: `people` are PID segments by the identifier that names them."""

    def __init__(self, *people: str, links: dict[str, str] | None = None, answer=None) -> None:
        self.people, self.links, self.asked = people, links or {}, []
        listener = mllp.Listener(answer or self.answer, host="127.0.0.1", port=0)
        listener.start()
        self.listener, self.port = listener, listener.port

    def answer(self, raw: bytes, peer) -> bytes:
        asked = read.parse(raw)
        query = asked.first("QPD")
        self.asked.append(query.raw)
        said = {one.component(1): one.component(2) for one in query.repetitions(3)}
        if asked.trigger == "Q23":
            known = self.links.get(query.component(3, 1))
            pids = [f"PID|||{known}^^^LOCAL&1.2.3&ISO||^^^^^^S"] if known else []
        else:
            pids = [pid for pid in self.people if self._fits(read.parse(f"MSH|^~\\&|A\r{pid}".encode()), said)]
        body = [f"MSA|AA|{asked.control_id}", f"QAK|{query.text(2)}|{'OK' if pids else 'NF'}", query.raw, *pids]
        head = f"MSH|^~\\&|PDS|HOSP|||20260101||RSP^K{asked.trigger[1:]}^RSP_K21|9|P|2.5"
        return "\r".join([head, *body, ""]).encode()

    def _fits(self, message, said: dict) -> bool:
        pid = message.first("PID")
        facts = {
            "@PID.5.1.1": pid.component(5, 1),
            "@PID.5.2": pid.component(5, 2),
            "@PID.7.1": pid.component(7, 1),
            "@PID.3.1": pid.component(3, 1),
            "@PID.3.4.1": "LOCAL",
            "@PID.3.4.2": "1.2.3",
        }
        return all(facts.get(key, "").casefold() == value.casefold() for key, value in said.items())


@contextmanager
def supplier(*people, **options):
    peer = Supplier(*people, **options)
    try:
        yield peer
    finally:
        peer.listener.stop()


ANNA = "PID|1||L-1^^^LOCAL&1.2.3&ISO||Mueller^Anna||19610304|F"


def pdq(port: int, **columns) -> DemographicsSource:
    columns = {"name": "EMR", "host": "127.0.0.1", "port": port, "issuer": "LOCAL", "patience": 2, **columns}
    return DemographicsSource.objects.create(**columns)


def mwl(port: int, **columns) -> Worklist:
    columns = {"name": "RIS", "ae_title": worklists.TITLE, "host": "127.0.0.1", "port": port, **columns}
    return Worklist.objects.create(**{"patience": 2, **columns})


def asked(study: Study) -> Lookup:
    """What is known after somebody wanted it and the worker has done it."""
    asking.request(study, by=make.user("desk"))
    asking.ask(study.pk)
    return asking.of(study)


# --- what is found ---------------------------------------------------------------------------------------------------


def test_an_order_on_the_worklist_becomes_the_candidate(tmp_path):
    with running(worklists.Orthanc, tmp_path) as peer:
        item(peer.folder, 1)
        mwl(peer.port)
        study = make.study()
        row = asked(study)

    order = Order.objects.get()
    assert (order.origin, order.accession_number, order.patient.name) == ("worklist", "WL0001", "Mueller^Anna")
    assert (order.procedure_code, order.modality, order.admission_id) == ("OUTCT", "CT", "A-77")
    assert [proposal.order for proposal in study.proposals.all()] == [order]
    assert row.answers[0] | {"notes": []} == {
        "system": "RIS",
        "problem": "",
        "people": 0,
        "orders": 1,
        "new": 2,
        "notes": [],
    }
    assert Study.objects.get(pk=study.pk).state == "held"  # a query result is never a match


def test_demographics_say_under_which_number_the_worklist_is_asked(tmp_path):
    """The name is written in another way there: only the number leads to the order."""
    with running(worklists.WlmSCPFS, tmp_path) as peer, supplier(ANNA) as emr:
        item(peer.folder, 1, PatientName="MUELLER A", PatientID="L-1")
        mwl(peer.port), pdq(emr.port)
        asked(make.study())

    assert Order.objects.get().patient == Identifier.objects.get(value="L-1").patient
    assert Patient.objects.get().name == "Mueller^Anna"


def test_asking_again_adds_nothing(tmp_path):
    with running(worklists.WlmSCPFS, tmp_path) as peer, supplier(ANNA) as emr:
        item(peer.folder, 1)
        mwl(peer.port), pdq(emr.port)
        study = make.study()
        asked(study)
        before = (*Patient.objects.values_list("changed_at"), *Order.objects.values_list("changed_at"))
        row = asked(study)

    assert (*Patient.objects.values_list("changed_at"), *Order.objects.values_list("changed_at")) == before
    assert (row.news, Identifier.objects.count(), Order.objects.count()) == (False, 1, 1)


def test_an_order_that_vanishes_stays_and_says_when_it_was_seen(tmp_path):
    with running(worklists.WlmSCPFS, tmp_path) as peer:
        path = peer.folder / "0001.wl"
        item(peer.folder, 1)
        mwl(peer.port)
        study = make.study()
        asked(study)
        seen = Order.objects.get().seen_at
        path.unlink()
        asked(study)

    assert Order.objects.get().seen_at == seen
    assert study.proposals.get().order == Order.objects.get()


def test_what_is_known_here_is_filled_and_never_overwritten():
    anna = make.patient("Mueller^Anna Maria", birth_date=None, sex="F", ids=[("L-1", "LOCAL")])
    with supplier(ANNA.replace("|F", "|M")) as emr:
        pdq(emr.port)
        asked(make.study())
    anna.refresh_from_db()

    assert (anna.name, anna.birth_date, anna.sex) == ("Mueller^Anna Maria", BORN, "F")
    assert LedgerLine.objects.get(verb="fill in").detail["filled"] == ["birth_date"]


def test_what_a_message_has_emptied_is_not_filled():
    anna = make.patient(birth_date=None, ids=[("L-1", "LOCAL")])
    Patient.objects.filter(pk=anna.pk).update(told={"birth_date": ["1|2026", ""]})
    with supplier(ANNA) as emr:
        pdq(emr.port)
        asked(make.study())

    assert Patient.objects.get().birth_date is None


def test_an_order_of_another_patient_here_is_left_and_said(tmp_path):
    other = make.order(make.patient("Other^One"), accession_number="WL0001")
    with running(worklists.WlmSCPFS, tmp_path) as peer:
        item(peer.folder, 1)
        mwl(peer.port)
        row = asked(make.study())

    assert Order.objects.get(accession_number="WL0001", accession_issuer="").patient == other.patient
    assert "another patient" in row.answers[0]["notes"][0]


def test_a_cross_reference_is_evidence_and_brings_the_patient():
    with supplier(ANNA.replace("Mueller", "Musterfrau"), links={"OUT-7781": "L-1"}) as index:
        pdq(index.port, cross_references=True)
        asked(make.study())
    one = CrossReference.objects.get()

    assert (one.value, one.issuer, one.origin) == ("OUT-7781", "GENERAL HOSPITAL", "pix")
    assert one.patient.name == "Musterfrau^Anna"


def test_people_without_a_number_of_ours_are_not_kept():
    with supplier("PID|1||9^^^ELSEWHERE||Mueller^Anna||19610304|F") as emr:
        pdq(emr.port)
        row = asked(make.study())

    assert Patient.objects.count() == 0
    assert "no identifier of ours" in row.answers[0]["notes"][0]


def test_nobody_else_of_that_day_is_registered(tmp_path):
    today = f"{lookup.timezone.localdate():%Y%m%d}"
    with running(worklists.WlmSCPFS, tmp_path) as peer:
        step = ({"ScheduledProcedureStepStartDate": today},)
        item(peer.folder, 1, steps=step, PatientName="Other^One", PatientID="L-9", PatientBirthDate="19990101")
        item(peer.folder, 2, steps=step, PatientName="Muller^A.", PatientID="L-1")
        mwl(peer.port)
        asked(make.study())

    assert [patient.name for patient in Patient.objects.all()] == ["Muller^A."]


# --- FHIR ------------------------------------------------------------------------------------------------------------


@contextmanager
def fhir_server(answer):
    """`answer(path, query, headers)` gives a status and a body, or writes by itself and gives None."""
    seen = []

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            seen.append(SimpleNamespace(path=parts.path, query=parse_qs(parts.query), headers=self.headers))
            said = answer(self)
            if said is None:
                return
            status, body = said
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        server.server_close()


def bundle(*patients: dict) -> bytes:
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in patients]}).encode()


ANNA_FHIR = {
    "resourceType": "Patient",
    "name": [{"family": "Müller", "given": ["Anna"]}],
    "birthDate": "1961-03-04",
    "gender": "female",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "L-1"}, {"system": "http://elsewhere", "value": "X"}],
}


def fhir(port: int, **columns) -> DemographicsSource:
    columns = {"name": "FHIR", "protocol": "fhir", "url": f"http://127.0.0.1:{port}/base", "patience": 1, **columns}
    return DemographicsSource.objects.create(**columns)


def test_a_fhir_server_is_searched_and_its_oid_is_our_domain(monkeypatch):
    monkeypatch.setenv("IMGSHARE_CREDENTIALS_FHIR", "Bearer secret")
    with fhir_server(lambda ask: (200, bundle(ANNA_FHIR))) as (port, seen):
        fhir(port, credentials="IMGSHARE_CREDENTIALS_FHIR")
        asked(make.study())

    assert [str(one) for one in Identifier.objects.all()] == ["L-1 (LOCAL)"]
    assert Patient.objects.get().name == "Müller^Anna"
    assert (seen[0].path, seen[0].query["birthdate"]) == ("/base/Patient", ["1961-03-04"])
    assert seen[0].headers["Authorization"] == "Bearer secret"


def drip(ask) -> None:
    ask.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(60):
        ask.wfile.write(b"X-A: b\r\n")
        ask.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda ask: (302, b""), "points to another address"),
        (lambda ask: (401, b""), "Check the credentials"),
        (lambda ask: (500, b""), "HTTP 500"),
        (lambda ask: (200, b"<html>"), "not with what FHIR"),
        (lambda ask: (200, b"[" * 100_000), "not with what FHIR"),
        (lambda ask: (200, b" " * (3 << 20)), "more than can be read"),
        (lambda ask: time.sleep(3), "within 1 seconds"),
        (drip, "within 1 seconds"),
    ],
)
def test_whatever_a_fhir_server_does_is_a_sentence_in_time(answer, said):
    with fhir_server(answer) as (port, seen):
        fhir(port)
        started = time.monotonic()
        row = asked(make.study())

    assert time.monotonic() - started < 2.5
    assert said in row.answers[0]["problem"]
    assert all(one.path == "/base/Patient" for one in seen)  # nothing else is ever asked for


def test_credentials_that_are_not_set_are_named_and_nothing_is_sent():
    with fhir_server(lambda ask: (200, bundle())) as (port, seen):
        fhir(port, credentials="IMGSHARE_CREDENTIALS_NONE")
        row = asked(make.study())

    assert "IMGSHARE_CREDENTIALS_NONE" in row.answers[0]["problem"]
    assert seen == []


# --- silence ---------------------------------------------------------------------------------------------------------


def test_silent_systems_are_asked_side_by_side_and_named(tmp_path):
    with (
        raw_peer(lambda wire: time.sleep(4)) as silent,
        supplier(answer=lambda raw, peer: time.sleep(4) or b"") as slow,
        running(worklists.WlmSCPFS, tmp_path) as peer,
    ):
        item(peer.folder, 1)
        for n in range(3):
            mwl(silent, name=f"Silent {n}", patience=1)
            pdq(slow.port, name=f"Slow {n}", patience=1)
        mwl(peer.port)
        study, started = make.study(), time.monotonic()
        row = asked(study)
        took = time.monotonic() - started

    assert took < 4
    problems = {one["system"]: one["problem"] for one in row.answers}
    assert [name for name, problem in problems.items() if not problem] == ["RIS"]
    assert all("answer" in problem for name, problem in problems.items() if name != "RIS")
    assert Order.objects.count() == 1


def test_a_round_asks_a_silent_system_once():
    with raw_peer(lambda wire: time.sleep(3)) as silent:
        mwl(silent, patience=1)
        for n in range(4):
            make.study(PatientID=f"P{n}")
        started = time.monotonic()
        tasks.sweep()
        took = time.monotonic() - started

    assert took < 3
    assert Lookup.objects.filter(asked_at__isnull=False).count() == 1


def test_garbage_of_a_supplier_is_a_sentence():
    with supplier(answer=lambda raw, peer: b"MSH|^~\\&|\xff\xfe") as emr:
        pdq(emr.port, patience=1)
        row = asked(make.study())

    assert "EMR" in row.answers[0]["problem"]


def test_pressing_the_button_never_waits_for_a_system():
    with raw_peer(lambda wire: time.sleep(5)) as silent:
        mwl(silent, patience=5)
        study = make.study()
        client = Client()
        client.force_login(make.user("desk"))
        started = time.monotonic()
        answer = client.post(reverse("lookup", args=[study.pk]), headers={"HX-Request": "true"})
        took = time.monotonic() - started

    assert took < 3  # seconds; the system has five
    assert "every 1s" in answer.content.decode()


# --- the administration ----------------------------------------------------------------------------------------------


@pytest.fixture
def manager() -> Client:
    user = make.user("manager")
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user)
    return client


def form(row, *names: str) -> dict:
    return {name: getattr(row, name) for name in names if getattr(row, name) not in (None, False)} | {"_try": "1"}


def tried(client: Client, row, *names: str) -> str:
    address = reverse(f"admin:orders_{row._meta.model_name}_change", args=[row.pk])
    return client.post(address, form(row, *names), follow=True).content.decode()


def test_a_worklist_is_tried_in_words(tmp_path, manager):
    names = ("name", "ae_title", "host", "port", "patience", "active")
    with running(worklists.WlmSCPFS, tmp_path) as peer:
        row = mwl(peer.port)
        assert "answers, and has 0 orders for today" in tried(manager, row, *names)

    assert "Nobody listens" in tried(manager, row, *names)


def test_a_demographics_source_is_tried_in_words(manager):
    names = ("name", "protocol", "host", "port", "issuer", "patience", "active")
    with supplier("PID|1||T-1^^^LOCAL||Test^Test||19700101|M") as emr:
        assert "knows 1 people" in tried(manager, pdq(emr.port), *names)


def test_who_may_only_look_cannot_try(tmp_path):
    user = make.user("auditor")
    user.is_staff = True
    user.save()
    assert Permission.objects.filter(group__user=user, codename="view_worklist").exists()
    client = Client()
    client.force_login(user)
    row = mwl(1)
    page = client.get(reverse("admin:orders_worklist_change", args=[row.pk])).content.decode()

    assert "_try" not in page
    assert client.post(reverse("admin:orders_worklist_change", args=[row.pk]), {"_try": "1"}).status_code == 403
