"""The reconciliation order: made here when there is none, with an accession number that is never given twice."""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from pydicom.uid import generate_uid

from orders import outbound
from orders.models import AccessionSequence, Notice, Order, OrderSystem, Patient
from orders.telling import by_hand
from policies import audit, authority
from policies.models import Power, Procedure, User
from policies.problems import Conflict, Denied, Invalid

SH_LENGTH = 16  # PS3.5 table 6.2-1: Accession Number is SH, 16 characters
KINDS = {OrderSystem.Pattern.PLACER: Notice.Kind.NEW, OrderSystem.Pattern.FILLER: Notice.Kind.NUMBER}


@transaction.atomic
def generate(
    patient: Patient,
    *,
    procedure: Procedure,
    by: User,
    body_part: str = "",
    about: dict | None = None,
    reason: str = "",
    referring_physician: str = "",
) -> Order:
    """A reconciliation order for this patient, with a number of ours and its own Study Instance UID.

    The number is its accession number, unless the active order system gives that one: then it is the placer's, and
    the order waits. The order system is told once this transaction has been committed.
    """
    authority.require(by, Power.ORDER, **about or {})
    if not procedure.active:
        raise Invalid(f"The procedure {procedure} is no longer in use. Choose another.")
    if patient.identifier() is None:
        raise Invalid(f"{patient} has no identifier of ours. Register the patient first.")
    system, (number, issuer) = outbound.system(), next_accession_number()
    order = Order.objects.create(
        patient=patient,
        origin=Order.Origin.GENERATED,
        for_import=True,
        procedure_code=procedure.code,
        procedure_scheme=procedure.scheme,
        description=procedure.meaning,
        modality=procedure.modality,
        body_part=body_part[:16],
        study_instance_uid=generate_uid(prefix=None),
        reason=reason[:200],
        referring_physician=referring_physician[:194],
        created_by=str(by),
        **_numbered(system, number, issuer),
    )
    if system:
        outbound.tell(order, KINDS[system.pattern], system)
    detail = {"number": number, "patient": str(patient.pk), "told": str(system or "")}
    audit.record(by, "generate", order, detail=detail)
    return order


def _numbered(system: OrderSystem | None, number: str, issuer: str) -> dict:
    if system and system.pattern == OrderSystem.Pattern.PLACER:
        return {"placer_order_number": number, "awaits_number": True}
    ours = {"requested_procedure_id": number, "scheduled_procedure_step_id": number}
    filler = {"filler_order_number": number} if system else {}
    return {"accession_number": number, "accession_issuer": issuer} | ours | filler


def why_not_cancel(order: Order, by: User, *, about: dict | None = None) -> Denied | Conflict | None:
    """The refusal that `by` would meet, or None."""
    if barred := authority.why_not(by, Power.ORDER, **about or {}):
        return Denied(barred)
    if order.origin != Order.Origin.GENERATED:
        return Conflict(f"{order} was {order.get_origin_display()}: it is cancelled where it was made.")
    return None if order.is_open else Conflict(f"{order} is cancelled already.")


@transaction.atomic
def cancel(order: Order, *, by: User, reason: str, about: dict | None = None) -> None:
    """Cancel an order that was generated here; whoever was told of it is told of that too."""
    if refusal := why_not_cancel(order, by, about=about):
        raise refusal
    if not reason.strip():
        raise Invalid("Say why the order is cancelled: the order system is told.")
    standing = Order.objects.filter(pk=order.pk).exclude(status=Order.Status.CANCELLED)
    if not standing.update(status=Order.Status.CANCELLED, changed_at=timezone.now()):
        raise Conflict(f"{order} is cancelled already.")
    order.refresh_from_db()
    by_hand(order, ["status"])
    outbound.withdraw(order, because=reason.strip())
    audit.record(by, "cancel order", order, reason=reason.strip())


def next_accession_number() -> tuple[str, str]:
    """`(number, issuer)` from the newest active sequence. The row stays locked until the commit."""
    sequence = AccessionSequence.objects.select_for_update().filter(active=True).order_by("-id").first()
    if sequence is None:
        raise Conflict("No accession number sequence is active. A manager can add one in the administration.")
    value = sequence.next
    while (number := _number(sequence, value)) and _is_used(number, sequence.issuer):
        value += 1  # entered by hand before its turn
    AccessionSequence.objects.filter(pk=sequence.pk).update(next=value + 1)
    return number, sequence.issuer


def _number(sequence: AccessionSequence, value: int) -> str:
    number = f"{sequence.prefix}{value:0{sequence.digits}d}"
    if len(number) > SH_LENGTH:
        raise Conflict(f"The accession number sequence {sequence} is used up. A manager must start a new one.")
    return number


def _is_used(number: str, issuer: str) -> bool:
    same = Q(accession_number=number, accession_issuer=issuer) | Q(placer_order_number=number)
    return Order.objects.filter(same).exists()
