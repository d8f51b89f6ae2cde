"""An order for the study at hand: which procedure it would be, the order generated, and cancelled again."""

from typing import NamedTuple

from django.db import transaction

from orders import generation
from orders.models import Order, Patient
from policies import procedures, versions
from policies.models import Power, Procedure, ProcedureRule, User
from policies.problems import Conflict, Denied, Invalid
from policies.rules.procedures import Outside
from policies.versions import Rules
from reconciliation import matching, permission, stores
from reconciliation.dicom import header
from reconciliation.models import Instance, Study
from reconciliation.workflow import why_not

State = Study.State


class Proposed(NamedTuple):
    """The procedure that is ready to be taken, and where that comes from; None where a person must choose."""

    procedure: Procedure | None
    why: str
    passed: tuple[tuple[ProcedureRule, str], ...] = ()  # the lines of the map asked before, each with what did not fit


def proposed_procedure(study: Study) -> Proposed:
    """By the procedure map; where no line fits, the only procedure for its modality."""
    return proposed_for(outside(study))


def proposed_for(facts: Outside, among: Rules = versions.now) -> Proposed:
    """The same from what the map looks at, by the rules of now or of another day."""
    chosen = procedures.choose(facts, among)
    passed = tuple(chosen.passed)
    if chosen.procedure:
        return Proposed(chosen.procedure, f"By the procedure map: {chosen.why}", passed)
    fitting = [row for row in among(Procedure) if row.active and row.modality in facts.modalities]
    if len(fitting) == 1:
        why = f"The only procedure for {fitting[0].modality}; no line of the procedure map fits."
        return Proposed(fitting[0], why, passed)
    return Proposed(None, chosen.why, passed)


def outside(study: Study, *among: Rules) -> Outside:
    """What the map looks at. The sender's codes are read from the first object, and only when a line asks for them."""
    asked = any(procedures.asks_for_codes(rules) for rules in among or [versions.now])
    return Outside(
        source=str(study.source_id),
        modalities=tuple(study.modalities),
        body_parts=tuple(study.body_parts),
        description=study.study_description,
        codes=_codes(study) if asked else (),
    )


def _codes(study: Study) -> tuple:
    first = Instance.objects.filter(series__study=study).order_by("pk").first()
    if first is None:
        return ()
    items = header.attributes(stores.vault().path(first.digest), ("ProcedureCodeSequence",))
    found = items.get("ProcedureCodeSequence") or []
    return tuple((str(one.get("CodeValue", "")), str(one.get("CodingSchemeDesignator", ""))) for one in found)


def generate(
    study: Study, patient: Patient, *, by: User, procedure: Procedure | None = None, requester: str | None = None
) -> Order:
    """A reconciliation order for a held study; without a procedure the proposed one. Nothing is mapped yet.

    `requester` is a name as people write it ("Weber, Karl"): None for the usual one of the source, "" for the
    referring physician whom the study names.
    """
    if refusal := why_not(study, "map", by):
        raise refusal
    if patient.apart:
        raise Invalid("Studies that are read for others are imported without an order.")
    proposed = Proposed(procedure, "") if procedure else proposed_procedure(study)
    if proposed.procedure is None:
        raise Invalid(f"{proposed.why} Choose the procedure of the new order.")
    order = generation.generate(
        patient,
        procedure=proposed.procedure,
        by=by,
        body_part=next(iter(study.body_parts), ""),
        about=permission.about(study),
        reason=_reason(study),
        referring_physician=_requested_by(study, study.source.requester if requester is None else requester),
    )
    matching.propose(study, news=False)
    return order


def _requested_by(study: Study, requester: str) -> str:
    """As DICOM writes a name (PN)."""
    family, _, given = requester.partition(",")
    return "^".join(filter(None, (family.strip(), given.strip()))) or study.referring_physician_name.replace("\\", " ")


def _reason(study: Study) -> str:
    """What the order is for, as the order system's people read it."""
    day = study.study_date
    when = f" of {day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else ""
    modalities = "/".join(study.modalities) or "images"
    return f"Import of outside {modalities}{when} from {study.institution_name or study.source.name}"


def why_not_cancel(order: Order, by: User, *, study: Study | None = None) -> Denied | Conflict | None:
    """The refusal that `by` would meet, or None: what went to an archive under this order keeps it."""
    if refusal := generation.why_not_cancel(order, by, about=study and permission.about(study)):
        return refusal
    mapped = Study.objects.filter(order=order).select_related("source")
    if any(permission.why_not(by, Power.ORDER, one) for one in mapped):
        return Denied(f"Your role may not cancel {order}: ask who reconciles the study that it is for.")
    if mapped.filter(state__in=[State.RELEASED, State.DELIVERED]).exists():
        return Conflict(f"A study was released under {order}. It cannot be cancelled any more.")
    return None


def cancel(order: Order, *, by: User, reason: str, study: Study | None = None) -> None:
    """Cancel a generated order. A study that is mapped to it meanwhile cannot be released any more."""
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=order.pk)
        if refusal := why_not_cancel(order, by, study=study):
            raise refusal
        generation.cancel(order, by=by, reason=reason, about=study and permission.about(study))
