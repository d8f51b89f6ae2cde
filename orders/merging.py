"""Merges, links and changed identifiers: what the victim had moves to the survivor, and back when the merge is undone.

Merges are kept as events and replayed by the time at which they happened (hl7/lineage), so that the order in which they
are told makes no difference. Whatever moves keeps in `own` whose it was.
"""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, Q
from django.utils import timezone

from orders.hl7 import lineage, registers
from orders.hl7.persons import Identity, Person, key_of
from orders.hl7.reading import MISTYPED, Wrong
from orders.models import Claim, CrossReference, Identifier, Merge, Order, Patient
from orders.patients import ANCHOR, WORDS, Known, apply, give, record_of, root, tell
from orders.telling import Telling
from policies import audit, authority
from policies.models import Power
from policies.problems import Conflict, Denied

LINK = CrossReference.Origin.LINK


def merge(person: Person, prior: Person, telling: Telling, known: Known, *, number: int = 0) -> None:
    """ADT^A40: `prior` is found to be `person`."""
    if person.anchor == prior.anchor:
        raise Wrong(MISTYPED, f"{prior.anchor} cannot be merged into itself.", "MRG", 1, 1)
    survivor = tell(person, telling, known, number=number)
    victim = tell(prior, telling, known, number=number, rank=registers.COPIED)
    if survivor == victim:
        telling.changed.append(f"{prior.anchor} and {person.anchor} are one record already.")
        return
    known_since = Merge.objects.filter(victim=victim, survivor=survivor, at=telling.at).first()
    if known_since is None:
        Merge.objects.create(victim=victim, survivor=survivor, at=telling.at, by=telling.label)
    elif telling.label < known_since.by:
        Merge.objects.filter(pk=known_since.pk).update(by=telling.label)
    settle([victim.pk, survivor.pk])
    if known_since is None:
        telling.tell("merge", victim, f"Merged {prior.anchor} into {person.anchor}.", {"survivor": str(survivor.pk)})


def part(one: Person, other: Person, telling: Telling, known: Known) -> None:
    """ADT^A37: they are two. Links end, and merges that happened before are undone: what moved goes back."""
    first, second = (tell(person, telling, known, number=n) for n, person in enumerate((one, other)))
    if first == second:
        raise Wrong(MISTYPED, f"{one.anchor} and {other.anchor} are one record here.", "PID", 1, 3)
    for record, person in ((first, other), (second, one)):
        said = {person.anchor.key: [telling.stamp()]}
        record.told[registers.APART] = registers.union(record.told.get(registers.APART, {}), said)
        Patient.objects.filter(pk=record.pk).update(told=record.told)
        _cross_reference(record, person.anchor, telling, ended=True)
    undone = settle([first.pk, second.pk])
    verb, what = ("unmerge", "Undid the merge of") if undone else ("part", "Parted")
    telling.tell(verb, first, f"{what} {one.anchor} and {other.anchor}.", {"other": str(second.pk)})


def link(one: Person, other: Person, telling: Telling, known: Known) -> None:
    """ADT^A24: they are one person in two records; nothing moves."""
    first, second = (tell(person, telling, known, number=n) for n, person in enumerate((one, other)))
    if first == second:
        telling.changed.append(f"{one.anchor} and {other.anchor} are one record already.")
        return
    made = [
        _cross_reference(record, person.anchor, telling, ended=False)
        for record, person in ((first, other), (second, one))
    ]
    if any(made):
        telling.tell("link", first, f"Linked {one.anchor} with {other.anchor}.", {"other": str(second.pk)})


def _cross_reference(record: Patient, other: Identity, telling: Telling, *, ended: bool) -> bool:
    """One row, which knows when they were linked last and when they were parted last. True if it changed."""
    said = lineage.Link(telling.at, telling.at if ended else None)
    row = CrossReference.objects.filter(_of([record.pk]), value=other.value, issuer=other.issuer, origin=LINK).first()
    if row:
        return _link_again(row, said, telling.label)
    standing = root(record)
    CrossReference.objects.create(
        patient=standing,
        own=None if standing == record else record,
        value=other.value,
        issuer=other.issuer,
        origin=LINK,
        by=telling.label,
        at=said.at,
        ended_at=said.ended,
    )
    return True


def _link_again(row: CrossReference, said: lineage.Link, by: str) -> bool:
    before = lineage.Link(row.at, row.ended_at)
    joined = lineage.join(before, said)
    row.at, row.ended_at = joined
    row.by = by if joined.at == said.at and joined.at != before.at else row.by
    row.save(update_fields=["at", "ended_at", "by"])
    return joined != before


def undo(merge: Merge, *, by, reason: str) -> None:
    """A person undoes a merge: everything that the victim had goes back to it."""
    if authority.why_not(by, Power.OVERRIDE):
        raise Denied("Your role may not undo a merge.")
    if not reason.strip():
        raise Conflict("Say why this merge is undone.")
    with transaction.atomic():
        now = timezone.now()
        if not Merge.objects.filter(pk=merge.pk, undone_at=None).update(undone_at=now, undone_by=str(by)[:150]):
            raise Conflict("This merge is undone already.")
        settle([merge.victim_id, merge.survivor_id])
        audit.record(by, "unmerge", merge.victim, reason=reason, detail={"survivor": str(merge.survivor_id)})


# --- changed identifiers ---------------------------------------------------------------------------------------------


def rename(person: Person, prior: Person, telling: Telling, known: Known) -> None:
    """ADT^A47: one record, which had the identifier of `prior` and now has that of `person`."""
    held = known.get(prior.anchor.key)
    had = record_of(held) if held and held.since in ("", ANCHOR) else None
    if had and person.anchor.key not in known:
        give(person.anchor, had, telling, known, since=ANCHOR)
    record = tell(person, telling, known)
    if had and had != record:
        record = _join(record, had)
        known |= {key: row for key, row in _identifiers_of(record).items() if key in known}
    for one in (prior.anchor, *prior.others):
        telling.find_by([one.value])
        give(one, record, telling, known, since=ANCHOR if one == prior.anchor else "")
    _make_primary(record, person.anchor, telling)
    if had is None or prior.anchor != person.anchor:
        telling.tell("rename", record, f"{prior.anchor} is {person.anchor} now.", {"now": str(person.anchor)})


def _make_primary(record: Patient, anchor: Identity, telling: Telling) -> None:
    registers.tell(record.told, {"primary": anchor.key}, telling.stamp())
    Patient.objects.filter(pk=record.pk).update(told=record.told, changed_at=timezone.now())
    for key, row in _identifiers_of(record).items():
        if row.primary != (key == record.told["primary"][1]):
            Identifier.objects.filter(pk=row.pk).update(primary=not row.primary)


def _identifiers_of(record: Patient) -> dict[str, Identifier]:
    rows = Identifier.objects.select_related("patient", "own").filter(_of([record.pk]))
    return {key_of(row.value, row.issuer): row for row in rows}


def _of(records: Iterable) -> Q:
    """Rows that are these records', wherever merges have put them."""
    return Q(own__in=records) | Q(own=None, patient__in=records)


def _join(kept: Patient, gone: Patient) -> Patient:
    """Two rows turn out to be one record. The second one goes, unless a study still points to it."""
    _join_links(kept, gone)
    for model in (Identifier, Order, CrossReference):
        model.objects.filter(own=gone).update(own=kept)
        model.objects.filter(patient=gone).update(patient=kept)
    Merge.objects.filter(victim__in=[kept, gone], survivor__in=[kept, gone]).delete()
    Merge.objects.filter(victim=gone).update(victim=kept)
    Merge.objects.filter(survivor=gone).update(survivor=kept)
    Patient.objects.filter(merged_into=gone).update(merged_into=kept)
    _join_claims(kept, gone)
    kept.told = registers.join(kept.told, gone.told)
    for column in WORDS:
        if not getattr(kept, column):
            setattr(kept, column, getattr(gone, column))
    apply(kept, {column: value[1] for column, value in kept.told.items() if column in WORDS})
    kept.save(update_fields=["told", *WORDS])
    settle([kept.pk])
    try:
        with transaction.atomic():
            gone.delete()
    except ProtectedError:
        Patient.objects.filter(pk=gone.pk).update(merged_into=kept, told={}, changed_at=timezone.now())
    return Patient.objects.get(pk=kept.pk)


def _join_links(kept: Patient, gone: Patient) -> None:
    """What both rows knew of one other identifier becomes one; the rest is moved with everything else."""
    for row in CrossReference.objects.filter(_of([gone.pk])):
        same = CrossReference.objects.filter(value=row.value, issuer=row.issuer, origin=row.origin)
        if twin := same.filter(Q(own=kept) | Q(patient=kept)).first():
            row.delete()
            _link_again(twin, lineage.Link(row.at, row.ended_at), row.by)


def _join_claims(kept: Patient, gone: Patient) -> None:
    own = _identifiers_of(kept)
    known = {key_of(one.value, one.issuer) for one in kept.claims.all()} | own.keys()
    for claim in gone.claims.all():
        if key_of(claim.value, claim.issuer) not in known:
            Claim.objects.filter(pk=claim.pk).update(patient=kept)
    for claim in kept.claims.all():
        if key_of(claim.value, claim.issuer) in own:
            claim.delete()


# --- where everything belongs ----------------------------------------------------------------------------------------


def settle(records: Iterable) -> bool:
    """Put everything of these records, and of all that are merged with them, where it belongs. True if a merge was
    undone by that."""
    events, known = _events(records)
    patients = Patient.objects.select_for_update().order_by("pk").in_bulk(known)
    keys = _keys(known)
    undone = _end(events, patients, keys)
    takeovers = _takeovers(events)
    into = lineage.pointers(takeovers)
    touched = set()
    for pk, patient in patients.items():
        if patient.merged_into_id != into.get(pk):
            Patient.objects.filter(pk=pk).update(merged_into=into.get(pk))
            touched |= {pk, into.get(pk), patient.merged_into_id}
    touched |= _place(Identifier, known, into) | _place(CrossReference, known, into)
    touched |= _place_orders(known, into, takeovers)
    Patient.objects.filter(pk__in=touched - {None}).update(changed_at=timezone.now())
    return undone


def _events(records: Iterable) -> tuple[list[Merge], set]:
    """All merges of these records and of those merged with them; and all these records."""
    known, new, events = set(), set(records), {}
    while new:
        found = Merge.objects.filter(Q(victim__in=new) | Q(survivor__in=new))
        events |= {one.pk: one for one in found}
        known |= new
        new = {pk for one in events.values() for pk in (one.victim_id, one.survivor_id)} - known
    return list(events.values()), known


def _takeovers(events: list[Merge]) -> list[lineage.Takeover]:
    return [lineage.Takeover(one.at, (one.by, one.pk), one.victim_id, one.survivor_id, one.undone_at) for one in events]


def _keys(records: Iterable) -> dict:
    """The keys of the identifiers of each record."""
    keys: dict = {}
    for pk, own, value, issuer in Identifier.objects.filter(_of(records)).values_list(
        "patient_id", "own_id", "value", "issuer"
    ):
        keys.setdefault(own or pk, set()).add(key_of(value, issuer))
    return keys


def _end(events: list[Merge], patients: dict, keys: dict) -> bool:
    """Merges end with the first word after them that the two are apart."""
    undone = False
    for event in events:
        said = [
            stamp
            for one, other in ((event.victim_id, event.survivor_id), (event.survivor_id, event.victim_id))
            for key, stamps in patients[one].told.get(registers.APART, {}).items()
            if key in keys.get(other, ())
            for stamp in stamps
        ]
        ends = sorted((registers.moment(stamp), stamp) for stamp in said if registers.moment(stamp) > event.at)
        if ends and (event.undone_at is None or ends[0][0] < event.undone_at):
            event.undone_at, event.undone_by = ends[0][0], f"ADT^A37 {ends[0][1].split('|')[3]}"[:150]
            event.save(update_fields=["undone_at", "undone_by"])
            undone = True
    return undone


def _place(model, records: set, into: dict) -> set:
    """Move rows to the record that stands for their own. The records that gave or got any."""
    touched = set()
    for row in model.objects.filter(_of(records)).order_by("pk"):
        own = row.own_id or row.patient_id
        standing = lineage.root(into, own)
        if row.patient_id != standing or row.own_id != (own if own != standing else None):
            touched |= {row.patient_id, standing}
            _move(model, row.pk, own, standing)
    return touched


def _move(model, pk, own, standing) -> None:
    try:
        with transaction.atomic():
            model.objects.filter(pk=pk).update(patient=standing, own=own if own != standing else None)
    except IntegrityError:  # the survivor has the same cross-reference: the victim keeps its own
        model.objects.filter(pk=pk).update(patient=own, own=None)


def _place_orders(records: set, into: dict, takeovers: list[lineage.Takeover]) -> set:
    touched = set()
    for order in Order.objects.filter(_of(records)).select_for_update().order_by("pk"):
        before = order.patient_id
        if whose(order, into, takeovers):
            touched |= {before, order.patient_id}
            order.save(update_fields=["patient", "own", "changed_at"])
    return touched


def whose(order: Order, into: dict, takeovers: list[lineage.Takeover]) -> bool:
    """Set whose the order is by the patients that messages named; True if that is another one than before."""
    own = order.own_id or order.patient_id
    named = order.told.get(registers.NAMED, [])
    if len({key for _, key in named}) > 1:
        records = _named(key for _, key in named)
        said = [(registers.moment(stamp), records[key]) for stamp, key in named if key in records]
        own = lineage.owner(said, takeovers) or own
    standing = lineage.root(into, own)
    before = (order.patient_id, order.own_id)
    order.patient_id, order.own_id = standing, own if own != standing else None
    return before != (order.patient_id, order.own_id)


def _named(keys: Iterable[str]) -> dict:
    """The records that these keys name."""
    split = [key.split("^^^", 1) for key in set(keys)]
    if not split:
        return {}
    either = Q(*(Q(value=value, issuer=issuer) for value, issuer in split), _connector=Q.OR)
    rows = Identifier.objects.filter(either).values_list("value", "issuer", "own_id", "patient_id")
    return {key_of(value, issuer): own or patient for value, issuer, own, patient in rows}


def whose_now(order: Order) -> bool:
    """The same for one order, by the merges as they are."""
    named = _named(key for _, key in order.told.get(registers.NAMED, []))
    takeovers = _takeovers(_events({order.own_id or order.patient_id, *named.values()})[0])
    return whose(order, lineage.pointers(takeovers), takeovers)
