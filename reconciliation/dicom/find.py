"""Which objects of a study an archive has: asked by C-FIND, Study Root, level IMAGE (PS3.4 C.6.2)."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from reconciliation.dicom import association
from reconciliation.dicom.scu import Peer, Refused, Unreachable

SUCCESS, PENDING = 0x0000, (0xFF00, 0xFF01)
AGAIN_LATER = (0xA700, 0xFE00)  # out of resources, cancelled; PS3.4 Table C.4-1


def instances(peer: Peer, study: str, series: Iterable[str]) -> set[str]:
    """The SOP Instance UIDs that the peer has of these series of a study. Raises Unreachable or Refused."""
    context = build_context(StudyRootQueryRetrieveInformationModelFind)
    with association.opened(peer, context, for_what="queries (C-FIND)") as assoc:
        return {uid for one in series for uid in _of_series(assoc, peer, study, one)}


def _of_series(assoc: Association, peer: Peer, study: str, series: str) -> list[str]:
    """A query at level IMAGE names study and series: archives need not support relational queries (C.4.1.2.1)."""
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study, series, ""
    found = []
    association.hold(assoc)
    for answer, identifier in assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
        status = answer.get("Status")
        if status in PENDING:
            found.append(str((identifier or Dataset()).get("SOPInstanceUID", "")))
        elif status == SUCCESS:
            return found
        elif status is None:
            break
        else:
            raise _refusal(peer, status)
    raise Unreachable(f"{peer.ae_title} did not answer a query to its end.")


def _refusal(peer: Peer, status: int) -> Exception:
    if status in AGAIN_LATER:
        return Unreachable(f"{peer.ae_title} cannot answer queries now (0x{status:04X}).")
    return Refused(f"{peer.ae_title} refused a query with 0x{status:04X}, so nothing could be counted.")
