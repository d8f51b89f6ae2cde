"""The reconciliation order: made here when there is none, with an accession number that is never given twice."""

from django.db import transaction
from pydicom.uid import generate_uid

from orders.models import AccessionSequence, Order, Patient
from policies import audit, authority
from policies.models import Power, Procedure
from policies.problems import Conflict, Invalid

SH_LENGTH = 16  # PS3.5 table 6.2-1: Accession Number is SH, 16 characters


@transaction.atomic
def generate(patient: Patient, *, procedure: Procedure, by, body_part: str = "", source=None) -> Order:
    """A reconciliation order for this patient, with its accession number and its own Study Instance UID."""
    authority.require(by, Power.ORDER, source=source)
    if not procedure.active:
        raise Invalid(f"The procedure {procedure} is no longer in use. Choose another.")
    if patient.identifier() is None:
        raise Invalid(f"{patient} has no identifier of ours. Register the patient first.")
    number, issuer = next_accession_number()
    order = Order.objects.create(
        patient=patient,
        origin=Order.Origin.GENERATED,
        for_import=True,
        accession_number=number,
        accession_issuer=issuer,
        requested_procedure_id=number,
        scheduled_procedure_step_id=number,
        procedure_code=procedure.code,
        procedure_scheme=procedure.scheme,
        description=procedure.meaning,
        modality=procedure.modality,
        body_part=body_part[:16],
        study_instance_uid=generate_uid(prefix=None),
        created_by=str(by),
    )
    audit.record(by, "generate", order, detail={"accession_number": number, "patient": str(patient.pk)})
    return order


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
    return Order.objects.filter(accession_number=number, accession_issuer=issuer).exists()
