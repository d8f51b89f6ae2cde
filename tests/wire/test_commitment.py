"""Storage commitment with a real archive and with scripted ones: nothing is delivered without its proof."""

import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import DatabaseError
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_context, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
)

from policies.models import LedgerLine
from reconciliation import commitment, delivery, queue, stores, tasks
from reconciliation.dicom import find, scp
from reconciliation.dicom.commitment import Failure, Reference, Report, Reports, ask
from reconciliation.dicom.scu import Peer, Refused, Unreachable
from reconciliation.management.commands import storescp
from reconciliation.models import Commitment, DeliveredInstance, Delivery
from tests import make
from tests.wire.conftest import wait_until
from tests.wire.test_delivery import released

pytestmark = pytest.mark.django_db
TITLE = "COMMITTER"


@pytest.fixture(autouse=True)
def quick(monkeypatch, data_dir):
    monkeypatch.setattr(_config, "UNRESTRICTED_STORAGE_SERVICE", False)  # the door of this test sets it for all servers
    monkeypatch.setattr("reconciliation.dicom.commitment.ask.__kwdefaults__", {"linger": 0.3})
    monkeypatch.setattr(commitment, "SHORTEST_PAUSE", 0)


@pytest.fixture
def door(spool):
    """Our DICOM door, as the command opens it; destinations may report."""
    sources = storescp.Sources()
    sources.reporters = {TITLE, "ORTHANC"}
    sources.read = list  # the test's transaction is its thread's own
    server = scp.serve(
        scp.Listener("IMGSHARE", "127.0.0.1", 0),
        spool=spool,
        admit=sources.admit,
        refused=lambda caller, why: None,
        on_report=stores.reports().keep,
    )
    yield server.server_address[1]
    server.shutdown()


class Archive:
    """Keeps what is stored but for `loses`; `reports` says how it answers requests for commitment.

    `reports(archive, request)` gives lists (committed, failed) of SOP Instance UIDs, or None for silence.
    """

    def __init__(self, reports=lambda archive, asked: (asked, []), *, same_line=False, loses=0, status=0x0000):
        self.reports, self.same_line, self.left_to_lose, self.status = reports, same_line, loses, status
        self.kept, self.classes, self.requests, self.answers = [], {}, [], []
        self.portal = None
        ae = AE(TITLE)
        ae.supported_contexts = AllStoragePresentationContexts
        ae.add_supported_context(StorageCommitmentPushModel)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action), (evt.EVT_C_FIND, self._find)]
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self.server.server_address[1]

    def _store(self, event):
        if self.left_to_lose:
            self.left_to_lose -= 1
        else:
            self.kept.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def _find(self, event):
        for uid in self.kept:
            ds = Dataset()
            ds.QueryRetrieveLevel, ds.SOPInstanceUID = "IMAGE", uid
            yield 0xFF00, ds

    def _action(self, event):
        if self.status:
            return self.status, None
        request = event.action_information
        asked = [str(one.ReferencedSOPInstanceUID) for one in request.ReferencedSOPSequence]
        self.requests.append((str(request.TransactionUID), asked))
        said = self.reports(self, asked)
        if said is not None:
            threading.Thread(target=self._report, args=[event.assoc, str(request.TransactionUID), *said]).start()
        return 0x0000, None

    def _report(self, assoc, transaction, committed, failed):
        time.sleep(0.05)  # the answer to the request goes first
        if self.same_line:
            self.answers.append(reported(assoc, transaction, committed, failed))
        else:
            self.report(transaction, committed, failed)

    def report(self, transaction, committed, failed=()):
        """On an association of its own, as SCP."""
        ae = AE(TITLE)
        context = build_context(StorageCommitmentPushModel)
        roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
        assoc = ae.associate("127.0.0.1", self.portal, [context], "IMGSHARE", ext_neg=roles)
        self.answers.append(reported(assoc, transaction, committed, failed))
        assoc.release()


def reported(assoc, transaction, committed, failed=(), *, event=None):
    ds = Dataset()
    ds.TransactionUID = transaction
    ds.ReferencedSOPSequence = Sequence(item(uid) for uid in committed)
    if failed:
        ds.FailedSOPSequence = Sequence(item(uid, reason) for uid, reason in failed)
    kind = event or (2 if failed else 1)
    status, _ = assoc.send_n_event_report(ds, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    return status.get("Status")


def item(uid, reason=None):
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = CTImageStorage, uid
    if reason is not None:
        ds.FailureReason = reason
    return ds


@pytest.fixture
def archive(door):
    """`archive(reports, ...)`: an Archive that reports to our door."""
    running = []

    def start(*args, **kwargs):
        running.append(Archive(*args, **kwargs))
        running[-1].portal = door
        return running[-1]

    yield start
    for one in running:
        if one.server in one.server.ae._servers:
            one.server.shutdown()


def to_commit(archive, *, count=2, **columns):
    """A study of `count` objects on its way to an archive that must commit itself."""
    made = released(archive.port, TITLE, count=count)
    to = made.destination
    for name, value in {"proof": "commitment", **columns}.items():
        setattr(to, name, value)
    to.save()
    return made


def step(made):
    """Send, or look for the proof, whichever is next, and whenever it is due."""
    for verb in (delivery.send, commitment.prove):
        Delivery.objects.filter(pk=made.pk).update(due_at=timezone.now() - timedelta(seconds=1))
        verb(made.pk)
    made.refresh_from_db()
    return made.state


def until(state, made):
    """Step on until the delivery is in this state: reports come when they come."""
    wait_until(lambda: step(made) == state, seconds=20, failing=f"never {state}")
    made.study.refresh_from_db()


def ledger(verb):
    return LedgerLine.objects.filter(verb=verb).count()


# --- delivered ---


def test_orthanc_commits_itself_on_an_association_of_its_own_and_shows_what_it_has(orthanc, door):
    orthanc.know("portal", ae_title="IMGSHARE", port=door)
    made = to_commit(SimpleNamespace(port=orthanc.dicom_port), ae_title=orthanc.ae_title)
    until("delivered", made)

    assert (made.study.state, made.problem) == ("delivered", "")
    (shown,) = queue.deliveries(made.study)
    assert (shown.accepted, shown.committed, shown.counted) == (2, 2, 2)
    assert [ledger(verb) for verb in ("delivery sent", "commitment asked", "commitment reported", "deliver")] == [1] * 4


def test_orthanc_that_has_lost_an_object_says_so_and_gets_it_again(orthanc, door):
    orthanc.know("portal", ae_title="IMGSHARE", port=door)
    made = to_commit(SimpleNamespace(port=orthanc.dicom_port), ae_title=orthanc.ae_title)
    delivery.send(made.pk)
    orthanc.request("DELETE", f"/instances/{orthanc.instances()[0]}")
    until("delivered", made)

    assert (ledger("lost objects"), len(orthanc.instances())) == (1, 2)
    assert sorted(DeliveredInstance.objects.values_list("attempts", flat=True)) == [1, 2]


def test_the_sweep_hears_and_proves_what_no_bell_was_rung_for(archive):
    there = archive(lambda *_: None)
    made = to_commit(there)
    step(made)
    there.report(*there.requests[0])
    done = tasks.sweep()

    made.refresh_from_db()
    assert (done["heard"], done["proven"], made.state) == (1, 1, "delivered")


@pytest.mark.parametrize("same_line", [True, False], ids=["same association", "new association"])
def test_a_report_counts_on_whichever_association_it_comes(archive, same_line):
    there = archive(same_line=same_line)
    made = to_commit(there)
    until("delivered", made)

    assert there.answers == [0x0000]
    assert Commitment.objects.get().committed == 2


def test_an_archive_that_does_not_propose_the_role_of_scp_is_heard_too(archive, door):
    there = archive(lambda *_: None)
    made = to_commit(there)
    step(made)
    ((transaction, asked),) = there.requests
    assoc = AE(TITLE).associate("127.0.0.1", door, [build_context(StorageCommitmentPushModel)], "IMGSHARE")
    # pynetdicom reports only as SCP: the context takes the role that such an archive forgets to propose.
    assoc.accepted_contexts[0]._as_scp = True

    assert reported(assoc, transaction, asked) == 0x0000
    assoc.release()
    assert step(made) == "delivered"


def test_sent_is_not_delivered_before_the_report(archive):
    there = archive(lambda *_: None)
    made = to_commit(there)

    assert step(made) == "sent"
    assert made.study.state == "released"
    assert made.due_at > timezone.now() + timedelta(minutes=50)
    assert len(there.requests) == 1


# --- failures, silence, lateness ---


def test_what_the_archive_says_it_has_not_is_sent_again(archive):
    def first_lost(there, asked):
        return (asked[1:], [(asked[0], 0x0112)]) if len(there.requests) == 1 else (asked, [])

    there = archive(first_lost)
    made = to_commit(there, count=3)
    until("delivered", made)

    assert [len(asked) for _, asked in there.requests] == [3, 1]
    assert (ledger("lost objects"), len(there.kept)) == (1, 4)


def test_an_archive_that_never_has_an_object_ends_with_a_person(archive):
    there = archive(lambda _, asked: (asked[1:], [(asked[0], 0x0112)]))
    made = to_commit(there, count=1)
    until("refused", made)

    assert "not in the archive" in made.problem
    assert len(there.kept) == 1 + commitment.MOST_ROUNDS


@pytest.mark.parametrize("reason", [0x0119, 0x0122])
def test_a_failure_for_good_is_told_to_a_person_with_its_words(archive, reason):
    there = archive(lambda _, asked: (asked[1:], [(asked[0], reason)]))
    made = to_commit(there)
    until("refused", made)

    assert "will not commit itself: it " in made.problem
    assert sorted(DeliveredInstance.objects.values_list("failure", flat=True), key=str) == [reason, None]


def test_a_passing_failure_is_asked_for_again_and_ends_with_a_person_and_the_reason(archive):
    there = archive(lambda _, asked: (asked[1:], [(asked[0], 0x0213)]))
    made = to_commit(there, count=2)
    until("refused", made)

    assert "it is short of resources" in made.problem
    assert [len(asked) for _, asked in there.requests] == [2, 1, 1, 1, 1]


def test_a_report_on_a_part_leaves_the_rest_to_be_asked_for_again(archive):
    there = archive(lambda _, asked: (asked[:1], []))
    made = to_commit(there, count=3)
    until("delivered", made)

    assert [len(asked) for _, asked in there.requests] == [3, 2, 1]


def test_silence_is_asked_again_under_a_new_transaction_and_then_told(archive):
    there = archive(lambda *_: None)
    made = to_commit(there, commitment_patience=1)
    for _ in range(commitment.MOST_REQUESTS + 1):
        Commitment.objects.update(asked_at=timezone.now() - timedelta(seconds=2))
        Delivery.objects.filter(sent_at__isnull=False).update(sent_at=timezone.now() - timedelta(minutes=1))
        state = step(made)

    assert state == "refused"
    assert "after 5 requests" in made.problem
    assert len({transaction for transaction, _ in there.requests}) == commitment.MOST_REQUESTS


def test_a_late_report_counts_even_after_a_person_was_told(archive):
    there = archive(lambda *_: None)
    made = to_commit(there)
    step(made)
    Delivery.objects.update(state="refused")
    there.report(*there.requests[0])

    assert commitment.hear() == 1
    assert step(made) == "delivered"


def test_a_late_report_says_nothing_of_what_was_sent_again_since(archive):
    there = archive(lambda *_: None)
    made = to_commit(there)
    step(made)
    one = DeliveredInstance.objects.first()
    DeliveredInstance.objects.filter(pk=one.pk).update(at=timezone.now())
    there.report(*there.requests[0])
    commitment.hear()

    assert DeliveredInstance.objects.get(pk=one.pk).committed_at is None
    assert DeliveredInstance.objects.filter(committed_at__isnull=False).count() == 1


def test_a_duplicate_report_changes_nothing(archive):
    there = archive()
    made = to_commit(there)
    until("delivered", made)
    lines = LedgerLine.objects.count()
    transaction, asked = there.requests[0]
    there.report(transaction, [], [(uid, 0x0112) for uid in asked])

    assert commitment.hear() == 1
    assert step(made) == "delivered"
    assert LedgerLine.objects.count() == lines
    assert not DeliveredInstance.objects.exclude(failure=None).exists()


def test_a_report_on_an_unknown_transaction_is_written_down_and_ignored(archive):
    there = archive()
    there.report(generate_uid(), ["1.2.3"])

    assert there.answers == [0x0000]
    assert commitment.hear() == 1
    assert LedgerLine.objects.get(verb="commitment ignored").subject_key == TITLE


def test_another_archive_cannot_commit_in_the_name_of_the_one_that_was_asked(archive):
    there = archive(lambda *_: None)
    made = to_commit(there)
    step(made)
    transaction, asked = there.requests[0]
    other = Report(transaction, "ORTHANC", "127.0.0.1", tuple(Reference("1.2", uid) for uid in asked))
    stores.reports().keep(other)

    assert commitment.hear() == 1
    assert step(made) == "sent"
    assert not DeliveredInstance.objects.filter(committed_at__isnull=False).exists()


def test_an_archive_that_does_not_commit_is_told_to_a_person(storescp):
    made = to_commit(SimpleNamespace(port=storescp.port), ae_title=storescp.ae_title)

    assert step(made) == "refused"
    assert "does not take storage commitment" in made.problem


@pytest.mark.parametrize(
    ("status", "state"), [(0x0110, "sent"), (0x0213, "sent"), (0x0122, "refused"), (0x0124, "refused")]
)
def test_a_request_that_is_not_taken_is_asked_again_or_told(archive, status, state):
    made = to_commit(archive(status=status))

    assert step(made) == state
    assert f"0x{status:04X}" in made.problem


def test_an_archive_that_is_down_after_sending_is_asked_again_later(archive):
    there = archive()
    made = to_commit(there)
    delivery.send(made.pk)
    there.server.shutdown()
    commitment.prove(made.pk)

    made.refresh_from_db()
    assert (made.state, made.due_at > made.sent_at) == ("sent", True)
    assert "does not answer" in made.problem


def test_two_workers_do_not_look_for_the_same_proof(archive):
    made = to_commit(archive())
    delivery.send(made.pk)

    assert commitment.claim(made.pk) is not None
    assert commitment.claim(made.pk) is None
    assert commitment.due() == []


def test_what_is_asked_again_now_by_a_person_is_not_sent_again(archive):
    there = archive(lambda *_: None)
    made = to_commit(there)
    step(made)
    delivery.retry(made, by=make.user("releaser"))

    assert step(made) == "sent"
    assert (len(there.requests), len(there.kept)) == (2, 2)


# --- counted ---


def test_an_archive_that_answers_success_and_loses_is_found_out_by_the_count(archive):
    there = archive(loses=1)
    made = to_commit(there, proof="count", count=2)
    until("delivered", made)

    assert (ledger("lost objects"), len(there.kept)) == (1, 2)


def test_a_commitment_that_the_archive_does_not_keep_is_found_out_by_the_count(archive):
    there = archive(loses=1)
    made = to_commit(there, count=2)
    until("delivered", made)

    assert ledger("lost objects") == 1
    assert len(there.requests) == 2


def test_an_archive_that_shows_its_objects_late_gets_none_twice(archive):
    there = archive(loses=1)
    made = to_commit(there, proof="count", count=2)
    delivery.send(made.pk)
    commitment.prove(made.pk)
    made.refresh_from_db()
    assert (made.state, made.misses) == ("sent", 1)
    assert "1 of 2" in made.problem
    there.kept = list(DeliveredInstance.objects.values_list("instance__sop_instance_uid", flat=True))

    assert step(made) == "delivered"
    assert ledger("lost objects") == 0


def test_orthanc_shows_by_c_find_what_it_has(orthanc):
    made = to_commit(SimpleNamespace(port=orthanc.dicom_port), ae_title=orthanc.ae_title, proof="count", count=3)

    assert step(made) == "delivered"
    assert DeliveredInstance.objects.filter(counted_at__isnull=False).count() == 3


def test_orthanc_shows_by_qido_what_came_by_c_store(orthanc):
    made = to_commit(
        SimpleNamespace(port=orthanc.dicom_port),
        ae_title=orthanc.ae_title,
        proof="count",
        query_url=orthanc.dicomweb_url,
    )

    assert step(made) == "delivered"


def test_an_archive_without_queries_is_told_to_a_person(storescp):
    made = to_commit(SimpleNamespace(port=storescp.port), ae_title=storescp.ae_title, proof="count")

    assert step(made) == "refused"
    assert "does not take queries" in made.problem


@pytest.mark.parametrize(("status", "problem"), [(0xA700, Unreachable), (0xA900, Refused), (0xC001, Refused)])
def test_a_query_that_fails_counts_nothing(status, problem):
    ae = AE(TITLE)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, lambda event: iter([(status, None)]))]
    )
    try:
        with pytest.raises(problem):
            find.instances(Peer("127.0.0.1", server.server_address[1], TITLE, "IMGSHARE"), "1.2", ["1.2.3"])
    finally:
        server.shutdown()


# --- the whole portal ---


FURNISHED = """
from policies.models import Destination
Destination.objects.create(name="PACS", ae_title="COMMITTER", host="127.0.0.1", port=1)
"""


def test_a_running_door_keeps_the_report_of_a_destination_and_the_sweep_acts_on_it(new_portal):
    portal = new_portal("storescp")
    portal.shell(FURNISHED)
    assoc = associated(portal.dicom_port)
    assert reported(assoc, "1.2.3", ["1.2.3.4"]) == 0x0000
    assoc.release()
    (kept,) = (portal.data_dir / "reports").iterdir()
    assert Report.from_json(kept.read_text()).committed == (Reference(CTImageStorage, "1.2.3.4"),)
    assert portal.manage("sweep").returncode == 0

    assert list((portal.data_dir / "reports").iterdir()) == []
    ledger = portal.shell("from policies.models import LedgerLine; print(*LedgerLine.objects.values_list('verb'))")
    assert "commitment ignored" in ledger


# --- the door ---


def associated(port, title=TITLE, context=StorageCommitmentPushModel):
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
    return AE(title).associate("127.0.0.1", port, [build_context(context)], "IMGSHARE", ext_neg=roles)


def test_a_destination_may_report_and_not_send(door, spool):
    assoc = associated(door, context=CTImageStorage)
    status = assoc.send_c_store(make.dataset()).Status
    assoc.release()

    assert (status, spool.keys()) == (0x0124, [])


def test_who_is_neither_source_nor_destination_is_turned_away(door):
    assert associated(door, "STRANGER").is_rejected


@pytest.mark.parametrize("event", [3, 7])
def test_an_event_that_the_standard_does_not_know_is_refused(door, event):
    assoc = associated(door)
    assert reported(assoc, "1.2.3", ["1.2.3.4"], event=event) == 0x0113
    assoc.release()


def test_a_report_without_a_transaction_is_refused(door):
    assoc = associated(door)
    ds = Dataset()
    ds.RetrieveAETitle = "X"
    status, _ = assoc.send_n_event_report(ds, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assoc.release()

    assert status.Status == 0x0115
    assert list(stores.reports().waiting()) == []


def test_a_report_that_cannot_be_kept_is_not_answered_with_success(door, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reconciliation.dicom.commitment.os.fsync", full)
    assoc = associated(door)

    assert reported(assoc, "1.2.3", ["1.2.3.4"]) == 0x0110
    assoc.release()
    assert list(stores.reports().waiting()) == []


def test_a_report_is_kept_while_the_database_is_down(monkeypatch):
    def down(*_):
        raise DatabaseError

    monkeypatch.setattr("policies.bell.ring", down)
    monkeypatch.setattr(commitment, "_act_on", down)
    report = Report("1.2.3", TITLE, "127.0.0.1", (Reference("1.2", "1.2.4"),), (Failure("1.2", "1.2.5", 0x0112),))
    storescp.reported(report)

    assert commitment.hear() == 0
    assert [kept for _, kept in stores.reports().waiting()] == [report]


def test_a_damaged_report_stops_no_other(tmp_path):
    reports, folder = Reports(tmp_path / "reports"), tmp_path / "reports"
    folder.mkdir()
    (folder / "0-damaged").write_text("{")
    (folder / "1.part").write_text("{")
    reports.keep(Report("1.2.3", TITLE, "127.0.0.1"))

    assert [report.TransactionUID for _, report in reports.waiting()] == ["1.2.3"]
    assert (folder / "0-damaged.damaged").exists()


def test_an_archive_that_hangs_up_on_the_question_is_asked_again_later(free_port):
    peer = Peer("127.0.0.1", free_port, TITLE, "IMGSHARE")
    with pytest.raises(Unreachable):
        ask(peer, [Reference("1.2", "1.2.3")], transaction_uid="1.2.3", keep=print)
