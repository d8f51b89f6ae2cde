"""What managers add to a mapping: shown, stored, written into real objects, and undone from them."""

import pytest
from pydicom import dcmread

from policies.models import CoercionRule, QualityRule
from policies.problems import Conflict
from reconciliation import mapping, stores
from reconciliation.models import Instance
from tests import make
from tests.reconciliation.dicom.edits import checked, undone, values

pytestmark = pytest.mark.django_db


def label(**columns):
    said = {"kind": "label", "attribute": "StudyDescription", "how": "prefix", "text": "OUTSIDE", **columns}
    return CoercionRule.objects.create(**{"name": "Outside", **said})


def planned(study, **choice):
    return {change.path: change for change in mapping.preview(study, **choice)}


def original(study):
    return stores.vault().path(Instance.objects.get(series__study=study).digest)


def test_a_label_is_shown_stored_and_written_and_the_old_value_is_kept(tmp_path):
    label()
    study, order = make.study(), make.order()
    shown = planned(study, order=order)["StudyDescription"]
    made = mapping.apply(study, order=order, intent="reference", by=make.user("desk"))
    changes = mapping.changes(made)
    written = checked(original(study), changes, tmp_path)

    assert (shown.old, shown.new, shown.rule) == (["CT CHEST"], "OUTSIDE CT CHEST", "Policy: Outside.")
    assert written.StudyDescription == "OUTSIDE CT CHEST"
    kept = written.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]
    assert kept.StudyDescription == "CT CHEST"


def test_the_object_as_it_came_follows_from_the_one_that_is_written(tmp_path, monkeypatch):
    label(text="GERÄTE 頭")
    study = make.study()
    changes = mapping.preview(study, order=make.order())
    written = checked(original(study), changes, tmp_path)

    assert written.StudyDescription == "GERÄTE 頭 CT CHEST"
    at = written.OriginalAttributesSequence[-1].AttributeModificationDateTime
    monkeypatch.setattr("tests.reconciliation.dicom.edits.AT", at)
    assert values(undone(written)) == values(dcmread(original(study)))


def test_the_value_of_our_order_wins_where_managers_say_so():
    label(name="Ours", kind="wins", attribute="ReferringPhysicianName", how="local_if_present", text="")
    study = make.study(ReferringPhysicianName="Aldous^Petra")

    assert "ReferringPhysicianName" not in planned(study, order=make.order())
    with_one = planned(study, order=make.order(referring_physician="Berg^Ida"))
    assert with_one["ReferringPhysicianName"].new == "Berg^Ida"


def test_a_correction_of_record_quality_is_a_change_of_the_mapping(tmp_path):
    QualityRule.objects.create(
        code="body-part",
        kind="values",
        attribute="BodyPartExamined",
        accepted="CHEST",
        follows="correct",
        correction="replace",
        replacements="THORAX = CHEST",
    )
    study = make.study(BodyPartExamined="THORAX")
    changes = mapping.preview(study, order=make.order())

    assert [one.code for one in study.findings.all()] == ["body-part"]
    assert checked(original(study), changes, tmp_path).BodyPartExamined == "CHEST"


def test_a_rule_may_depend_on_what_the_study_is_for():
    label(intent="read")
    study, order = make.study(), make.order()

    assert "StudyDescription" not in planned(study, order=order)
    assert "StudyDescription" not in planned(study, order=order, intent="reference")
    assert planned(study, order=order, intent="read")["StudyDescription"].new == "OUTSIDE CT CHEST"


def test_what_was_shown_for_another_purpose_is_not_what_is_mapped():
    label(intent="read")
    study, order = make.study(), make.order()
    shown = mapping.fingerprint(mapping.preview(study, order=order, intent="reference"))
    with pytest.raises(Conflict, match="not what you were shown"):
        mapping.apply(study, order=order, intent="read", by=make.user("desk"), shown=shown)


def test_what_cannot_be_written_is_a_note_and_not_cut():
    label(text="OUTSIDE STUDY OF ANOTHER HOSPITAL")
    study, order = make.study(StudyDescription="x" * 50), make.order()
    against = mapping.objections(study, patient=order.patient, order=order)
    mapping.apply(study, order=order, intent="reference", by=make.user("desk"))
    note = study.findings.get(code="mapping_not_amended")

    assert [one.code for one in against] == ["mapping_not_amended"]
    assert note.severity == "warn"
    assert "not applied: Study Description has 84 characters" in note.sentence


def test_a_rule_of_another_source_changes_nothing():
    label(source=make.source("City Clinic"))

    assert "StudyDescription" not in planned(make.study(), order=make.order())


def test_a_mapping_keeps_what_was_decided_when_the_rule_goes():
    label()
    study = make.study("mapped")
    CoercionRule.objects.all().delete()

    assert any(change.path == "StudyDescription" for change in mapping.changes(study.mapping))
