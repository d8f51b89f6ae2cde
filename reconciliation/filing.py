"""Filing: the rows of one batch of arrivals. Studies and series are looked up together, and each is written once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F

from policies import audit
from reconciliation import parts, quality, workflow
from reconciliation.dicom.header import Header
from reconciliation.dicom.reader import Reading
from reconciliation.dicom.spool import Arrival
from reconciliation.models import Finding, Instance, Series, Study, Submission, Unreadable

SERIES_FACTS = {
    "modality": "Modality",
    "series_number": "SeriesNumber",
    "series_description": "SeriesDescription",
    "body_part_examined": "BodyPartExamined",
}
DUPLICATE = "This object is already here with the same content; it was counted, not kept twice."
IN_ANOTHER_FORM = "This object is already here with the same content, written in another form; it was not kept twice."
CONFLICT = (
    "An object with this SOP Instance UID is already here with other content. Both are kept; ask the sender which is "
    "right. Whoever may override then says at the mapping which goes out."
)
LATE = "More objects arrived after this study had settled. Look at it again."
GONE = (Study.State.REJECTED, Study.State.EXPIRED)  # what is theirs does not count as being here
PROBLEMS = "At least one object is not written as the standard asks: {}"


class NotKept(Exception):
    """A row would name a file that is not in the vault: what was a duplicate when it was looked up is none any more."""


@dataclass(frozen=True)
class Outcome:
    """What became of one arrival, in the words of `importmedia`."""

    number: int
    path: str
    outcome: str  # held | duplicate | conflict | rejected
    reason: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""


Content = tuple[str, str]  # digest of a data set, and its transfer syntax: in another the same bytes mean other things


class Held(NamedTuple):
    """What is here under some SOP Instance UID: the key of its study, its content, and its name in the vault."""

    study: Any
    content: Content
    digest: str


@dataclass(frozen=True)
class Read:
    """An arrival as far as it can be known before it is written. `same_as`: the content that is here already and that
    this one holds too, in another form; `differs`: in what it is another than the one that is here."""

    arrival: Arrival
    reading: Reading
    size: int
    same_as: Content | None = None
    differs: str = ""

    @property
    def header(self) -> Header | None:
        return self.reading.header

    @property
    def content(self) -> Content:
        own = self.reading.content_digest, self.header.TransferSyntaxUID if self.header else ""
        return self.same_as or own


@dataclass
class _Tally:
    """What one batch adds to a study. `study` is None while there are only duplicates."""

    study: Study | None = None
    instances: list[Instance] = field(default_factory=list)
    new_series: int = 0
    duplicates: int = 0


def worth_keeping(reads: list[Read]) -> list[Read]:
    """All but the objects whose very content is here already, in a study that still counts or earlier in this batch."""
    seen = {one.content for found in known(reads).values() for one in found}
    worth = []
    for read in reads:
        if read.header is None or read.content not in seen:
            worth.append(read)
            seen.add(read.content)
    return worth


def file(submission: Submission, reads: list[Read], *, kept: Iterable[Read], now: datetime) -> list[Outcome]:
    """Write the rows of these arrivals; call it in a transaction. `kept` are those whose bytes the vault holds.

    Raises NotKept, or IntegrityError when another intake wrote the same study at the same moment.
    """
    return _Batch(submission, {read.reading.digest for read in kept}, now).write(reads)


def known(reads: list[Read]) -> dict[str, list[Held]]:
    """SOP Instance UID to what is here under it, the oldest first; rejected and expired studies are left out."""
    found = defaultdict(list)
    uids = [read.header.SOPInstanceUID for read in reads if read.header]
    rows = Instance.objects.filter(sop_instance_uid__in=uids).exclude(series__study__state__in=GONE)
    columns = ("sop_instance_uid", "series__study", "content_digest", "transfer_syntax_uid", "digest")
    for uid, study, content, syntax, digest in rows.order_by("submission__received_at").values_list(*columns):
        found[uid].append(Held(study, (content, syntax), digest))
    return found


class _Batch:
    def __init__(self, submission: Submission, kept: set[str], now: datetime):
        self.submission, self.kept, self.now = submission, kept, now
        self.tallies: dict = defaultdict(_Tally)  # by the key of the study

    def write(self, reads: list[Read]) -> list[Outcome]:
        headers = [read.header for read in reads if read.header]
        self.parts = parts.parts_of({found.StudyInstanceUID for found in headers})  # locked: none expires meanwhile
        self.known = known(reads)
        here = [study for several in self.parts.values() for study in several]
        self.series = {(one.study_id, one.series_instance_uid): one for one in Series.objects.filter(study__in=here)}
        outcomes = [self._object(read) if read.header else self._unreadable(read) for read in reads]
        self._write_series()
        Instance.objects.bulk_create([row for tally in self.tallies.values() for row in tally.instances])
        for key, tally in self.tallies.items():
            self._tell(key, tally)
        return outcomes

    def _unreadable(self, read: Read) -> Outcome:
        arrival, reading = read.arrival, read.reading
        if reading.digest not in self.kept:
            raise NotKept(reading.digest)
        facts = {"reason": reading.reason, "digest": reading.digest, "size": read.size}
        name = arrival.name.replace("\0", "")[-255:]
        Unreadable.objects.get_or_create(
            submission=self.submission, number=arrival.number, defaults={"name": name, **facts}
        )
        return Outcome(arrival.number, arrival.name, "rejected", reading.reason)

    def _object(self, read: Read) -> Outcome:
        found, content = read.header, read.content
        said = {"sop_instance_uid": found.SOPInstanceUID, "study_instance_uid": found.StudyInstanceUID}
        known = self.known[found.SOPInstanceUID]
        for one in known:
            if content == one.content:
                self.tallies[one.study].duplicates += 1
                sentence = IN_ANOTHER_FORM if read.same_as else DUPLICATE
                return Outcome(read.arrival.number, read.arrival.name, "duplicate", sentence, **said)
        if read.reading.digest not in self.kept:
            raise NotKept(read.reading.digest)
        study = self._study(found)
        tally = self.tallies[study.pk]
        tally.study = study
        tally.instances.append(self._instance(read, self._series(study, found), nth=len(known) + 1))
        known.append(Held(study.pk, content, read.reading.digest))
        if len(known) > 1:
            sentence = f"{CONFLICT} {read.differs}".strip()
            parts.find(study, parts.OTHER_CONTENT, Finding.Severity.BLOCK, sentence)
            return Outcome(read.arrival.number, read.arrival.name, "conflict", sentence, **said)
        return Outcome(read.arrival.number, read.arrival.name, "held", **said)

    def _study(self, found: Header) -> Study:
        study = parts.place(found, self.submission, self.parts[found.StudyInstanceUID], self.series, now=self.now)
        parts.learn(study, found)
        if found.problems:
            parts.find(study, "header_problems", Finding.Severity.WARN, PROBLEMS.format(" ".join(found.problems)))
        return study

    def _series(self, study: Study, found: Header) -> Series:
        key = (study.pk, found.SeriesInstanceUID)
        if key not in self.series:
            said = {column: parts.fit(Series(), column, getattr(found, word)) for column, word in SERIES_FACTS.items()}
            self.series[key] = Series(study=study, series_instance_uid=found.SeriesInstanceUID, **said)
            self.tallies[study.pk].new_series += 1
        return self.series[key]

    def _instance(self, read: Read, series: Series, *, nth: int) -> Instance:
        found = read.header
        return Instance(
            series=series,
            submission=self.submission,
            sop_instance_uid=found.SOPInstanceUID,
            sop_class_uid=found.SOPClassUID,
            transfer_syntax_uid=found.TransferSyntaxUID,
            instance_number=parts.fit(Instance(), "instance_number", found.InstanceNumber),
            frames=found.NumberOfFrames or 1,
            rows=found.Rows,
            columns=found.Columns,
            size=found.size,
            digest=read.reading.digest,
            content_digest=read.reading.content_digest,
            nth=nth,
        )

    def _write_series(self) -> None:
        """New series with what they hold, then the growth of those that were here."""
        counts = defaultdict(int)
        for tally in self.tallies.values():
            for row in tally.instances:
                counts[row.series.study_id, row.series.series_instance_uid] += 1
        new = [one for one in self.series.values() if one.pk is None]
        for series in new:
            series.number_of_instances = counts.pop((series.study_id, series.series_instance_uid))
        Series.objects.bulk_create(new)
        for key, count in counts.items():
            here = Series.objects.filter(pk=self.series[key].pk)
            here.update(number_of_instances=F("number_of_instances") + count)

    def _tell(self, key, tally: _Tally) -> None:
        """Write what the batch adds to one study. Its version goes up: nobody commits what they have not seen."""
        study, rows = Study.objects.filter(pk=key), tally.instances
        if not rows:
            study.update(duplicates=F("duplicates") + tally.duplicates)
            return
        study.update(
            **{column: getattr(tally.study, column) for column in parts.LEARNED},
            number_of_series=F("number_of_series") + tally.new_series,
            number_of_instances=F("number_of_instances") + len(rows),
            size=F("size") + sum(row.size for row in rows),
            duplicates=F("duplicates") + tally.duplicates,
            last_arrival_at=self.now,
            proposed_at=None,
            due_with="",
            version=F("version") + 1,
        )
        if tally.study.state != Study.State.RECEIVING:
            self._look_again(tally.study, len(rows))

    def _look_again(self, study: Study, count: int) -> None:
        """What was judged and decided was judged and decided on fewer objects: both are done anew."""
        parts.find(study, "late_objects", Finding.Severity.WARN, LATE)
        quality.inspect(study)
        audit.record(
            audit.PORTAL, "receive more", study, detail={"objects": count, "submission": str(self.submission.pk)}
        )
        if study.state in workflow.MOVES["reopen"].origins:
            workflow.move(study, "reopen", by=audit.PORTAL, reason=LATE, **workflow.undecide(study))
