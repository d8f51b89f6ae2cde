"""Inventory: whether disk, digests, rows and ledger say the same. Differences are named; nothing is ever removed."""

from collections.abc import Iterator
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from policies import audit
from policies.models import LedgerLine
from reconciliation import deletion, evidence, stores
from reconciliation.dicom.vault import DIGEST, PREFIXES, Kept, digests
from reconciliation.models import (
    ConsentEvidence,
    Deletion,
    DeletionProof,
    Delivery,
    Instance,
    Series,
    Study,
    Submission,
    Unreadable,
)
from reconciliation.workflow import MOVES


class Difference(NamedTuple):
    """`kind`: one of KINDS. `key`: what to look for, a digest, a key or a path. `sentence`: for the operator."""

    kind: str
    key: str
    sentence: str


KINDS = {
    "lost": "a row whose file is not in the vault",
    "orphan": "a file of the vault that no row names",
    "size": "a file of another size than its row says",
    "digest": "a file whose bytes are not those of its name",
    "stranger": "a file or folder that the portal has not made",
    "journal": "a row that could not be rebuilt, or a line of the journal that leads nowhere",
    "form": "a scanned consent form that is lost or changed, or that no row names",
    "waiting": "a submission that intake has not finished",
    "part": "an object that a dead door left unfinished",
    "hidden": "a submission that a dead door never opened, or a dead intake never dropped",
    "count": "a study or series that counts other objects than it has",
    "ledger": "a broken chain, or a state that the ledger does not lead to",
    "proof": "a delivery that is done without the word of its destination, or the damaged proof of a deletion",
    "deleting": "a deletion that has begun and is not done",
}


def differences(*, rehash: bool = False) -> Iterator[Difference]:
    """Every difference there is. May run beside everything else: what is on its way is shown as waiting, not as lost.

    `rehash` reads all bytes of the vault again; those of scanned forms are few, and always read.
    """
    for prefix in PREFIXES:
        yield from _vault(prefix, rehash=rehash)
    yield from _forms()
    yield from _journal()
    yield from _spool()
    yield from _counts()
    yield from _ledger()
    yield from _deliveries()
    yield from _deletions()


# --- bytes -----------------------------------------------------------------------------------------------------------


def _vault(prefix: str, *, rehash: bool) -> Iterator[Difference]:
    """Files first, rows after: a file comes before its row, and intake is at it while the spool has it too."""
    files = {kept.digest: kept for kept in stores.vault().kept(prefix)}
    wanted = set(rows(prefix))
    going = set(_going().filter(digest__startswith=prefix).values_list("digest", flat=True))
    for digest, size in sorted(one for one in wanted if one[0] not in going):
        yield from _row(digest, size, files.get(digest))
    named = {digest for digest, _ in wanted}
    for digest, kept in files.items():
        if not DIGEST.fullmatch(digest) or not digest.startswith(prefix):
            yield Difference("stranger", f"{prefix}/{digest}", f"{prefix}/{digest} in the vault is no original.")
        elif digest not in named and kept.links == 1:
            yield Difference("orphan", digest, f"The vault keeps {digest}, and no row names it.")
        if rehash and DIGEST.fullmatch(digest):
            yield from _rehashed(digest)


def rows(prefix: str) -> Iterator[tuple[str, int]]:
    """Digest and size of all that rows say the vault keeps under these two first digits."""
    for model in (Instance, Unreadable):
        here = model.objects.filter(digest__gte=prefix, digest__lt=f"{prefix}g")  # "g" comes after every digit
        yield from here.values_list("digest", "size").iterator()


def _going() -> QuerySet[Instance]:
    """Objects whose deletion has begun: their bytes and their line in the journal go before their rows."""
    return Instance.objects.filter(series__study__state=Study.State.EXPIRED)


def _row(digest: str, size: int, kept: Kept | None) -> Iterator[Difference]:
    try:
        found = kept.size if kept else stores.vault().path(digest).stat().st_size  # it may have come meanwhile
    except FileNotFoundError:
        yield Difference("lost", digest, f"A row names {digest}, and the vault does not have it.")
        return
    if found != size:
        yield Difference("size", digest, f"{digest} has {found} bytes, and its row says {size}.")


def _rehashed(digest: str) -> Iterator[Difference]:
    found, _ = digests(stores.vault().path(digest), 0)
    if found != digest:
        yield Difference("digest", digest, f"{digest} was changed on disk: its bytes now have the digest {found}.")


def _forms() -> Iterator[Difference]:
    """Files first, rows after, as in the vault. A file that is being written has no digest for a name yet."""
    files = {path.name: path for path in evidence.files()}
    wanted = set(ConsentEvidence.objects.values_list("digest", flat=True))
    for digest in sorted(wanted):
        yield from _form(digest)
    for name, path in files.items():
        where = str(path.relative_to(evidence.folder()))
        if path != evidence.path(name) or not DIGEST.fullmatch(name):
            yield Difference("stranger", where, f"{where} in the store of consent forms is none.")
        elif name not in wanted:
            yield Difference("form", name, f"The store keeps the consent form {name}, and no row names it.")


def _form(digest: str) -> Iterator[Difference]:
    try:
        found, _ = digests(evidence.path(digest), 0)
    except OSError:
        yield Difference("form", digest, f"A row names the consent form {digest}, and the store does not have it.")
        return
    if found != digest:
        yield Difference("form", digest, f"The consent form {digest} was changed on disk: its digest is {found}.")


def _spool() -> Iterator[Difference]:
    spool = stores.spool()
    for folder in spool.hidden():
        yield Difference("hidden", folder.name, f"{folder.name} in the spool is no submission and nobody holds it.")
    for name in spool.strangers():
        yield Difference("stranger", name, f"{name} in the spool is no submission of ours.")
    for key in spool.keys():
        try:
            waiting, parts, is_open = len(spool.whole(key)), len(spool.parts(key)), spool.is_open(key)
        except FileNotFoundError:  # done meanwhile
            continue
        if waiting or not is_open:
            yield Difference("waiting", key, f"Submission {key} waits for intake with {waiting} objects.")
        if parts and not is_open:
            yield Difference("part", key, f"Submission {key} has {parts} objects that never came to their end.")


def _journal() -> Iterator[Difference]:
    """Rows that could not be made again from the vault, and lines about files that it no longer has."""
    journal, vault, spooled = stores.journal(), stores.vault(), set(stores.spool().keys())
    for key in journal.keys():
        story = journal.read(key)
        if key not in spooled and not Submission.objects.filter(pk=key).exists():
            yield Difference("journal", key, f"The journal tells of submission {key}, and no row does.")
        for digest in sorted(story.digests() if story else []):
            if not vault.has(digest):
                yield Difference("journal", digest, f"The journal of {key} names {digest}; the vault does not have it.")
    for submission in Submission.objects.order_by("received_at").iterator():
        story = journal.read(str(submission.pk))
        if story is None:
            yield Difference(
                "journal", str(submission.pk), f"No journal tells where submission {submission.pk} is from."
            )
            continue
        told = story.digests()
        for rows in (submission.instances.exclude(pk__in=_going().values("pk")), submission.unreadable):
            for digest in set(rows.values_list("digest", flat=True)) - told:
                yield Difference("journal", digest, f"The journal of {submission.pk} does not name {digest}.")


# --- rows ------------------------------------------------------------------------------------------------------------


def _each(rows: QuerySet, of: str, **totals) -> dict[str, Coalesce]:
    """Subqueries that count or add up the rows that belong to one other row."""
    grouped = rows.filter(**{of: OuterRef("pk")}).order_by().values(of)
    return {
        name: Coalesce(Subquery(grouped.annotate(**{name: total}).values(name), output_field=IntegerField()), 0)
        for name, total in totals.items()
    }


def _counts() -> Iterator[Difference]:
    instances = _each(Instance.objects, "series__study", objects=Count("pk"), bytes=Sum("size"))
    studies = Study.objects.annotate(
        **instances, several=_each(Series.objects, "study", several=Count("pk"))["several"]
    )
    same = Q(number_of_instances=F("objects"), number_of_series=F("several"), size=F("bytes"))
    for study in studies.exclude(same).exclude(state=Study.State.EXPIRED).order_by("received_at"):
        said = f"{study.number_of_instances} objects, {study.number_of_series} series, {study.size} bytes"
        has = f"{study.objects}, {study.several}, {study.bytes}"
        yield Difference("count", str(study.pk), f"Study {study.pk} says {said}, and has {has}.")
    series = Series.objects.annotate(**_each(Instance.objects, "series", objects=Count("pk")))
    for one in series.exclude(number_of_instances=F("objects")).order_by("pk"):
        said = f"says {one.number_of_instances} objects, and has {one.objects}"
        yield Difference("count", str(one.pk), f"Series {one.pk} of study {one.study_id} {said}.")


def _ledger() -> Iterator[Difference]:
    if broken := audit.verify():
        yield Difference("ledger", "", broken)
    for key in Study.objects.order_by("received_at").values_list("pk", flat=True).iterator():
        if _untold(key):
            with transaction.atomic():  # again: the state and its line landed together, between our two looks
                problem = _untold(key)
            if problem:
                yield Difference("ledger", str(key), f"Study {key} {problem}.")


def _untold(key) -> str:
    state = Study.objects.values_list("state", flat=True).get(pk=key)
    lines = LedgerLine.objects.filter(subject="study", subject_key=str(key)).order_by("id")
    return _told(state, list(lines.values_list("verb", "detail")))


def _told(state: str, lines: list[tuple[str, dict]]) -> str:
    """How the lines about a study fail to lead to its state, "" when each step has exactly one of them."""
    if [verb for verb, _ in lines].count("receive") != 1:
        return "has no line, or several, of its reception"
    here = Study.State.RECEIVING
    for verb, detail in lines:
        if verb in MOVES and "to" in detail:
            if detail["from"] != here:
                return f"took the step '{verb}' from '{detail['from']}' when it was '{here}'"
            here = detail["to"]
    return "" if here == state else f"is '{state}', and the ledger leads to '{here}'"


def _deliveries() -> Iterator[Difference]:
    accepted = Count("instances", filter=Q(instances__accepted=True))
    done = Delivery.objects.filter(state=Delivery.State.DELIVERED).select_related("study", "mapping")
    fewer = done.annotate(accepted=accepted).filter(accepted__lt=F("study__number_of_instances")).order_by("id")
    for one in (one for one in fewer if one.accepted < one.number_of_instances):
        said = f"{one.accepted} of {one.number_of_instances} objects were accepted"
        yield Difference("proof", str(one.pk), f"Delivery {one.pk} is done, and {said}.")


def _deletions() -> Iterator[Difference]:
    for one in Deletion.objects.filter(state=Deletion.State.DELETING).order_by("begun_at"):
        yield Difference("deleting", str(one.pk), f"The deletion of study {one.study_id} has begun and is not done.")
    for proof in DeletionProof.objects.order_by("made_at").iterator():
        if deletion.digest(proof.objects_deleted) != proof.digest:
            yield Difference("proof", str(proof.pk), f"The proof that study {proof.study_id} was deleted is damaged.")
