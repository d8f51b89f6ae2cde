"""Studies whose UIDs cannot stay, at a real archive: taken, committed and found again under their new ones."""

import json

import pytest
from pydicom.uid import generate_uid

from reconciliation import clearance, mapping, renaming
from reconciliation.models import DeliveredInstance, Study
from reconciliation.release import release
from reconciliation.renaming import Choice
from tests import make
from tests.reconciliation.test_intake import again
from tests.wire.test_commitment import door, quick, until  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:Invalid value for VR UI")]


def test_invalid_and_doubled_uids_arrive_as_valid_and_single_ones(orthanc, door):  # noqa: F811
    orthanc.know("portal", ae_title="IMGSHARE", port=door)
    ds = make.dataset(StudyInstanceUID="1.2.03.4", SeriesInstanceUID="1.2.3.x")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    study = make.received(ds, again(ds, SeriesDescription="Altered"))
    for step in make._STEPS["held"]:
        step(study, None)
    study = Study.objects.get(pk=study.pk)
    choice = Choice(new_uids=True, doubled="both")
    mapping.apply(study, order=make.order(), intent="reference", by=make.user("releaser"), uids=choice)
    make.rule()
    clearance.clear(study, consent=make.CONSENT, by=make.user("releaser"))
    to = {"port": orthanc.dicom_port, "ae_title": orthanc.ae_title, "proof": "commitment"}
    (made,) = release(study, to=[make.destination("Here", **to)], by=make.user("releaser"))
    until("delivered", made)

    there = [json.loads(orthanc.request("GET", f"/instances/{key}/simplified-tags")) for key in orthanc.instances()]
    sent = set(DeliveredInstance.objects.values_list("sop_instance_uid", flat=True))
    assert {one["StudyInstanceUID"] for one in there} == {renaming.new_uid("1.2.03.4")}
    assert {one["SOPInstanceUID"] for one in there} == sent
    assert len(sent) == 2
