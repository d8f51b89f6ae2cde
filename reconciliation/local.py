"""What our own truth says of a patient and an order: the local side of a mapping, and whether it still says so."""

import json
from dataclasses import asdict

from django.utils import timezone

from orders.models import Identifier, Merge, Order, Patient
from orders.patients import root
from policies.rules.coercion import LocalFacts
from policies.rules.values import called
from reconciliation.models import Mapping


def facts(order: Order | None, patient: Patient) -> LocalFacts:
    """The facts that a plan is made of; the patient must have an identifier of ours."""
    mine = patient.identifier()
    about = {
        "PatientName": patient.name,
        "PatientID": mine.value,
        "IssuerOfPatientID": mine.issuer,
        "PatientBirthDate": patient.birth_date_da,
        "PatientSex": patient.sex,
        "IssuerOfPatientIDQualifiersSequence": _qualifiers(mine),
        "OtherPatientIDs": [(one.value, one.issuer) for one in patient.identifiers.all() if one != mine],
    }
    if order is None:
        return LocalFacts(**about, scheduled=False)
    code = (order.procedure_code, order.procedure_scheme, order.description) if order.procedure_code else None
    return LocalFacts(
        **about,
        AccessionNumber=order.accession_number,
        IssuerOfAccessionNumber=order.accession_issuer,
        RequestedProcedureID=order.requested_procedure_id,
        RequestedProcedureDescription=order.description,
        ScheduledProcedureStepID=order.scheduled_procedure_step_id,
        RequestedProcedureCode=code,
        AdmissionID=order.admission_id,
        StudyInstanceUID=order.study_instance_uid,
        ReferringPhysicianName=order.referring_physician,
    )


def _qualifiers(identifier: Identifier) -> list[dict]:
    if not identifier.universal_id:
        return []
    return [{"UniversalEntityID": identifier.universal_id, "UniversalEntityIDType": identifier.universal_id_type}]


def as_json(known: LocalFacts) -> dict:
    """As a mapping stores them."""
    return json.loads(json.dumps(asdict(known)))


def why_not_theirs(patient: Patient) -> str:
    """Say into whom a patient was merged, when and by whom, or ""."""
    if patient.merged_into_id is None:
        return ""
    merge = Merge.objects.filter(victim=patient.pk, undone_at=None).order_by("at", "pk").last()
    when = f" on {timezone.localtime(merge.at):%Y-%m-%d %H:%M} by {merge.by}" if merge else ""
    return f"{patient} was merged into {root(patient)}{when}."


def why_changed(mapping: Mapping) -> str:
    """Say what the order or the patient says otherwise than when the study was mapped, or ""."""
    order, patient = mapping.order, mapping.patient
    if merged := why_not_theirs(patient):
        return f"{merged} This came after the study had been mapped."
    if order and not order.is_open:
        return f"The order {order} was cancelled after the study had been mapped to it."
    if order and order.patient_id != patient.pk:
        return f"The order {order} is another patient's by now."
    if patient.identifier() is None:
        return "The patient has no identifier of ours any more."
    now = as_json(facts(order, patient))
    if changed := [called(name) for name, value in now.items() if value != mapping.local.get(name)]:
        return f"Changed on our side since the study was mapped: {', '.join(changed)}."
    return ""
