"""Modality Worklist queries to Orthanc's plugin and to DCMTK's wlmscpfs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from orders.dicom import calling
from orders.peers import worklist
from orders.peers.found import Identifier, Unanswered
from orders.peers.worklist import Query, by_accession_number, by_name, by_patient_id
from tests.wire import worklists
from tests.wire.worklists import item

REAL = "worklist/dcmtk/wlistdb/OFFIS"


@contextmanager
def running(kind: type[worklists.Peer], folder: Path) -> Iterator[worklists.Peer]:
    peer = kind(folder / "peer")
    try:
        peer.process.wait_for(peer.port)
        yield peer
    finally:
        peer.process.end()


@pytest.fixture(params=worklists.PEERS)
def peer(request, tmp_path) -> Iterator[worklists.Peer]:
    with running(worklists.PEERS[request.param], tmp_path) as peer:
        yield peer


def ask(peer, *queries, title: str = "", seconds: float = 5) -> list:
    called = worklist.peer_of("127.0.0.1", peer.port, title or peer.ae_title, calling_title="IMGSHARE", seconds=seconds)
    return worklist.find(called, list(queries), seconds=seconds)[0]


def test_an_order_is_found_by_patient_id_with_all_that_it_says(peer):
    item(peer.folder, 1)
    item(peer.folder, 2, PatientID="L-2")

    [found] = ask(peer, by_patient_id("L-1", "LOCAL"))

    assert found.person.name, found.person.birth_date == ("Mueller^Anna", "19610304")
    assert found.person.identifiers == (Identifier("L-1", "LOCAL"),)
    assert (found.accession.value, found.requested_procedure_id, found.admission_id) == ("WL0001", "RP0001", "A-77")
    assert (found.procedure_code, found.procedure_scheme) == ("OUTCT", "99LOCAL")
    assert found.description == "Import of outside CT"
    assert (found.placer_order_number, found.filler_order_number) == ("P-1", "F-1")
    assert [(s.id, s.modality, s.at) for s in found.steps] == [("S0001-0", "CT", datetime(2026, 1, 5, 9, 30))]


def test_an_order_is_found_by_accession_number(peer):
    for number in range(1, 4):
        item(peer.folder, number)

    assert [one.accession.value for one in ask(peer, by_accession_number("WL0002"))] == ["WL0002"]


def test_orders_of_a_day_and_modality_are_found(peer):
    item(peer.folder, 1)
    item(peer.folder, 2, steps=({"Modality": "MR"},))
    item(peer.folder, 3, steps=({"ScheduledProcedureStepStartDate": "20260106"},))

    assert [one.accession.value for one in ask(peer, Query(day=date(2026, 1, 5), modality="CT"))] == ["WL0001"]


def test_several_questions_go_over_one_association_and_an_order_comes_once(peer):
    item(peer.folder, 1)

    found = ask(peer, by_patient_id("L-1"), by_accession_number("WL0001"), by_name("Mueller^Anna"))

    assert [one.accession.value for one in found] == ["WL0001"]


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller^Änne"), ("ISO_IR 192", "Łukasz^Żółć"), ("ISO 2022 IR 100", "Müller^Änne")],
)
def test_an_answer_is_read_in_its_own_character_set(peer, charset, name):
    item(peer.folder, 1, SpecificCharacterSet=charset, PatientName=name)

    assert [one.person.name for one in ask(peer, by_patient_id("L-1"))] == [name]


def test_several_steps_are_one_order_with_the_earliest_first(peer):
    """One answer for each step."""
    uid = generate_uid()
    item(peer.folder, 1, StudyInstanceUID=uid, steps=({"ScheduledProcedureStepStartTime": "140000"},))
    item(peer.folder, 2, StudyInstanceUID=uid, AccessionNumber="WL0001", RequestedProcedureID="RP0001")

    [found] = ask(peer, by_patient_id("L-1"))

    assert [step.at.hour for step in found.steps] == [9, 14]


def test_several_steps_in_one_answer_are_read(tmp_path):
    with running(worklists.Orthanc, tmp_path) as peer:
        item(peer.folder, 1, steps=({"ScheduledProcedureStepStartTime": "140000"}, {}))

        [found] = ask(peer, by_patient_id("L-1"))

    assert [step.at.hour for step in found.steps] == [10, 14]


def test_real_worklists_are_read(peer, shared):
    for path in (shared / REAL).glob("*.wl"):
        shutil.copy(path, peer.folder)

    found = ask(peer, by_patient_id("AV35674"), by_patient_id("MWA484763"))

    assert {one.person.name for one in found} == {"VIVALDI^ANTONIO", "MOZART^WOLFGANG^AMADEUS"}
    assert all(one.steps and one.requested_procedure_id for one in found)


def test_a_verification_is_answered(peer):
    called = worklist.peer_of("127.0.0.1", peer.port, peer.ae_title, calling_title="IMGSHARE", seconds=5)

    assert calling.echo(called) == ""


def test_a_wrong_title_is_a_sentence(tmp_path):
    with running(worklists.WlmSCPFS, tmp_path) as peer, pytest.raises(Unanswered, match="does not accept us"):
        ask(peer, by_patient_id("L-1"), title="NOBODY")
