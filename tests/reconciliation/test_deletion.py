import ast
from copy import copy
from datetime import timedelta

import pytest
from django.conf import settings as portal
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from orders.models import Patient
from policies import audit
from policies.models import LedgerLine
from reconciliation import deletion, expiry, intake, inventory, keeping, rebuild, stores, tasks
from reconciliation.models import Deletion, DeletionProof, DeliveredInstance, Instance, RejectionNote, Series, Study
from tests import make
from tests.conftest import triggers_lifted
from tests.test_architecture import MODULES, ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def approver():
    return make.approver()


@pytest.fixture
def approved(approver):
    """A decision about a delivered study that is due, whose grace time is over."""
    study, now = make.due(), timezone.now()
    one = Instance.objects.get(series__study=study)
    said = {"sop_instance_uid": one.sop_instance_uid, "accepted": True, "at": now, "committed_at": now}
    DeliveredInstance.objects.create(delivery=study.deliveries.get(), instance=one, **said)
    return ripe(expiry.approve(study, reason="Over", by=approver))


def ripe(decision):
    Deletion.objects.filter(pk=decision.pk).update(not_before=timezone.now())
    decision.refresh_from_db()
    return decision


def vault_files():
    return sorted(path.name for path in portal.VAULT_DIR.glob("??/??/*"))


def test_the_sweep_deletes_what_was_approved_and_leaves_its_proof(approved):
    study, one = approved.study, Instance.objects.get()
    path = stores.vault().path(one.digest)
    assert tasks.sweep()["deleted"] == 1

    study.refresh_from_db()
    assert (study.state, path.exists(), Instance.objects.exists(), Series.objects.exists()) == (
        "expired",
        False,
        False,
        False,
    )
    proof = DeletionProof.objects.get()
    assert proof.objects_deleted[0][1:] == [one.sop_instance_uid, one.sop_class_uid, one.digest, one.size]
    assert (proof.number_of_instances, proof.size, proof.deletion.approved_by.username) == (1, one.size, "approver")
    assert study.mapping.changes
    assert study.deliveries.exists()
    assert list(inventory.differences(rehash=True)) == []


def test_the_ledger_names_rule_approver_and_proof(approved):
    deletion.carry_out(approved)

    lines = dict(LedgerLine.objects.filter(subject_key=str(approved.study_id)).values_list("verb", "detail"))
    assert {"rule": "Outside studies", "approved by": "Approver"}.items() <= lines["expire"].items()
    assert lines["delete"]["digest"] == DeletionProof.objects.get().digest
    assert audit.verify() == ""


def test_within_the_grace_time_nothing_is_deleted(approver):
    expiry.approve(make.due(), reason="Over", by=approver)

    assert (tasks.sweep()["deleted"], len(vault_files())) == (0, 1)


def test_pictures_go_with_the_originals(approved):
    digest = Instance.objects.get().digest
    picture = portal.CACHE_DIR / "pictures" / digest[:2] / f"{digest}-0-160.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"")
    deletion.carry_out(approved)

    assert not picture.exists()


def test_what_a_destination_said_of_each_object_stays(approved):
    one = Instance.objects.get()
    DeliveredInstance.objects.update(committed_at=None)
    assert "never proved" in expiry.of(approved.study).against[0].sentence
    deletion.carry_out(approved)

    assert DeliveredInstance.objects.get().sop_instance_uid == one.sop_instance_uid


def test_a_rule_that_tells_leaves_word_of_which_archives_are_still_to_be_told(approver):
    make.rule(outcome="tell")
    decision = ripe(expiry.approve(make.due(), reason="Over", by=approver))
    deletion.carry_out(decision)

    (note,) = RejectionNote.objects.all()
    assert (note.delivery.destination.name, note.title, note.state) == ("PACS", "113039", "by hand")
    assert LedgerLine.objects.latest("id").verb == "archives to tell"


# --- asked again -----------------------------------------------------------------------------------------------------


def hold(decision):
    keeping.hold(study=decision.study, reason="Court", by=make.approver())


def view(decision):
    keeping.viewed(decision.study)


def look_once_and_never_again(decision):
    Study.objects.update(last_viewed_at=timezone.now())
    portal.VIEWED_LATELY_SECONDS = 0


def rescue(decision):
    keeping.rescue(decision.study, rule=make.rule(name="Also over", period="P1D"), reason="So", by=make.approver())


def receive_more(decision):
    Study.objects.update(last_arrival_at=timezone.now())


def lose_the_power(decision):
    decision.approved_by.groups.clear()


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (hold, "Legal hold"),
        (view, "Somebody viewed it"),
        (look_once_and_never_again, "since the deletion was approved"),
        (rescue, "kept by another rule"),
        (receive_more, "More objects came"),
        (lose_the_power, "Your role may not"),
    ],
)
def test_what_happened_since_the_approval_stops_the_deletion(happens, said, approved, settings):
    settings.VIEWED_LATELY_SECONDS = settings.VIEWED_LATELY_SECONDS
    happens(approved)
    assert tasks.sweep()["deleted"] == 0

    approved.refresh_from_db()
    assert (approved.state, said in approved.ended_why, len(vault_files())) == ("stopped", True, 1)
    assert LedgerLine.objects.filter(verb="stop deletion").count() == 1


def test_while_an_approval_wants_another_it_waits(approved, monkeypatch):
    monkeypatch.setattr(expiry, "wanting", lambda decision: "A second approver.")

    assert (tasks.sweep()["deleted"], Deletion.objects.get().state) == (0, "approved")


# --- what others share, what comes again -----------------------------------------------------------------------------


def test_bytes_that_another_study_has_too_stay(approver):
    ds = make.dataset()
    rejected = make.received(ds)
    intake.settle(rejected)
    make.release.reject(rejected, reason=make.reason(), by=make.user("releaser"))
    again = make.received(ds)
    assert (again.part, len(vault_files())) == (1, 1)
    make.rule()
    Study.objects.filter(pk=rejected.pk).update(received_at=timezone.now() - timedelta(400))
    rejected.refresh_from_db()
    Study.objects.update(last_arrival_at=timezone.now() - timedelta(1))
    assert deletion.carry_out(ripe(expiry.approve(rejected, reason="Over", by=approver)))

    assert len(vault_files()) == 1
    assert list(inventory.differences(rehash=True)) == []
    Study.objects.filter(pk=again.pk).update(received_at=timezone.now() - timedelta(400), state="held")
    assert deletion.carry_out(ripe(expiry.approve(Study.objects.get(pk=again.pk), reason="Over", by=approver)))
    assert vault_files() == []


def test_a_study_that_comes_again_is_received_anew(approver):
    ds = make.dataset()
    make.rule()
    study = make.received(ds)
    intake.settle(study)
    Study.objects.update(received_at=timezone.now() - timedelta(400), last_arrival_at=timezone.now() - timedelta(400))
    study.refresh_from_db()
    deletion.carry_out(ripe(expiry.approve(study, reason="Over", by=approver)))
    again = make.received(ds)

    assert (again.part, again.follows, len(vault_files())) == (1, study, 1)
    assert list(inventory.differences(rehash=True)) == []


def test_a_lost_database_does_not_bring_back_what_was_deleted(approved):
    other = make.study()
    deletion.carry_out(approved)
    with triggers_lifted():
        Instance.objects.all().delete()
    Series.objects.all().delete()
    done = rebuild.rebuild()

    assert (done.lost, done.outcomes) == ([], {"held": 1})
    assert Instance.objects.get().series.study.study_instance_uid == other.study_instance_uid


# --- killed anywhere -------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


STEPS = ["_journal", "_remove_bytes", "_remove_pictures", "_remove_rows"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_between_two_steps_the_next_sweep_ends_it(step, after, approved, monkeypatch):
    real = getattr(deletion, step)

    def dies(*given):
        if after:
            real(*given)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(deletion, step, dies)
        with pytest.raises(Killed):
            deletion.carry_out(approved)
    differences = {one.kind for one in inventory.differences()}
    assert differences <= {"deleting"}
    tasks.sweep()

    assert (Deletion.objects.get().state, vault_files(), Instance.objects.count()) == ("done", [], 0)
    assert list(inventory.differences(rehash=True)) == []
    assert LedgerLine.objects.filter(verb="delete").count() == 1


def test_two_workers_at_one_deletion_end_it_once(approved):
    other = Deletion.objects.get()
    assert deletion.carry_out(approved)
    assert not deletion.carry_out(other)

    assert LedgerLine.objects.filter(verb="delete").count() == DeletionProof.objects.count() == 1


# --- nothing else deletes --------------------------------------------------------------------------------------------


def test_the_database_itself_refuses_to_delete_an_object_without_a_decision():
    make.study()

    with pytest.raises(DatabaseError, match="approved decision"), transaction.atomic():
        Instance.objects.all().delete()
    assert Instance.objects.exists()


def test_the_database_itself_refuses_to_delete_under_a_hold(approved):
    Deletion.objects.update(state="deleting", begun_at=timezone.now())
    DeliveredInstance.objects.all().delete()
    hold(approved)

    with pytest.raises(DatabaseError, match="legal hold"), transaction.atomic():
        Instance.objects.all().delete()


def merged_into(one):
    make.merge(other := make.patient("Muller^Anna"), one)
    return other


def is_merged_into(one):
    make.merge(one, other := make.patient("Muller^Anna"))
    return other


def both_merged_into_a_third(one):
    make.merge(one, third := make.patient("Muller^Anna"))
    return merged_into(third)


@pytest.mark.parametrize("other_record", [merged_into, is_merged_into, both_merged_into_a_third])
def test_the_database_itself_knows_a_hold_on_a_record_that_was_merged(other_record, approved):
    Deletion.objects.update(state="deleting", begun_at=timezone.now())
    DeliveredInstance.objects.all().delete()
    held = keeping.hold(patient=other_record(approved.patient), reason="Court", by=make.approver())

    with pytest.raises(DatabaseError, match="legal hold"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM reconciliation_instance")
    keeping.lift(held, reason="Settled", by=make.approver())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM reconciliation_instance")
    assert not Instance.objects.exists()


def test_a_hold_on_somebody_else_holds_nothing(approved):
    keeping.hold(patient=merged_into(make.patient("Nobody^Else")), reason="Court", by=make.approver())
    deletion.carry_out(approved)

    assert not Instance.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_table_of_patients_can_still_be_changed_beside_the_trigger():
    """What the migration of the trigger asks of later ones on SQLite."""
    old = Patient._meta.get_field("sex")
    new = copy(old)
    new.max_length = 2
    with connection.schema_editor() as editor:
        if connection.vendor == "sqlite":
            editor.execute("PRAGMA legacy_alter_table=ON")
        for before, after in [(old, new), (new, old)]:
            editor.alter_field(Patient, before, after)
        if connection.vendor == "sqlite":
            editor.execute("PRAGMA legacy_alter_table=OFF")
    make.merge(make.patient(), make.patient())

    connection.check_constraints()


def calls(path, *names):
    """Lines of a module on which one of these methods is called, with what it is called on."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield ast.unparse(node.func.value), node.func.attr


REMOVED = {  # what each other module removes: none of it is an original or its row
    "orders/merging.py": {"Merge.objects", "gone", "row", "claim"},
    "orders/patients.py": {"Claim.objects"},
    "orders/models/patients.py": {"cls.objects"},
    "orders/received.py": {"goes"},
    "reconciliation/workflow.py": {"Finding.objects"},
    "reconciliation/reproposal.py": {"study.keys"},
    "reconciliation/matching.py": {"study.proposals", "study.findings"},
    "reconciliation/intake.py": {"arrival.path"},  # the spool's second name
    "reconciliation/commitment.py": {"path"},  # a report
    "reconciliation/dicom/commitment.py": {"part"},
    "reconciliation/dicom/render.py": {"part"},
    "reconciliation/dicom/spool.py": {"self.path", "part", "folder / name"},
    "reconciliation/dicom/edit.py": {"Path(target)"},
    "reconciliation/quality.py": {"Finding.objects"},
    "policies/atna.py": {"AuditMessage.objects"},  # what was told long ago; the line stays
    "policies/versions.py": {"obj"},  # a rule; its versions stay
    "policies/recorded.py": {"super()"},
    "policies/people_admin.py": {"super()", "obj", "session"},
}
MAY = {"reconciliation/deletion.py", "reconciliation/dicom/vault.py"}


def test_only_deletion_removes_originals_and_their_rows():
    for path in MODULES:
        name = str(path.relative_to(ROOT))
        if name in MAY or name.startswith("imgshare_site/"):
            continue
        for on, what in calls(path, "delete", "unlink", "rmtree", "_raw_delete", "removedirs"):
            known = any(on in (one, f"({one})") or on.startswith(f"{one}.") for one in REMOVED.get(name, ()))
            assert known, f"{name}: {on}.{what}()"
        if name != "reconciliation/deletion.py":
            assert not [on for on, _ in calls(path, "remove", "removing") if "vault" in on], name
