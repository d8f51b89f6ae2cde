"""Intake: the one way from the spool to the queue. Reads headers, finds duplicates and conflicts, keeps the bytes.

The order of steps makes it safe to be killed anywhere: an arrival is linked into the vault, its row is committed, and
only then does it leave the spool. Running it again ends in the same state.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from policies import audit
from policies.models import Source
from reconciliation import parts, quality, stores
from reconciliation.dicom import header
from reconciliation.dicom.header import Header
from reconciliation.dicom.spool import Arrival, Spool
from reconciliation.dicom.vault import digests
from reconciliation.models import Finding, Instance, Series, Study, Submission, Unreadable
from reconciliation.workflow import move

log = logging.getLogger(__name__)
BATCH = 100  # arrivals in one transaction
SERIES_FACTS = {
    "modality": "Modality",
    "series_number": "SeriesNumber",
    "series_description": "SeriesDescription",
    "body_part_examined": "BodyPartExamined",
}
TRIES = 5  # at a batch, when another intake wrote the same study at the same moment


@dataclass(frozen=True)
class Outcome:
    """What became of one arrival, in the words of `importmedia`."""

    number: int
    path: str
    outcome: str  # held | duplicate | conflict | rejected
    reason: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True)
class _Read:
    """An arrival as far as it can be known without the database."""

    arrival: Arrival
    digest: str
    content_digest: str
    header: Header | None
    reason: str = ""


@dataclass
class _Tally:
    """What one batch adds to a study."""

    study: Study
    instances: list[Instance] = field(default_factory=list)
    new_series: int = 0
    duplicates: int = 0


def index_all() -> int:
    """Index whatever has come; the number of arrivals. One bad submission never stops the others."""
    done = 0
    for key in stores.spool().keys():
        try:
            done += len(index(key))
        except Exception:
            log.exception("Submission %s could not be indexed; it stays in the spool", key)
    return done


def index(key: str) -> list[Outcome]:
    """Index what is whole of one submission, unless another intake is at it."""
    spool = stores.spool()
    with spool.claim(key) as mine:
        return index_claimed(spool, key) if mine else []


def index_claimed(spool: Spool, key: str) -> list[Outcome]:
    """The same for a caller that holds the claim; drops the spool folder once the door is done and all is indexed."""
    over = not spool.is_open(key)  # asked first: what comes after this look is for the next one
    submission = _submission(spool, key)
    arrivals = spool.whole(key)
    outcomes = []
    for start in range(0, len(arrivals), BATCH):
        outcomes += _index_batch(submission, arrivals[start : start + BATCH])
    if over:
        spool.sweep_parts(key)
        _close(submission)
        spool.drop(key)
    return outcomes


def _submission(spool: Spool, key: str) -> Submission:
    origin = spool.origin(key)
    facts = {
        "door": origin.door,
        "source": _source(origin.source),
        "calling_title": origin.calling_title,
        "address": origin.address,
        "user": origin.user,
        "note": origin.note,
        "label": origin.label,
        "received_at": parse_datetime(origin.at),
    }
    return Submission.objects.select_related("source").get_or_create(pk=key, defaults=facts)[0]


def _source(key: str) -> Source:
    """The source that the door named; bytes of one that is no longer known are kept under a name that says so."""
    known = Source.objects.filter(pk=key).first() if key else None
    unknown = {"issuer": "UNKNOWN", "active": False}
    return known or Source.objects.get_or_create(name="Unknown source", defaults=unknown)[0]


def _close(submission: Submission) -> None:
    with transaction.atomic():
        if Submission.objects.filter(pk=submission.pk, closed_at=None).update(closed_at=timezone.now()):
            counts = {"objects": submission.instances.count(), "unreadable": submission.unreadable.count()}
            audit.record(audit.PORTAL, "end of submission", submission, detail=counts)


def _index_batch(submission: Submission, arrivals: list[Arrival]) -> list[Outcome]:
    reads = [_read(arrival) for arrival in arrivals]
    kept = set(
        Instance.objects.filter(content_digest__in=[read.content_digest for read in reads]).values_list(
            "content_digest", flat=True
        )
    )
    vault = stores.vault()
    for read in reads:
        if read.content_digest not in kept:
            vault.link(read.arrival.path, read.digest)
    outcomes = _write(submission, reads)
    for arrival in arrivals:
        arrival.path.unlink()
    return outcomes


def _read(arrival: Arrival) -> _Read:
    try:
        found = header.read(arrival.path)
    except header.Unreadable as reason:
        digest, _ = digests(arrival.path, 0)
        return _Read(arrival, digest, digest, None, str(reason))
    return _Read(arrival, *digests(arrival.path, found.dataset_offset), found)


def _write(submission: Submission, reads: list[_Read]) -> list[Outcome]:
    """All rows of one batch in one transaction; again when another intake was faster with the same study."""
    for attempt in range(1, TRIES + 1):
        try:
            with transaction.atomic():
                return _Batch(submission).write(reads)
        except IntegrityError:
            if attempt == TRIES:
                raise
            log.info("Submission %s met another intake; trying the batch again", submission.pk)
        except DataError:
            return _write_singly(submission, reads)


def _write_singly(submission: Submission, reads: list[_Read]) -> list[Outcome]:
    """One object that the database cannot hold must not keep the others out: it is listed as unreadable."""
    if len(reads) > 1:
        return [outcome for read in reads for outcome in _write(submission, [read])]
    log.exception("Arrival %s of submission %s does not fit the database", reads[0].arrival.number, submission.pk)
    with transaction.atomic():
        return _Batch(submission).write([replace(reads[0], header=None, reason=_DOES_NOT_FIT)])


class _Batch:
    """The rows of one batch: studies and series are looked up once, instances written together."""

    def __init__(self, submission: Submission):
        self.submission = submission
        self.now = timezone.now()
        self.parts: dict[str, list[Study]] = {}
        self.tallies: dict = {}
        self.series: dict = {}
        self.known = defaultdict(list)  # SOP Instance UID -> [(study pk, content digest)], rejected studies left out

    def write(self, reads: list[_Read]) -> list[Outcome]:
        uids = [read.header.SOPInstanceUID for read in reads if read.header]
        rows = Instance.objects.filter(sop_instance_uid__in=uids).exclude(series__study__state=Study.State.REJECTED)
        for uid, study, content in rows.values_list("sop_instance_uid", "series__study", "content_digest"):
            self.known[uid].append((study, content))
        outcomes = [self._object(read) if read.header else self._unreadable(read) for read in reads]
        for tally in self.tallies.values():
            self._tell(tally)
        return outcomes

    def _unreadable(self, read: _Read) -> Outcome:
        arrival = read.arrival
        Unreadable.objects.get_or_create(
            submission=self.submission,
            number=arrival.number,
            defaults={
                "name": arrival.name.replace("\0", "")[-255:],
                "reason": read.reason,
                "digest": read.digest,
                "size": arrival.path.stat().st_size,
            },
        )
        return Outcome(arrival.number, arrival.name, "rejected", read.reason)

    def _object(self, read: _Read) -> Outcome:
        found = read.header
        said = {"sop_instance_uid": found.SOPInstanceUID, "study_instance_uid": found.StudyInstanceUID}
        known = self.known[found.SOPInstanceUID]
        for study, content in known:
            if content == read.content_digest:
                self._tally(study).duplicates += 1
                return Outcome(read.arrival.number, read.arrival.name, "duplicate", _DUPLICATE, **said)
        study = self._study(found)
        self._tally(study.pk, study).instances.append(self._instance(read, study))
        known.append((study.pk, read.content_digest))
        if len(known) > 1:
            parts.find(study, "same_uid_other_content", Finding.Severity.BLOCK, _CONFLICT)
            return Outcome(read.arrival.number, read.arrival.name, "conflict", _CONFLICT, **said)
        return Outcome(read.arrival.number, read.arrival.name, "held", **said)

    def _study(self, found: Header) -> Study:
        uid = found.StudyInstanceUID
        if uid not in self.parts:
            self.parts[uid] = parts.parts_of(uid)
        study = parts.place(found, self.submission, self.parts[uid], now=self.now)
        parts.learn(study, found)
        return study

    def _tally(self, key, study: Study | None = None) -> _Tally:
        if key not in self.tallies:
            self.tallies[key] = _Tally(study or Study.objects.get(pk=key))
        return self.tallies[key]

    def _instance(self, read: _Read, study: Study) -> Instance:
        found = read.header
        key = (study.pk, found.SeriesInstanceUID)
        if key not in self.series:
            said = {column: parts.fit(Series(), column, getattr(found, word)) for column, word in SERIES_FACTS.items()}
            self.series[key], created = Series.objects.get_or_create(
                study=study, series_instance_uid=found.SeriesInstanceUID, defaults=said
            )
            self._tally(study.pk, study).new_series += created
        return Instance(
            series=self.series[key],
            submission=self.submission,
            sop_instance_uid=found.SOPInstanceUID,
            sop_class_uid=found.SOPClassUID,
            transfer_syntax_uid=found.TransferSyntaxUID,
            instance_number=parts.fit(Instance(), "instance_number", found.InstanceNumber),
            frames=found.NumberOfFrames or 1,
            rows=found.Rows,
            columns=found.Columns,
            size=found.size,
            digest=read.digest,
            content_digest=read.content_digest,
        )

    def _tell(self, tally: _Tally) -> None:
        """Write what the batch adds to one study. Its version goes up: nobody commits what they have not seen."""
        study, rows = Study.objects.filter(pk=tally.study.pk), tally.instances
        if not rows:
            study.update(duplicates=F("duplicates") + tally.duplicates)
            return
        Instance.objects.bulk_create(rows)
        for series in {row.series for row in rows}:
            count = sum(row.series == series for row in rows)
            Series.objects.filter(pk=series.pk).update(number_of_instances=F("number_of_instances") + count)
        study.update(
            **{column: getattr(tally.study, column) for column in parts.LEARNED},
            number_of_series=F("number_of_series") + tally.new_series,
            number_of_instances=F("number_of_instances") + len(rows),
            size=F("size") + sum(row.size for row in rows),
            duplicates=F("duplicates") + tally.duplicates,
            last_arrival_at=self.now,
            proposed_at=None,
            version=F("version") + 1,
        )
        if tally.study.state != Study.State.RECEIVING:
            parts.find(tally.study, "late_objects", Finding.Severity.WARN, _LATE)


_DOES_NOT_FIT = "The header of this object holds values that cannot be filed. Ask the sender for a corrected copy."
_DUPLICATE = "This object is already here with the same content; it was counted, not kept twice."
_CONFLICT = (
    "An object with this SOP Instance UID is already here with other content. Both are kept; "
    "the study cannot go on until the sender has said which one is right."
)
_LATE = "More objects arrived after this study had settled. Look at it again."


def quiet() -> list[Study]:
    """Studies whose doors are done and that have been quiet for SETTLE_SECONDS."""
    still_open = Submission.objects.filter(closed_at=None, instances__series__study=OuterRef("pk"))
    before = timezone.now() - timedelta(seconds=settings.SETTLE_SECONDS)
    receiving = Study.objects.filter(state=Study.State.RECEIVING, last_arrival_at__lte=before)
    return list(receiving.exclude(Exists(still_open)).select_related("source")[:100])


def settle(study: Study, *, by=audit.PORTAL) -> None:
    """The study is held from now on: what the quality policy finds is on it, and proposals follow with the sweep."""
    with transaction.atomic():
        quality.inspect(study)
        move(study, "settle", by=by, detail={"instances": study.number_of_instances})
