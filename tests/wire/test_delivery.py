"""Deliveries to real receivers: accepted, refused in part, silent, down; and never under a wrong identity."""

import time

import pytest
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

from policies.models import Destination, LedgerLine
from policies.problems import Conflict
from reconciliation import delivery
from reconciliation.dicom import edit
from reconciliation.models import DeliveredInstance, Delivery, Study
from reconciliation.outcomes import Outcomes
from reconciliation.release import release
from tests import make
from tests.wire.rawpeer import data, raw_peer, response

pytestmark = pytest.mark.django_db


@pytest.fixture
def scripted():
    """A receiver that gives the statuses it is told to, and remembers what it was sent."""
    servers = []

    def start(*statuses):
        answers, got = list(statuses), []

        def store(event):
            got.append(event.dataset)
            return answers.pop(0) if answers else 0x0000

        ae = AE("SCRIPTED")
        ae.supported_contexts = AllStoragePresentationContexts
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        servers.append(server)
        return server.server_address[1], got

    yield start
    for server in servers:
        server.shutdown()


def released(port, ae_title="SCRIPTED", count=1, large=False):
    """A study of `count` objects, released to the receiver on `port`; `large`: the first of 24 MB."""
    datasets = [make.dataset()]
    if large:
        datasets[0].Rows, datasets[0].Columns, datasets[0].PixelData = 3072, 4096, bytes(3072 * 4096 * 2)
    datasets += [make.dataset(StudyInstanceUID=datasets[0].StudyInstanceUID) for _ in range(count - 1)]
    study = make.received(*datasets)
    for step in make._STEPS["cleared"]:
        step(study, None)
    to = make.destination("Here", port=port, ae_title=ae_title)
    (made,) = release(study, to=[to], by=make.user("releaser"))
    return made


def test_a_delivered_study_lies_at_the_receiver_under_its_local_identity(storescp):
    made = released(storescp.port, storescp.ae_title, count=2)
    delivery.send(made.pk)

    made.refresh_from_db()
    local = made.mapping.patient.identifier()
    arrived = [dcmread(path) for path in storescp.files()]
    assert (made.state, made.study.state) == ("delivered", "delivered")
    assert {(ds.PatientID, ds.IssuerOfPatientID) for ds in arrived} == {(local.value, local.issuer)}
    assert {ds.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0].PatientID for ds in arrived} == {"OUT-7781"}


def test_what_was_accepted_is_not_sent_again(scripted):
    port, got = scripted(0x0000, 0xA700)
    made = released(port, count=2)
    delivery.send(made.pk)
    Delivery.objects.update(due_at=made.due_at)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert made.state == "delivered"
    assert len(got) == 3
    assert sorted(DeliveredInstance.objects.values_list("attempts", flat=True)) == [1, 2]


def test_a_destination_that_is_down_delays_and_says_why(free_port):
    made = released(free_port)
    before = made.due_at
    delivery.send(made.pk)

    made.refresh_from_db()
    assert (made.state, made.attempts) == ("queued", 1)
    assert made.due_at > before
    assert made.problem
    assert Study.objects.get(pk=made.study_id).state == "released"


def test_a_destination_that_refuses_tells_a_person_why(scripted):
    port, _ = scripted(0xC000)
    made = released(port)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert made.state == "refused"
    assert "C000" in made.problem
    assert LedgerLine.objects.filter(verb="delivery refused").count() == 1


def test_a_refused_delivery_is_sent_again_when_an_officer_says_so(scripted):
    port, _ = scripted(0xC000)
    made = released(port)
    delivery.send(made.pk)
    made.refresh_from_db()
    delivery.retry(made, by=make.user("releaser"))
    delivery.send(made.pk)

    made.refresh_from_db()
    assert made.state == "delivered"


def test_a_warning_counts_as_accepted(scripted):
    port, _ = scripted(0xB000)
    made = released(port)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert made.state == "delivered"


def test_a_study_is_delivered_only_when_every_destination_has_it(scripted, free_port):
    port, _ = scripted()
    study = make.study("cleared")
    up, down = make.destination("Up", port=port, ae_title="SCRIPTED"), make.destination("Down", port=free_port)
    for one in release(study, to=[up, down], by=make.user("releaser")):
        delivery.send(one.pk)

    study.refresh_from_db()
    assert study.state == "released"
    assert set(study.deliveries.values_list("state", flat=True)) == {"delivered", "queued"}


def test_an_object_that_was_not_made_as_planned_stops_the_delivery(scripted, monkeypatch):
    port, got = scripted()
    made = released(port)
    make_it = edit.make

    def wrong(original, changes, **uids):
        return make_it(original, [change for change in changes if change.path != "PatientID"], **uids)

    monkeypatch.setattr(edit, "make", wrong)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert (made.state, got) == ("refused", [])
    assert "not made as planned" in made.problem


def test_what_was_told_before_the_line_broke_is_kept():
    def script(wire):
        wire.accept()
        for _ in range(2):
            number, _ = wire.message()
            wire.send(data(response(number)))
        wire.message()

    with raw_peer(script) as port:
        made = released(port, count=4)
        delivery.send(made.pk)

    made.refresh_from_db()
    assert made.state == "queued"
    assert made.problem == "SCRIPTED ended the connection in the middle."
    assert sorted(DeliveredInstance.objects.values_list("accepted", flat=True)) == [False, True, True]


def test_an_object_is_never_written_a_second_time(scripted, settings):
    port, got = scripted()
    made = released(port, count=2)
    delivery.send(made.pk)

    assert len(got) == 2
    assert [path for path in (settings.CACHE_DIR / "outgoing").rglob("*") if path.is_file()] == []


def test_a_destination_that_takes_several_associations_gets_every_object_once(scripted, monkeypatch):
    port, got = scripted()
    made = released(port, count=6)
    monkeypatch.setattr(Destination, "associations", 3, raising=False)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert made.state == "delivered"
    assert len({ds.SOPInstanceUID for ds in got}) == len(got) == 6


def test_a_mapping_that_is_not_the_released_one_is_never_sent(scripted):
    port, got = scripted()
    made = released(port)
    other = make.study("mapped")
    Study.objects.filter(pk=made.study_id).update(mapping=other.mapping)
    delivery.send(made.pk)

    made.refresh_from_db()
    assert (made.state, got) == ("refused", [])


def test_two_workers_do_not_send_the_same_delivery(scripted):
    port, _ = scripted()
    made = released(port)

    assert delivery.claim(made.pk) is not None
    assert delivery.claim(made.pk) is None


def test_a_delivery_whose_worker_died_is_due_again_when_its_lease_has_run_out(scripted, settings):
    port, _ = scripted()
    settings.DELIVERY_LEASE_SECONDS = -1
    made = released(port)
    dead = delivery.claim(made.pk)
    settings.DELIVERY_LEASE_SECONDS = 600

    assert [one.pk for one in delivery.due()] == [made.pk]
    delivery.send(made.pk)
    with pytest.raises(delivery.Overtaken):
        delivery._finish(dead)


def test_a_slow_delivery_of_a_large_object_is_finished_once_though_it_takes_longer_than_its_lease(
    settings, monkeypatch
):
    settings.DELIVERY_LEASE_SECONDS = 2
    others, idle = [], Outcomes.idle

    def script(wire):
        wire.accept()
        command = b""
        for control, fragment in wire.fragments():  # some 1,500
            command += fragment if control & 1 else b""
            time.sleep(0.003)
        wire.send(data(response(wire.message_id(command))))

    def while_another_worker_asks(outcomes):
        idle(outcomes)
        others.append(delivery.claim(outcomes.delivery.pk))

    monkeypatch.setattr(Outcomes, "idle", while_another_worker_asks)
    with raw_peer(script) as port:
        made = released(port, large=True)
        start = time.monotonic()
        delivery.send(made.pk)

    made.refresh_from_db()
    assert time.monotonic() - start > 2 * settings.DELIVERY_LEASE_SECONDS
    assert (made.state, made.attempts) == ("delivered", 1)
    assert set(others) == {None}


def test_a_destination_that_is_switched_off_gets_nothing_and_the_delivery_says_why(scripted):
    port, got = scripted()
    made = released(port)
    Destination.objects.filter(pk=made.destination_id).update(active=False)
    delivery.send(made.pk)
    made = Delivery.objects.get(pk=made.pk)

    assert (made.state, made.attempts, got, delivery.due()) == ("queued", 0, [], [])
    assert "takes no deliveries at present" in delivery.why_not_retry(made, make.user("releaser"))
    with pytest.raises(Conflict, match="switched it off"):
        delivery.retry(made, by=make.user("releaser"))


def test_a_destination_that_is_switched_on_again_gets_what_waited(scripted):
    port, got = scripted()
    made = released(port)
    place = Destination.objects.filter(pk=made.destination_id)
    place.update(active=False)
    delivery.send(made.pk)
    place.update(active=True)
    delivery.send(made.pk)

    assert len(got) == 1
