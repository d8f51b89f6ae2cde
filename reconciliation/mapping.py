"""Mapping: the decision which order a study belongs to, and the exact list of attribute changes that follows."""

import hashlib
import json

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from orders.models import Order, Patient
from policies.models import Intent, User
from policies.problems import Conflict, Invalid
from policies.rules import coercion
from policies.rules.coercion import Change
from reconciliation import gate, local, stores
from reconciliation.dicom import header
from reconciliation.models import Instance, Mapping, Study
from reconciliation.release import undecide
from reconciliation.workflow import move, why_not

MANUFACTURER = "imgshare"


def preview(study: Study, *, order: Order | None = None, patient: Patient | None = None) -> list[Change]:
    """The changes that a mapping would make. With an order it is a scheduled import, with a patient alone an
    unscheduled one (IHE RAD-61). Raises `Invalid` when they cannot be made."""
    if order is not None and not order.is_open:
        raise Invalid(f"The order {order} was cancelled. Choose another one.")
    if order is None and patient is None:
        raise Invalid("Choose an order, or a patient for an import without an order.")
    if (patient or order.patient).identifier() is None:
        raise Invalid(
            "This patient has no identifier of ours, so the study could not be filed. Register the patient first."
        )
    try:
        return coercion.plan(
            _incoming(study), local=local.facts(order, patient or order.patient), importer=_importer(study)
        )
    except ValueError as refusal:
        raise Invalid(str(refusal)) from refusal


def apply(
    study: Study,
    *,
    by: User,
    intent: str,
    order: Order | None = None,
    patient: Patient | None = None,
    shown: str = "",
) -> Mapping:
    """Map the study: store the decision with its changes. Nothing is written to any object before it is sent.

    `shown` is the `fingerprint` of the changes that the person saw; when they would be others by now, `Conflict`.
    """
    if refusal := why_not(study, "map", by):
        raise refusal
    if intent not in Intent.values:
        raise Invalid("Say whether the study is for reference or to be read here.")
    if order is not None and patient is not None and order.patient_id != patient.pk:
        raise Invalid("This order is another patient's. Choose the patient again.")
    known = patient or order.patient if patient or order else None
    if known and (barred := gate.why_not_this_patient(study, known.pk)):
        raise Conflict(barred)
    changes = preview(study, order=order, patient=patient)
    if shown and shown != fingerprint(changes):
        raise Conflict("What would change is not what you were shown. Choose the candidate again and look at it.")
    with transaction.atomic():
        if order and not Order.objects.filter(pk=order.pk, changed_at=order.changed_at).exists():
            raise Conflict("The order has changed meanwhile. Look at it again.")
        mapping = Mapping.objects.create(
            study=study,
            patient=known,
            order=order,
            intent=intent,
            local=local.as_json(local.facts(order, known)),
            changes=[change.to_json() for change in changes],
            made_by=by,
            made_at=timezone.now(),
        )
        move(
            study,
            "map",
            by=by,
            detail={
                "mapping": str(mapping.pk),
                "patient": str(mapping.patient_id),
                "order": str(mapping.order_id or ""),
                "intent": intent,
                "incoming": {"patient_id": study.patient_id, "accession_number": study.accession_number},
            },
            mapping=mapping,
            local_patient=mapping.patient,
            order=order,
            intent=intent,
        )
    return mapping


def unmap(study: Study, *, by: User, reason: str = "") -> None:
    """Undo the mapping: the study is held again; consent, retention and overrides that hung on it are undone too."""
    with transaction.atomic():
        undecided = undecide(study)
        move(study, "unmap", by=by, reason=reason, detail={"mapping": str(study.mapping_id)}, **undecided)


def changes(mapping: Mapping) -> list[Change]:
    """The stored changes as values."""
    return [Change.from_json(change) for change in mapping.changes]


def fingerprint(changes: list[Change]) -> str:
    """Tells whether two lists change the same; the time of the mapping does not count."""
    said = [change.to_json() for change in changes if change.group != "provenance"]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _incoming(study: Study) -> list[dict]:
    """What the plan looks at, from the first object of each series, read from the vault."""
    vault = stores.vault()
    firsts = [
        Instance.objects.filter(series=series).order_by("instance_number", "pk").first()
        for series in study.series.order_by("pk")
    ]
    return [header.attributes(vault.path(one.digest), coercion.ATTRIBUTES) for one in firsts if one]


def _importer(study: Study) -> coercion.Importer:
    return coercion.Importer(
        manufacturer=MANUFACTURER,
        institution_name=settings.INSTITUTION_NAME,
        station_name=settings.STATION_NAME,
        modifying_system=settings.STATION_NAME,
        source_name=study.institution_name or study.source.name,
        source_issuer=study.source.issuer,
        door=study.submission.door,
        at=timezone.localtime().strftime("%Y%m%d%H%M%S.%f%z"),
    )
