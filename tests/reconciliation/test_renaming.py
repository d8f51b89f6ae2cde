"""UIDs that cannot stay, and which of two contents under one SOP Instance UID goes out."""

import io

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from policies.models import LedgerLine
from policies.problems import Conflict, Denied, Invalid
from policies.rules.values import is_uid
from reconciliation import clearance, delivery, gate, intake, mapping, matching, release, renaming, stores
from reconciliation.dicom import reread
from reconciliation.models import Instance, Study
from reconciliation.renaming import Choice
from tests import make
from tests.reconciliation.test_intake import again, outcomes, sibling

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:Invalid value for VR UI")]
BAD_STUDY, BAD_SERIES, BAD_OBJECT, BAD_FRAME = "1.2.03.4", "1.2.3.", "1.2.3.x", "1..2"


def held(*datasets, of=None) -> Study:
    study = make.received(*datasets, of=of)
    return settled(study)


def settled(study: Study) -> Study:
    study.refresh_from_db()
    intake.settle(study)
    matching.propose(study)
    return Study.objects.get(pk=study.pk)


def mapped(study: Study, **choice) -> Study:
    mapping.apply(study, order=make.order(), intent="reference", by=make.user("releaser"), uids=Choice(**choice))
    return Study.objects.get(pk=study.pk)


def released(study: Study) -> Study:
    make.rule()
    clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"))
    release.release(study, to=[make.destination()], by=make.user("releaser"))
    return Study.objects.get(pk=study.pk)


def outgoing(study: Study) -> list[tuple[str, Dataset]]:
    """What would be sent, as it is announced and as pydicom reads it."""
    one, found = study.deliveries.get(), []
    renamed = renaming.of(one.mapping)
    for each in delivery.outstanding(one):
        out = delivery._outgoing(each, mapping.changes(one.mapping), renamed)
        with open(out.original, "rb") as original:
            whole = reread.Stitched(original.fileno(), out.made())
            found.append((out.SOPInstanceUID, dcmread(io.BytesIO(whole.read()))))
    return found


def doubled(**keywords) -> Study:
    """A study whose object came with two contents, and another object that refers to it."""
    ds = make.dataset()
    other = sibling(ds)
    other.SourceImageSequence = [Dataset()]
    other.SourceImageSequence[0].ReferencedSOPInstanceUID = ds.SOPInstanceUID
    study = held(ds, other)
    assert outcomes(again(ds, SeriesDescription="Altered", **keywords)) == ["conflict"]
    return Study.objects.get(pk=study.pk)


def misnamed() -> Dataset:
    ds = make.dataset(StudyInstanceUID=BAD_STUDY, SeriesInstanceUID=BAD_SERIES, FrameOfReferenceUID=BAD_FRAME)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = BAD_OBJECT
    return ds


# --- two contents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("choice", "description"), [("first", "CT CHEST FIRST"), ("last", "Altered")])
def test_one_of_two_contents_goes_out_and_the_other_stays_here(choice, description):
    ds = make.dataset(SeriesDescription="CT CHEST FIRST")
    study = held(ds)
    outcomes(again(ds, SeriesDescription="Altered"))
    study = released(mapped(Study.objects.get(pk=study.pk), doubled=choice))

    [(uid, sent)] = outgoing(study)
    assert (uid, sent.SOPInstanceUID, sent.SeriesDescription) == (ds.SOPInstanceUID, ds.SOPInstanceUID, description)
    assert Instance.objects.filter(series__study=study).count() == 2
    assert study.deliveries.get().number_of_instances == 1


def test_both_go_out_the_later_under_a_uid_that_is_always_the_same():
    study = doubled()
    later = Instance.objects.get(nth=2)
    first = Instance.objects.get(nth=1, sop_instance_uid=later.sop_instance_uid)
    study = released(mapped(study, doubled="both"))

    announced = sorted(uid for uid, _ in outgoing(study))
    new = renaming.new_uid(later.sop_instance_uid, later.content_digest)
    assert len(announced) == 3
    assert {first.sop_instance_uid, new} <= set(announced)
    assert all(uid == ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID for uid, ds in outgoing(study))


def test_references_stay_with_what_came_first():
    study = released(mapped(doubled(), doubled="both"))
    [referring] = [ds for _, ds in outgoing(study) if "SourceImageSequence" in ds]
    meant = referring.SourceImageSequence[0].ReferencedSOPInstanceUID
    [first] = [ds for _, ds in outgoing(study) if ds.SOPInstanceUID == meant]

    assert first.get("SeriesDescription") != "Altered"


def test_the_old_uid_is_kept_inside_the_object():
    study = released(mapped(doubled(), doubled="both"))
    [altered] = [ds for _, ds in outgoing(study) if ds.get("SeriesDescription") == "Altered"]
    old = altered.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]

    assert old.SOPInstanceUID == Instance.objects.exclude(nth=1).get().sop_instance_uid


def test_a_conflict_that_is_left_open_blocks_and_one_that_is_settled_does_not():
    study = doubled()
    open_one = mapped(study)
    with pytest.raises(Conflict, match="other content"):
        released(open_one)
    mapping.unmap(open_one, by=make.user("releaser"))

    assert released(mapped(Study.objects.get(pk=study.pk), doubled="both")).state == "released"


def test_undoing_the_mapping_opens_the_conflict_again():
    study = mapped(doubled(), doubled="first")
    assert not study.findings.get(code="same_uid_other_content").is_open
    mapping.unmap(study, by=make.user("releaser"))

    assert study.findings.get(code="same_uid_other_content").is_open


def test_a_third_content_after_the_decision_opens_the_conflict_again():
    study = mapped(doubled(), doubled="first")
    ds = dcmread(stores.vault().path(Instance.objects.filter(nth=2).get().digest))
    assert outcomes(again(ds, SeriesDescription="A third")) == ["conflict"]

    study.refresh_from_db()
    assert (study.state, study.findings.get(code="same_uid_other_content").is_open) == ("held", True)


def test_only_who_may_override_decides():
    study = doubled()
    with pytest.raises(Denied, match="override"):
        mapping.apply(study, order=make.order(), intent="read", by=make.user("desk"), uids=Choice(doubled="first"))

    assert Study.objects.get(pk=study.pk).state == "held"


def test_the_ledger_tells_what_was_decided():
    study = mapped(doubled(), doubled="both")
    line = LedgerLine.objects.get(verb="change UIDs")

    assert line.detail == study.mapping.uids
    assert "Both go out" in line.reason


def in_two_studies() -> tuple[Study, Study]:
    """The other content came from another source, so it is a part of its own."""
    ds = make.dataset()
    first = held(ds)
    other = held(again(ds, SeriesDescription="Altered"), of=make.source("Other Hospital"))
    return first, other


def overridden(study: Study, **choice) -> Study:
    study = mapped(study, **choice)
    make.rule()
    reasons = {one.code: "Seen." for one in study.findings.filter(severity="override")}
    clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"), overrides=reasons)
    return Study.objects.get(pk=study.pk)


def test_the_content_of_another_study_keeps_its_uid_and_ours_gets_a_new_one_everywhere():
    first, other = in_two_studies()
    other = overridden(other, doubled="both")

    [(old, new)] = renaming.of(other.mapping).study.items()
    assert old == Instance.objects.get(series__study=first).sop_instance_uid
    assert is_uid(new)
    assert gate.why_shut(other) == ""


def test_what_another_study_sends_is_not_taken_from_it():
    _, other = in_two_studies()
    with pytest.raises(Conflict, match="belongs to another study"):
        mapped(other, doubled="last")
    with pytest.raises(Invalid, match="Reject it instead"):
        mapped(other, doubled="first")


def test_when_the_other_study_is_rejected_the_last_content_may_go():
    first, other = in_two_studies()
    release.reject(first, reason=make.reason(), by=make.user("releaser"))

    assert gate.why_shut(overridden(other, doubled="last")) == ""


def test_the_study_whose_other_content_was_renamed_is_free_too():
    first, other = in_two_studies()
    overridden(other, doubled="both")

    assert renaming.doubled(first) == {}


# --- UIDs that are none ----------------------------------------------------------------------------------------------


def test_uids_that_are_not_valid_get_new_ones_at_every_level():
    study = released(mapped(held(misnamed()), new_uids=True))
    [(uid, ds)] = outgoing(study)

    assert uid == ds.SOPInstanceUID == renaming.new_uid(BAD_OBJECT)
    assert ds.StudyInstanceUID == renaming.new_uid(BAD_STUDY)
    assert ds.SeriesInstanceUID == renaming.new_uid(BAD_SERIES)
    assert ds.FrameOfReferenceUID == renaming.new_uid(BAD_FRAME)
    assert all(map(is_uid, (uid, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID)))


def test_references_between_the_objects_of_a_study_hold():
    ds = misnamed()
    other = again(ds)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    other.SourceImageSequence = [Dataset()]
    other.SourceImageSequence[0].ReferencedSOPInstanceUID = BAD_OBJECT
    study = released(mapped(held(ds, other), new_uids=True))
    [referring] = [one for _, one in outgoing(study) if "SourceImageSequence" in one]

    assert referring.SourceImageSequence[0].ReferencedSOPInstanceUID == renaming.new_uid(BAD_OBJECT)


def test_valid_uids_stay():
    ds = make.dataset()
    study = released(mapped(held(ds), new_uids=True))

    assert study.mapping.uids == {}
    assert outgoing(study)[0][0] == ds.SOPInstanceUID


def test_without_the_choice_nothing_is_renamed():
    study = released(mapped(held(misnamed())))

    assert outgoing(study)[0][1].StudyInstanceUID == BAD_STUDY


def test_new_uids_follow_from_the_key_of_the_portal(settings):
    settings.UID_KEY = "one"
    here = renaming.new_uid(BAD_STUDY)
    settings.UID_KEY = "another"

    assert is_uid(here)
    assert renaming.new_uid(BAD_STUDY) != here


def test_what_was_shown_is_what_is_stored():
    study, order = doubled(), make.order()
    shown = mapping.fingerprint(mapping.preview(study, order=order), renaming.plan(study, Choice(doubled="first")))
    with pytest.raises(Conflict, match="not what you were shown"):
        mapping.apply(
            study,
            order=order,
            intent="read",
            by=make.user("releaser"),
            uids=Choice(doubled="both"),
            shown=shown,
        )


# --- digital signatures ----------------------------------------------------------------------------------------------


def signed() -> Dataset:
    ds = make.dataset()
    ds.MACParametersSequence, ds.DigitalSignaturesSequence = [Dataset()], [Dataset()]
    ds.MACParametersSequence[0].MACIDNumber = 1
    ds.MACParametersSequence[0].DataElementsSigned = [0x00100010]
    ds.DigitalSignaturesSequence[0].MACIDNumber = 1
    ds.DigitalSignaturesSequence[0].Signature = b"12"
    return ds


def test_signatures_that_would_not_hold_are_removed_and_kept_as_old_values():
    ds = signed()
    unsigned = sibling(ds)
    del unsigned.MACParametersSequence, unsigned.DigitalSignaturesSequence
    study = released(mapped(held(unsigned, ds)))
    changes = {change.path: change for change in mapping.changes(study.mapping)}
    [sent] = [one for _, one in outgoing(study) if one.SOPInstanceUID == ds.SOPInstanceUID]

    assert changes["DigitalSignaturesSequence"].action == "remove"
    assert "DigitalSignaturesSequence" not in sent
    assert "DigitalSignaturesSequence" in sent.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]


def test_a_study_without_signatures_hears_nothing_of_them():
    changes = mapping.preview(make.study("held"), order=make.order())

    assert "DigitalSignaturesSequence" not in {change.path for change in changes}
