import io
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from reconciliation import evidence, intake, inventory, stores
from reconciliation.dicom.arrival import Origin
from reconciliation.models import ConsentEvidence, Delivery, Instance, Study, Submission, Unreadable
from tests import hostile, make
from tests.reconciliation.test_evidence import PDF

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture
def study():
    return make.study("mapped")


@pytest.fixture
def kept(study):
    """The file of the one object that there is."""
    return stores.vault().path(Instance.objects.get().digest)


def found(**options):
    return {(one.kind, one.key) for one in inventory.differences(**options)}


def test_a_portal_at_work_has_no_differences():
    for state in make._STEPS:
        if state != "delivered":  # `make` delivers without a destination's word
            make.study(state)
    make.spooled_bytes(hostile.CHANCE)
    intake.index_all()

    assert Unreadable.objects.exists()
    assert found(rehash=True) == set()


def test_a_file_that_is_gone_is_lost(kept):
    kept.unlink()

    assert ("lost", kept.name) in found()


def test_a_file_that_no_row_names_is_an_orphan_and_stays(kept, tmp_path):
    other = tmp_path / "1"
    other.write_bytes(b"bytes")
    path = stores.vault().link(other, "ab" * 32)
    assert found() == set()  # intake is at it: the spool has it too
    other.unlink()

    assert found() == {("orphan", "ab" * 32)}
    assert path.read_bytes() == b"bytes"


@pytest.fixture
def form(study):
    """The file of a scanned form that was kept."""
    return evidence.path(evidence.keep(study, io.BytesIO(PDF), by=make.user("releaser")).digest)


def lost(form):
    form.unlink()


def changed(form):
    form.chmod(0o640)
    form.write_bytes(PDF + b" ")


def unnamed(form):
    ConsentEvidence.objects.all().delete()


def test_a_scanned_form_at_its_place_is_no_difference(form):
    assert found() == set()


@pytest.mark.parametrize(
    ("happens", "said"), [(lost, "does not have it"), (changed, "was changed"), (unnamed, "no row names it")]
)
def test_a_scanned_form_that_is_lost_changed_or_unnamed_is_told(happens, said, form):
    happens(form)

    (one,) = inventory.differences()
    assert (one.kind, one.key, said in one.sentence) == ("form", form.name, True)


def test_what_is_no_form_is_a_stranger_among_them_and_stays(form):
    form.with_name("letter.pdf").write_bytes(PDF)
    out = StringIO()
    with pytest.raises(CommandError, match="1 stranger"):
        call_command("verify_store", "--json", stdout=out)

    (one,) = json.loads(out.getvalue())["differences"]
    assert (one["kind"], one["key"]) == ("stranger", f"{form.name[:2]}/{form.name[2:4]}/letter.pdf")
    assert form.with_name("letter.pdf").exists()


def test_a_file_of_another_size_is_named(kept):
    kept.chmod(0o640)
    kept.write_bytes(kept.read_bytes() + b"!")

    assert found() == {("size", kept.name)}


def test_changed_bytes_are_found_by_reading_them_again(kept):
    kept.chmod(0o640)
    kept.write_bytes(bytes(kept.stat().st_size))

    assert found() == set()
    assert found(rehash=True) == {("digest", kept.name)}


def test_what_is_not_ours_is_named(kept):
    (stores.vault().root / "ab").mkdir(exist_ok=True)
    (stores.vault().root / "ab" / "notes.txt").write_text("mine")
    (stores.spool().root / "lost+found").mkdir()

    assert found() == {("stranger", "ab/notes.txt"), ("stranger", "lost+found")}


def test_what_waits_in_the_spool_is_named():
    key = make.spooled(make.dataset())

    assert found() == {("waiting", key)}


def test_an_unfinished_object_is_named_once_its_door_is_gone():
    with stores.spool().open(Origin("dimse")) as submission:
        part = submission.part()
        assert found() == set()

    assert found() == {("waiting", submission.key), ("part", submission.key)}
    part.abort()


def test_a_submission_that_was_never_opened_is_named():
    unborn = stores.spool().root / ".0190f3b2"
    unborn.mkdir()

    assert found() == {("hidden", unborn.name)}


def test_a_row_that_could_not_be_rebuilt_is_named(study):
    key = str(Submission.objects.get().pk)
    stores.journal().path(key).unlink()

    assert found() == {("journal", key)}


def test_a_line_of_the_journal_that_leads_nowhere_is_named(study, kept):
    Instance.objects.update(digest="ab" * 32)

    assert ("journal", "ab" * 32) in found()
    assert ("orphan", kept.name) in found()


def test_a_study_that_counts_what_it_does_not_have_is_named(study):
    Study.objects.update(number_of_instances=2)

    assert found() == {("count", str(study.pk))}


def test_a_state_that_the_ledger_does_not_lead_to_is_named(study):
    Study.objects.update(state="held")

    (problem,) = inventory.differences()
    assert (problem.kind, problem.key) == ("ledger", str(study.pk))
    assert "is 'held', and the ledger leads to 'mapped'" in problem.sentence


def test_a_delivery_without_its_destinations_word_is_named():
    study = make.study("delivered")
    stated = Delivery.objects.get(study=study)

    assert found() == {("proof", str(stated.pk))}


def test_the_command_names_each_difference_and_fails(kept):
    kept.unlink()
    out = StringIO()
    with pytest.raises(CommandError, match="2 differences: 1 lost, 1 journal"):
        call_command("verify_store", stdout=out)

    assert out.getvalue().startswith(f"lost      A row names {kept.name}")


def test_the_command_ends_well_when_all_is_well(study):
    out = StringIO()
    call_command("verify_store", "--json", "--digests", stdout=out)

    assert json.loads(out.getvalue()) == {"clean": True, "differences": []}
