"""Intake: the one way from the spool to the queue. Reads headers, finds duplicates and conflicts, keeps the bytes.

The order of steps makes it safe to be killed anywhere: an arrival is linked into the vault and written into its
journal, its row is committed, and only then does it leave the spool. Running it again ends in the same state.
"""

import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from policies import audit, versions
from policies.models import Source
from reconciliation import asking, filing, quality, recognition, stores
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.journal import Entry
from reconciliation.dicom.reader import Reading
from reconciliation.dicom.spool import Arrival, Spool
from reconciliation.filing import Outcome, Read
from reconciliation.models import Study, Submission
from reconciliation.workflow import move

log = logging.getLogger(__name__)
BATCH = 100  # arrivals in one transaction
RIPE = 0.2  # seconds that an arrival of an open door waits for others to share a transaction with
UIDS = ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "TransferSyntaxUID")
TRIES = 5  # at a batch, when another intake wrote the same study at the same moment
LONGEST_WAIT = 5.0  # seconds until a submission that could not be indexed is tried again

DOES_NOT_FIT = "The header of this object holds values that cannot be filed. Ask the sender for a corrected copy."


class Delays:
    """When a submission that could not be indexed is due again: sooner at first, then every LONGEST_WAIT seconds."""

    def __init__(self):
        self.waiting: dict[str, tuple[float, float]] = {}  # key: (due, last delay) in seconds

    def is_due(self, key: str) -> bool:
        return self.waiting.get(key, (0, 0))[0] <= time.monotonic()

    def failed(self, key: str) -> None:
        delay = min(2 * self.waiting.get(key, (0, 0.25))[1], LONGEST_WAIT)
        self.waiting[key] = (time.monotonic() + delay, delay)

    def keep(self, keys: list[str]) -> None:
        self.waiting = {key: self.waiting[key] for key in keys if key in self.waiting}


def index_all(delays: Delays | None = None) -> int:
    """Index whatever has come; the number of arrivals. One bad submission never stops the others."""
    done, keys = 0, stores.spool().keys()
    delays = delays or Delays()
    delays.keep(keys)
    for key in filter(delays.is_due, keys):
        try:
            done += len(index(key))
        except Exception:
            log.exception("Submission %s could not be indexed; it stays in the spool", key)
            delays.failed(key)
    return done


def index(key: str) -> list[Outcome]:
    """Index what is whole of one submission, unless another intake is at it."""
    spool = stores.spool()
    with spool.claim(key) as mine:
        return index_claimed(spool, key) if mine else []


def index_claimed(spool: Spool, key: str) -> list[Outcome]:
    """The same for a caller that holds the claim; drops the spool folder once the door is done and all is indexed."""
    over = not spool.is_open(key)  # asked first: what comes after this look is for the next one
    arrivals = spool.whole(key)
    if not over and not _is_ripe(arrivals):
        return []
    submission = begin(key, spool.origin(key))
    outcomes = []
    for start in range(0, len(arrivals), BATCH):
        outcomes += _index_batch(submission, arrivals[start : start + BATCH])
    if over:
        spool.sweep_parts(key)
        close(submission)
        spool.drop(key)
    return outcomes


def _is_ripe(arrivals: list[Arrival]) -> bool:
    """While the door is open: enough for a transaction of its own, or the first has waited long enough."""
    return len(arrivals) >= BATCH or (bool(arrivals) and time.time() - arrivals[0].path.stat().st_mtime >= RIPE)


def begin(key: str, origin: Origin) -> Submission:
    """The row of a submission, once the journal says where it came from."""
    if known := Submission.objects.select_related("source").filter(pk=key).first():
        return known
    source = source_of(origin.source)
    stores.journal().begin(key, origin, said_of(source))
    return register(key, origin, source)


def said_of(source: Source) -> dict[str, str]:
    """A source in the words of the journal."""
    return {"key": str(source.pk), "name": source.name, "issuer": source.issuer, "ae_title": source.ae_title or ""}


def register(key: str, origin: Origin, source: Source) -> Submission:
    """The row of a submission, made once."""
    facts = {
        "door": origin.door,
        "source": source,
        "calling_title": origin.calling_title,
        "address": origin.address,
        "user": origin.user,
        "note": origin.note,
        "label": origin.label,
        "received_at": parse_datetime(origin.at),
    }
    return Submission.objects.get_or_create(pk=key, defaults=facts)[0]


def source_of(key: str) -> Source:
    """The source that the door named; bytes of one that is no longer known are kept under a name that says so."""
    known = Source.objects.filter(pk=key).first() if key else None
    unknown = {"issuer": "UNKNOWN", "active": False}
    if known:
        return known
    found, made = Source.objects.get_or_create(name="Unknown source", defaults=unknown)
    if made:
        versions.keep(found, by=None, why="Bytes came of a source that is not known.")
    return found


def close(submission: Submission) -> None:
    """Nothing more will come: said once in the journal, in the row and in the ledger."""
    if submission.closed_at:
        return
    now = timezone.now()
    stores.journal().close(str(submission.pk), now.isoformat())
    mark_closed(submission, at=now)


def mark_closed(submission: Submission, *, at: datetime) -> None:
    with transaction.atomic():
        if Submission.objects.filter(pk=submission.pk, closed_at=None).update(closed_at=at):
            counts = {"objects": submission.instances.count(), "unreadable": submission.unreadable.count()}
            audit.record(audit.PORTAL, "end of submission", submission, detail=counts)


def _index_batch(submission: Submission, arrivals: list[Arrival]) -> list[Outcome]:
    reads = recognition.recognised(read(arrivals))
    try:
        outcomes = _keep_and_write(submission, reads, filing.worth_keeping(reads))
    except filing.NotKept:  # what it was a duplicate of has been rejected in this very moment
        outcomes = _keep_and_write(submission, reads, reads)
    for arrival in arrivals:
        arrival.path.unlink()
    return outcomes


def read(arrivals: list[Arrival]) -> list[Read]:
    """Headers and digests, by the guarded child."""
    readings = stores.reader().read([arrival.path for arrival in arrivals])
    fitting = [found._replace(header=None, reason=DOES_NOT_FIT) if _is_unfit(found) else found for found in readings]
    return [Read(one, found, one.path.stat().st_size) for one, found in zip(arrivals, fitting, strict=True)]


def _is_unfit(found: Reading) -> bool:
    """A UID with a NUL inside cannot be looked up, and PostgreSQL does not take the question."""
    return found.header is not None and any("\0" in getattr(found.header, name) for name in UIDS)


def _keep_and_write(submission: Submission, reads: list[Read], worth: list[Read]) -> list[Outcome]:
    now = timezone.now()
    with stores.vault().adding():
        stores.vault().link_all([(one.arrival.path, one.reading.digest) for one in worth])
        entries = [Entry(one.arrival.number, one.reading.digest, one.arrival.name) for one in worth]
        stores.journal().add(str(submission.pk), now.isoformat(), entries)
        return write(submission, reads, kept=worth, now=now)


def write(submission: Submission, reads: list[Read], *, kept: list[Read], now: datetime) -> list[Outcome]:
    """All rows of one batch in one transaction; again when another intake was faster with the same study."""
    for attempt in range(1, TRIES + 1):
        try:
            with transaction.atomic():
                return filing.file(submission, reads, kept=kept, now=now)
        except IntegrityError:
            if attempt == TRIES:
                raise
            log.info("Submission %s met another intake; trying the batch again", submission.pk)
        except (DataError, ValueError):  # too long for a column, or no text at all
            return _write_singly(submission, reads, kept=kept, now=now)


def _write_singly(submission: Submission, reads: list[Read], *, kept: list[Read], now: datetime) -> list[Outcome]:
    """One object that the database cannot hold must not keep the others out: it is listed as unreadable."""
    if len(reads) > 1:
        return [outcome for one in reads for outcome in write(submission, [one], kept=kept, now=now)]
    log.exception("Arrival %s of submission %s does not fit the database", reads[0].arrival.number, submission.pk)
    unfit = replace(reads[0], reading=reads[0].reading._replace(header=None, reason=DOES_NOT_FIT))
    with transaction.atomic():
        return filing.file(submission, [unfit], kept=kept, now=now)


def quiet() -> list[Study]:
    """Studies whose doors are done and that have been quiet for SETTLE_SECONDS."""
    still_open = Submission.objects.filter(closed_at=None, instances__series__study=OuterRef("pk"))
    before = timezone.now() - timedelta(seconds=settings.SETTLE_SECONDS)
    receiving = Study.objects.filter(state=Study.State.RECEIVING, last_arrival_at__lte=before)
    return list(receiving.exclude(Exists(still_open)).select_related("source")[:100])


def settle(study: Study, *, by=audit.PORTAL) -> None:
    """The study is held from now on: what the quality policy finds is on it, and proposals follow with the sweep."""
    decision = quality.decide(study)  # may read objects
    with transaction.atomic():
        quality.inspect(study, decision)
        move(study, "settle", by=by, detail={"instances": study.number_of_instances})
        asking.begin(study)
