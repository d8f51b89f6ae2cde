"""Every real object that can be read is sent through the DICOM door as it is, and is in the queue afterwards."""

import pytest

from reconciliation import intake, stores
from reconciliation.dicom import edit, header, scp, scu
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.models import Instance
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def door(data_dir):
    origin = Origin(door=Door.DIMSE, source=str(make.source().pk), calling_title="SENDER")
    server = scp.serve(
        scp.Listener("IMGSHARE", "127.0.0.1", 0), spool=stores.spool(), admit=lambda caller: origin, refused=print
    )
    yield server.server_address[1]
    server.shutdown()


def outgoing(path) -> scu.Outgoing | None:
    try:
        found = header.read(path)
    except header.Unreadable:
        return None
    facts = found.SOPClassUID, found.SOPInstanceUID, found.TransferSyntaxUID
    return scu.Outgoing(str(path), *facts, original=path, made=lambda: edit.make(path, []))


def test_what_can_be_read_is_taken_in_by_the_dicom_door(shared, door):
    objects = [one for path in sorted((shared / "dicom").rglob("*")) if path.is_file() and (one := outgoing(path))]
    outcomes = []
    scu.send(scu.Peer("127.0.0.1", door, "IMGSHARE", "SENDER"), objects, told=outcomes.append)
    assert len(outcomes) == len(objects) > 300

    taken = [outcome for outcome in outcomes if outcome.accepted]
    refused = [outcome for outcome in outcomes if not outcome.accepted]
    assert all(outcome.sentence for outcome in refused)
    results = [result for key in stores.spool().keys() for result in intake.index(key)]
    assert len(results) == len(taken)
    assert Instance.objects.count() == sum(result.outcome in ("held", "conflict") for result in results)
    assert len(refused) < 10, refused
