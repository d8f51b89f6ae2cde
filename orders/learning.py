"""What other systems were found to know, kept as patients, identifiers and orders of ours.

It weighs least: it fills what is empty, and never changes what a message or a person said. Nobody is merged by it, no
identifier or order moves, and what is not found any more stays.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from orders.hl7 import registers
from orders.lookup import Answer
from orders.models import CrossReference, Identifier, Order, Patient
from orders.patients import ANCHOR, touch
from orders.peers import found
from policies import audit, domains
from policies.models import Procedure
from policies.rules.values import as_date

log = logging.getLogger(__name__)
MOST_PEOPLE = 50  # kept of one look-up
LOWEST = "9"  # rank of a stamp: whatever a message gives an identifier to weighs more
LONGEST_ISSUER = 64
UNNAMED = "Scheduled procedure"
NOT_KEPT = "Something that was found there could not be kept."


@dataclass
class Learned:
    """What one look-up added, and sentences about what could not be kept."""

    people: int = 0
    orders: int = 0
    filled: int = 0
    cross_references: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    @property
    def news(self) -> bool:
        return bool(self.people or self.orders or self.filled or self.cross_references)


def keep(answer: Answer, *, by, outside: found.Identifier = found.NONE) -> Learned:
    """Keep what one system said. `outside` is the identifier that its cross-references are to. Can be repeated."""
    learned, known = Learned(), domains.known()
    system = answer.system
    for person in answer.people[:MOST_PEOPLE]:
        _one(system, lambda person=person: _patient(person, known, system, by, learned), learned)
    for scheduled in answer.orders:
        _one(system, lambda one=scheduled: _scheduled(one, known, system, by, learned), learned)
    for one in answer.cross_references if outside.value and outside.issuer else ():
        _one(system, lambda one=one: _cross_reference(one, outside, system, by, learned), learned)
    return learned


def _one(system, step, learned: Learned) -> None:
    """One in a transaction of its own; once more when another look-up was faster. A bad one never stops the others."""
    for attempt in (1, 2):
        try:
            with transaction.atomic():
                return step()
        except IntegrityError:
            if attempt == 2:
                learned.notes[NOT_KEPT] = None
        except Exception as problem:  # its text may hold what the system said
            log.error("Something that %s said could not be kept: %s", system.pk, type(problem).__name__)
            learned.notes[NOT_KEPT] = None
            return None


# --- patients --------------------------------------------------------------------------------------------------------


def _patient(person: found.Person, known: domains.Domains, system, by, learned: Learned) -> Patient | None:
    """The patient who is named by an identifier of ours; made if nobody knew it."""
    named = [one for one in person.identifiers if one.issuer and len(one.issuer) <= LONGEST_ISSUER]
    anchor = next((one for one in named if _names_patients(one, known, system)), None)
    if anchor is None:
        learned.notes["Somebody found there has no identifier of ours, so is not kept."] = None
        return None
    rows = Identifier.objects.select_for_update(of=("self",)).select_related("patient")
    held = rows.filter(value=anchor.value, issuer=anchor.issuer).first()
    if held and held.own_id:  # a record that was merged says nothing of the one that stands for it
        return held.patient
    patient = held.patient if held else _register(person, anchor)
    filled = _fill(patient, person) if held else []
    given = [str(one) for one in named if one != anchor and _give(one, patient, known)]
    detail = {"system": str(system), "identifiers": given}
    if held is None:
        learned.people += 1
        audit.record(by, "register", patient, detail=detail | {"identifiers": [_shown(anchor), *given]})
    elif filled or given:
        patient.save(update_fields=[*filled, "changed_at"])
        learned.filled += 1
        audit.record(by, "fill in", patient, detail=detail | {"filled": filled})
    return patient


def _names_patients(one: found.Identifier, known: domains.Domains, system) -> bool:
    """As messages are read: a domain of ours names patients; where none is marked so, that of the system, or any."""
    if known.local:
        return one.issuer in known.local
    return one.issuer == known.canonical(system.issuer) if system.issuer else True


def _register(person: found.Person, anchor: found.Identifier) -> Patient:
    patient = Patient.objects.create(name=person.name, birth_date=_day(person), sex=person.sex)
    Identifier.objects.create(patient=patient, primary=True, since=ANCHOR, **_columns(anchor))
    return patient


def _day(person: found.Person):
    day = as_date(person.birth_date) if person.birth_date else None
    return day if day and day <= timezone.localdate() else None


def _columns(one: found.Identifier) -> dict:
    universal = {"universal_id": one.universal_id[:128], "universal_id_type": one.universal_id_type[:8]}
    return {"value": one.value, "issuer": one.issuer, **(universal if one.universal_id else {})}


def _shown(one: found.Identifier) -> str:
    return f"{one.value} ({one.issuer})"


def _fill(row, person: found.Person) -> list[str]:
    """What is empty and was never told otherwise; not saved."""
    said = {"name": person.name, "birth_date": _day(person), "sex": person.sex}
    return _set_empty(row, said)


def _set_empty(row: Patient | Order, said: dict) -> list[str]:
    empty = [name for name, value in said.items() if value and not getattr(row, name) and name not in row.told]
    for name in empty:
        setattr(row, name, said[name])
    return empty


def _give(one: found.Identifier, patient: Patient, known: domains.Domains) -> bool:
    """Whether this identifier is new; one that somebody has already stays where it is."""
    if Identifier.objects.filter(value=one.value, issuer=one.issuer).exists():
        return False
    ours = one.issuer in known.local
    since = ANCHOR if ours else registers.stamp(timezone.now(), "", rank=LOWEST)
    Identifier.objects.create(patient=patient, since=since, **_columns(one))
    return True


# --- orders ----------------------------------------------------------------------------------------------------------


def _scheduled(one: found.Scheduled, known: domains.Domains, system, by, learned: Learned) -> None:
    patient = _patient(one.person, known, system, by, learned)
    said = _said(one)
    if patient is None or not (said["accession_number"] or said["requested_procedure_id"]):
        return
    same = _same(said, patient)
    order = next((row for row in same if row.patient_id == patient.pk), None)
    if same and order is None:
        learned.notes["An order found there is another patient's here; it is left as it is."] = None
        return
    if order is None:
        order = Order.objects.create(
            patient=patient,
            origin=Order.Origin.WORKLIST,
            created_by=str(system)[:150],
            for_import=_is_import(said),
            seen_at=timezone.now(),
            **said | {"description": said["description"] or UNNAMED},
        )
        learned.orders += 1
        audit.record(by, "find on worklist", order, detail={"system": str(system), "patient": str(patient.pk)})
        return
    if filled := _set_empty(order, said):
        order.save(update_fields=[*filled, "changed_at"])
        learned.filled += 1
        audit.record(by, "fill in", order, detail={"system": str(system), "filled": filled})
    Order.objects.filter(pk=order.pk).update(seen_at=timezone.now())


def _said(one: found.Scheduled) -> dict:
    """The columns of an order, by its earliest step."""
    step = next(iter(one.steps), found.Step())
    accession = one.accession
    issuer = (accession.issuer or accession.universal_id)[:LONGEST_ISSUER] if accession.value else ""
    return {
        "accession_number": accession.value,
        "accession_issuer": issuer,
        "placer_order_number": one.placer_order_number,
        "filler_order_number": one.filler_order_number,
        "requested_procedure_id": one.requested_procedure_id,
        "scheduled_procedure_step_id": step.id,
        "procedure_code": one.procedure_code,
        "procedure_scheme": one.procedure_scheme,
        "description": one.description,
        "modality": step.modality,
        "scheduled_at": _aware(step.at),
        "referring_physician": one.referring_physician,
        "admission_id": one.admission_id,
        "study_instance_uid": one.study_instance_uid,
    }


def _aware(at: datetime | None) -> datetime | None:
    return at and timezone.make_aware(at)


def _same(said: dict, patient: Patient) -> list[Order]:
    """Orders of these numbers. Where an issuer was not said, the number is enough, of the same patient."""
    rows = Order.objects.select_for_update(of=("self",)).order_by("created_at", "pk")
    number, issuer = said["accession_number"], said["accession_issuer"]
    if not number:
        return list(rows.filter(patient=patient, requested_procedure_id=said["requested_procedure_id"]))
    unsaid = Q(patient=patient) if not issuer else Q(patient=patient, accession_issuer="")
    return list(rows.filter(Q(accession_issuer=issuer) | unsaid, accession_number=number))


def _is_import(said: dict) -> bool:
    """Whether it is of a procedure that exists for importing."""
    code = {"code": said["procedure_code"], "scheme": said["procedure_scheme"]}
    return bool(said["procedure_code"]) and Procedure.objects.filter(**code).exists()


# --- cross-references ------------------------------------------------------------------------------------------------


def _cross_reference(one: found.Identifier, outside: found.Identifier, system, by, learned: Learned) -> None:
    """The outside identifier is this patient's, says the index; it says so as long as nobody ends it."""
    held = Identifier.objects.select_related("patient").filter(value=one.value, issuer=one.issuer).first()
    if held is None:
        return
    columns = {"value": outside.value, "issuer": outside.issuer, "origin": CrossReference.Origin.PIX}
    _, made = CrossReference.objects.get_or_create(
        patient=held.patient,
        ended_at=None,
        **columns,
        defaults={"by": str(system)[:150], "at": timezone.now()},
    )
    if made:
        touch(held.patient)
        learned.cross_references += 1
        audit.record(by, "cross-reference", held.patient, detail={"system": str(system), "outside": _shown(outside)})
