"""Rebuild: the rows of submissions, studies, series and instances, made again from the vault and its journal alone.

What people decided is not in the vault: rebuilt studies are `receiving` again and settle as any other. May be run
again, and beside everything else: what has a row already is passed over.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from policies import versions
from policies.models import Source
from reconciliation import filing, intake, inventory, recognition, stores
from reconciliation.dicom.arrival import Origin
from reconciliation.dicom.journal import Entry, Story
from reconciliation.dicom.spool import Arrival
from reconciliation.dicom.vault import DIGEST, PREFIXES
from reconciliation.models import Instance, Submission

UNTOLD = "Found in the vault without a word of where it came from."


@dataclass
class Rebuilt:
    """What was done: outcomes as of intake, and the digests that the journal names and the vault does not have."""

    submissions: int = 0
    outcomes: Counter = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


def rebuild(*, told: Callable[[str], None] = lambda sentence: None) -> Rebuilt:
    """Everything that the vault keeps has its row in the end; `told` hears of each submission as it is done."""
    done = Rebuilt()
    spooled = set(stores.spool().keys())
    for key in stores.journal().keys():
        story = stores.journal().read(key)
        if story is None:  # cut by a power failure in its first line: nothing was kept under it
            continue
        _submission(key, story, done, is_over=key not in spooled)
        told(f"{key}: {sum(len(entries) for _, entries in story.batches)} objects from {story.source['name']}")
    if untold := list(_untold()):
        key = _tell(untold)
        _submission(key, stores.journal().read(key), done, is_over=True)
        told(f"{key}: {len(untold)} objects that no journal names")
    return done


def _submission(key: str, story: Story, done: Rebuilt, *, is_over: bool) -> None:
    """The rows of one submission. While it is in the spool, intake is at it and closes it."""
    submission = intake.register(key, story.origin, _source(story.source))
    for at, entries in story.batches:
        for start in range(0, len(entries), intake.BATCH):
            _batch(submission, entries[start : start + intake.BATCH], at, done)
    if is_over:
        intake.mark_closed(submission, at=parse_datetime(story.closed) if story.closed else timezone.now())
    done.submissions += 1


def _batch(submission: Submission, entries: Sequence[Entry], at: str, done: Rebuilt) -> None:
    held = set(Instance.objects.filter(digest__in=[entry.digest for entry in entries]).values_list("digest", flat=True))
    listed = set(submission.unreadable.values_list("number", flat=True))
    missing = [entry for entry in entries if entry.digest not in held and entry.number not in listed]
    with stores.vault().adding():
        reads = filing.worth_keeping(recognition.recognised(intake.read(list(_kept(missing, done)))))
        outcomes = intake.write(submission, reads, kept=reads, now=parse_datetime(at))
    done.outcomes.update(outcome.outcome for outcome in outcomes)


def _kept(entries: Sequence[Entry], done: Rebuilt) -> Iterator[Arrival]:
    for entry in entries:
        path = stores.vault().path(entry.digest)
        if not path.exists():
            done.lost.append(entry.digest)
        elif path.stat().st_nlink == 1:  # else the spool has it too, and intake will come to it
            yield Arrival(entry.number, path, entry.name)


def _source(said: dict[str, str]) -> Source:
    """The source of that key, or of that name; else one that is let in again only when a manager has looked at it."""
    known = Source.objects.filter(pk=said["key"]).first() or Source.objects.filter(name=said["name"]).first()
    if known:
        return known
    title = said["ae_title"] or None
    if title and Source.objects.filter(ae_title=title).exists():
        title = None
    facts = {"name": said["name"], "issuer": said["issuer"], "ae_title": title}
    made = Source.objects.create(pk=said["key"], active=False, **facts)
    versions.keep(made, by=None, why="Rebuilt from the vault.")
    return made


def _untold() -> Iterator[str]:
    """Digests that neither a row nor the journal names."""
    journal = stores.journal()
    stories = [story for key in journal.keys() if (story := journal.read(key))]
    told = {digest for story in stories for digest in (*story.digests(), *story.gone)}  # the deleted stay deleted
    for prefix in PREFIXES:
        kept = [one.digest for one in stores.vault().kept(prefix) if one.links == 1 and DIGEST.fullmatch(one.digest)]
        yield from sorted(set(kept) - told - {digest for digest, _ in inventory.rows(prefix)})


def _tell(digests: list[str]) -> str:
    """Write a story for them: that nothing is known."""
    key, journal = str(uuid.uuid4()), stores.journal()
    unknown = intake.source_of("")
    journal.begin(key, Origin(door="", note=UNTOLD), intake.said_of(unknown))
    journal.add(key, timezone.now().isoformat(), [Entry(n, digest, "") for n, digest in enumerate(digests, start=1)])
    journal.close(key, timezone.now().isoformat())
    return key
