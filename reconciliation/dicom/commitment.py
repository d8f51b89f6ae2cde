"""Storage commitment, push model (PS3.4 J.3): asking for it, and the reports, kept on disk before they are answered.

A report comes on the association of the request or on a later one that the archive opens to our door. Either way it
lies on disk, fsynced, before the archive hears Success: it will not say it twice.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from reconciliation.dicom import association
from reconciliation.dicom.scu import Peer, Refused, Unreachable

log = logging.getLogger(__name__)

REQUEST = 1  # Action Type ID, PS3.4 J.3.2.1
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type ID, PS3.4 J.3.3.1
LINGER = 2  # seconds that we stay on the line for a report that comes at once

# PS3.7 annex C
SUCCESS, PROCESSING_FAILURE, NO_SUCH_EVENT, INVALID_ARGUMENT = 0x0000, 0x0110, 0x0113, 0x0115
AGAIN_LATER = (0x0110, 0x0131, 0x0213)

# Failure Reason (0008,1197), PS3.3 C.14.1.1
NO_SUCH_INSTANCE = 0x0112
REASONS = {
    0x0110: "processing failure",
    0x0112: "it does not have the object",
    0x0119: "it has an object of this UID and another SOP class",
    0x0122: "it does not commit itself to this SOP class",
    0x0131: "it has seen this transaction before",
    0x0213: "it is short of resources",
}
FOR_GOOD = (0x0119, 0x0122)  # asking or sending again will not help


class Reference(NamedTuple):
    SOPClassUID: str
    SOPInstanceUID: str


class Failure(NamedTuple):
    SOPClassUID: str
    SOPInstanceUID: str
    FailureReason: int


@dataclass(frozen=True)
class Report:
    """What an archive said about one transaction, and who said it."""

    TransactionUID: str
    calling_title: str
    address: str
    committed: tuple[Reference, ...] = ()
    failed: tuple[Failure, ...] = ()
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        values = json.loads(text)
        committed = tuple(Reference(*one) for one in values.pop("committed"))
        return cls(committed=committed, failed=tuple(Failure(*one) for one in values.pop("failed")), **values)


class Reports:
    """A folder of reports that nobody has acted on yet: one file each, whole or not there."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def keep(self, report: Report) -> Path:
        """Write a report so that it survives a loss of power. Raises OSError; then it must not be answered."""
        self.root.mkdir(parents=True, exist_ok=True)
        kept = self.root / f"{report.at.replace(':', '')}-{uuid4().hex}"
        part = kept.with_name(f"{kept.name}.part")
        try:
            with part.open("w") as file:
                file.write(report.to_json())
                file.flush()
                os.fsync(file.fileno())
            part.rename(kept)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return kept

    def waiting(self) -> Iterator[tuple[Path, Report]]:
        """The reports in the order of their coming; one that cannot be read is put aside and logged."""
        if not self.root.is_dir():
            return
        for path in sorted(path for path in self.root.iterdir() if path.suffix not in (".part", ".damaged")):
            try:
                yield path, Report.from_json(path.read_text())
            except FileNotFoundError:
                continue  # another worker was faster
            except (ValueError, TypeError, KeyError):
                log.exception("The report %s cannot be read; it is kept beside the others", path.name)
                path.rename(path.with_name(f"{path.name}.damaged"))


Keep = Callable[[Report], object]


# --- asking ----------------------------------------------------------------------------------------------------------


def ask(
    peer: Peer, references: Iterable[Reference], *, transaction_uid: str, keep: Keep, linger: float = LINGER
) -> None:
    """Request commitment to these objects (N-ACTION). Returns once the archive has agreed to report.

    A report that comes within `linger` seconds on the same association is given to `keep`. Raises Unreachable (the
    transaction is dead, ask again under a new UID) or Refused.
    """
    heard_now = threading.Event()

    def keep_it(report: Report) -> None:
        keep(report)
        heard_now.set()

    handlers = [(evt.EVT_N_EVENT_REPORT, heard, [keep_it, peer.ae_title])]
    context = build_context(StorageCommitmentPushModel)
    with association.opened(peer, context, for_what="storage commitment", handlers=handlers) as assoc:
        association.hold(assoc)
        answer, _ = assoc.send_n_action(
            _request(references, transaction_uid),
            REQUEST,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        status = answer.get("Status")
        if status != SUCCESS:
            raise _refusal(peer, status)
        heard_now.wait(linger)


def _request(references: Iterable[Reference], transaction_uid: str) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = Sequence(_item(*one) for one in dict.fromkeys(references))  # each once, J.3.2.1.1
    return ds


def _item(sop_class: str, sop_instance: str) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = sop_class, sop_instance
    return ds


def _refusal(peer: Peer, status: int | None) -> Exception:
    if status is None:
        return Unreachable(f"{peer.ae_title} did not answer when it was asked to commit.")
    reason = REASONS.get(status, "a status without a meaning here")
    sentence = f"{peer.ae_title} answered 0x{status:04X} when it was asked to commit: {reason}."
    return Unreachable(sentence) if status in AGAIN_LATER else Refused(sentence)


# --- hearing ---------------------------------------------------------------------------------------------------------


def heard(event: evt.Event, keep: Keep, title: str = "") -> tuple[int, None]:
    """Take an N-EVENT-REPORT: Success only once `keep` has it. `title`: who reports, when it is not who called."""
    if event.event_type not in (ALL_COMMITTED, SOME_FAILED):
        return NO_SUCH_EVENT, None
    requestor = event.assoc.requestor
    try:
        report = _report(event.event_information, title or requestor.ae_title, event.assoc.remote["address"])
    except Exception as error:  # bytes of a stranger: whatever is wrong with them is answered
        log.warning("A report from %s could not be read: %s", title or requestor.ae_title, type(error).__name__)
        return INVALID_ARGUMENT, None
    try:
        keep(report)
    except Exception:  # a door: the archive may say it again
        log.exception("The report on %s could not be kept", report.TransactionUID)
        return PROCESSING_FAILURE, None
    return SUCCESS, None


def _report(ds: Dataset, title: str, address: str) -> Report:
    return Report(
        TransactionUID=str(ds.TransactionUID),
        calling_title=title.strip(),
        address=address,
        committed=tuple(
            Reference(str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
            for one in ds.get("ReferencedSOPSequence") or []
        ),
        failed=tuple(
            Failure(
                str(one.ReferencedSOPClassUID),
                str(one.ReferencedSOPInstanceUID),
                int(one.get("FailureReason") or PROCESSING_FAILURE),
            )
            for one in ds.get("FailedSOPSequence") or []
        ),
    )
