"""Orders that messages tell of: found by their numbers, made where nobody knew them, joined where two are one."""

from datetime import datetime

from django.db import transaction
from django.db.models import ProtectedError, Q
from django.utils import timezone

from orders import merging
from orders.hl7 import registers
from orders.hl7.persons import key_of
from orders.hl7.reading import DUPLICATE, UNKNOWN, Wrong
from orders.hl7.requests import Number, Request
from orders.models import Notice, Order, Patient
from orders.patients import root
from orders.telling import Telling, change
from orders.telling import by_hand as stamp_by_hand

NUMBERS = [
    ("placer", "placer_order_number", "placer_issuer"),
    ("filler", "filler_order_number", "filler_issuer"),
    ("accession", "accession_number", "accession_issuer"),
]
RECEIVED = Order.Origin.RECEIVED
WORDS = {"scheduled_at": "scheduled time", "study_instance_uid": "Study Instance UID"}
FALLBACKS = {  # an order that has an accession number alone is requested and scheduled under it
    "requested_procedure_id": "accession_number",
    "scheduled_procedure_step_id": "requested_procedure_id",
}


def tell(request: Request, record: Patient | None, key: str, telling: Telling, *, number: int = 0) -> Order:
    """The order of this request, with what is told of it. `record` is whom PID names, by the identifier `key`."""
    telling.find_by([request.accession.value, request.placer.value, request.filler.value])
    telling.notes += request.notes
    found = _find(request, record)
    if not found and record is None:
        raise Wrong(UNKNOWN, f"The order ({request}) is not known here, and PID does not say whose it is.", "PID", 1)
    stamp = telling.stamp(number)
    if not found:
        return _create(request, record, key, stamp, telling)
    order = _join(found, request, telling) if len(found) > 1 else found[0]
    _not_anothers(order, request, record)
    _say(order, request, record, key, stamp, telling)
    return order


def _find(request: Request, record: Patient | None) -> list[Order]:
    """By each of its numbers with its issuer. Where an order was not received, its issuers may never have been told:
    there the number is enough, of the same patient."""
    either = Q()
    for name, column, _ in NUMBERS:
        if number := getattr(request, name):
            either |= Q(**{column: number.value})
    rows = Order.objects.filter(either).select_for_update().order_by("created_at", "pk")
    return [row for row in rows if any(_is(row, request, record, *names) for names in NUMBERS)]


def _is(row: Order, request: Request, record: Patient | None, name: str, column: str, issuer: str) -> bool:
    number: Number = getattr(request, name)
    if not number or getattr(row, column) != number.value:
        return False
    known = getattr(row, issuer)
    if known == number.issuer:
        return True
    unsaid = row.origin != RECEIVED and "" in (known, number.issuer)
    return unsaid and (record is None or row.patient_id == root(record).pk)


def _not_anothers(order: Order, request: Request, record: Patient | None) -> None:
    """One accession number at two patients, and no other number says that it is the same order."""
    if record is None or order.patient_id == root(record).pk or not request.accession:
        return
    if order.own_id == record.pk or any(_is(order, request, record, *names) for names in NUMBERS[:2]):
        return
    if (request.placer and order.placer_order_number) or (request.filler and order.filler_order_number):
        sentence = f"The accession number {request.accession} is the order of another patient already."
        raise Wrong(DUPLICATE, sentence, "ORC", 1)


def _create(request: Request, record: Patient, key: str, stamp: str, telling: Telling) -> Order:
    told: dict = {registers.NAMED: [[stamp, key]]}
    registers.tell(told, request.told, stamp)
    standing = root(record)
    order = Order.objects.create(
        patient=standing,
        own=None if standing == record else record,
        origin=RECEIVED,
        told=told,
        created_by=str(telling.by)[:150],
        **_columns(request.told),
    )
    telling.tell("receive", order, f"New order: {request}.", {"patient": str(standing.pk)})
    return order


def _say(order: Order, request: Request, record: Patient | None, key: str, stamp: str, telling: Telling) -> None:
    said = dict(request.told)
    for name, column, issuer in NUMBERS:
        if (
            order.origin != RECEIVED
            and not getattr(request, name).issuer
            and getattr(order, column) == said.get(column)
        ):
            said.pop(issuer, None)  # an issuer that we know is not lost to a sender that leaves it out
    newer = registers.tell(order.told, said, stamp)
    moved = record is not None and _name(order, key, stamp)
    changes = _apply(order, newer)
    if order.awaits_number and newer.get("accession_number"):
        order.awaits_number = False
        changes["awaits_number"] = ["True", "False"]
    if moved:
        changes["patient"] = ["", str(order.patient_id)]
    if changes:
        order.save(update_fields=["told", "changed_at", "own", *changes])
        words = ", ".join(WORDS.get(column, column.replace("_", " ")) for column in changes)
        telling.tell("update", order, f"Order {request}: {words}.", {"changed": changes})
    else:
        Order.objects.filter(pk=order.pk).update(told=order.told)


def _name(order: Order, key: str, stamp: str) -> bool:
    """A message about it named this patient. True if the order is another patient's by that."""
    named = order.told.get(registers.NAMED) or []
    if not named and (one := (order.own or order.patient).identifier()):
        named = [[_long_ago(), key_of(one.value, one.issuer)]]
    order.told[registers.NAMED] = registers.runs([*named, [stamp, key]])
    if all(one == key for _, one in order.told[registers.NAMED]):
        return False
    before = order.patient_id
    return merging.whose_now(order) and before != order.patient_id


def by_hand(order: Order, columns: list[str]) -> None:
    """What a person corrected counts as said now; see telling.by_hand."""
    told = set(columns) - {"patient", "origin", "for_import", "body_part"}
    if "patient" in columns and (one := order.patient.identifier()):
        key = key_of(one.value, one.issuer)
        order.told[registers.NAMED] = [[registers.stamp(timezone.now(), ""), key]]
    stamp_by_hand(order, told)


def _long_ago() -> str:
    """An order that was entered or generated here is its patient's before any message names one."""
    return registers.stamp(datetime(1900, 1, 1, tzinfo=timezone.get_current_timezone()), "")


def _columns(told: dict[str, str]) -> dict:
    columns = dict(told)
    if "scheduled_at" in columns:
        columns["scheduled_at"] = datetime.fromisoformat(told["scheduled_at"]) if told["scheduled_at"] else None
    return columns


def _apply(order: Order, told: dict[str, str]) -> dict[str, list[str]]:
    """Set what differs; see telling.change. A number that follows from another one follows it."""
    columns = _columns(told)
    for column, source in FALLBACKS.items():
        if not order.told.get(column, ["", ""])[1] and getattr(order, column) in ("", getattr(order, source)):
            columns.setdefault(column, columns.get(source, getattr(order, source)))
    return change(order, columns)


def _join(found: list[Order], request: Request, telling: Telling) -> Order:
    """Rows that this message shows to be one order. The one stays that a study is mapped to, else the oldest."""
    kept, *others = sorted(found, key=lambda one: one.origin == RECEIVED)
    for other in others:
        kept, gone = _without(kept, other)
        kept.told = registers.join(kept.told, gone.told)
        values = {column: value[1] for column, value in kept.told.items() if column != registers.NAMED}
        _apply(kept, values)
        kept.save(update_fields=["told", "changed_at", *_columns(values), *FALLBACKS])
        merging.whose_now(kept)
        kept.save(update_fields=["patient", "own", "changed_at"])
        telling.tell("join", kept, f"Two orders are one: {request}.", {"gone": str(gone.pk)})
    return kept


def _without(kept: Order, other: Order) -> tuple[Order, Order]:
    for stays, goes in ((kept, other), (other, kept)):
        try:
            with transaction.atomic():
                Notice.objects.filter(order=goes).update(order=stays)
                pk = goes.pk
                goes.delete()
                goes.pk = pk
                return stays, goes
        except ProtectedError:
            continue
    raise Wrong(
        DUPLICATE, "Studies are mapped to two orders that this message says are one. Unmap one of them.", "ORC", 1
    )
