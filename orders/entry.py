"""Entered by hand: a patient or an order that no message told us of. Each entry is a ledger line."""

from datetime import date

from django.db import IntegrityError, transaction
from django.utils import timezone

from orders import queries
from orders.models import Identifier, Order, Patient
from policies import audit, authority, domains
from policies.models import Power
from policies.problems import Conflict, Invalid


def register(*, name: str, identifiers: list[dict], by, birth_date: date | None = None, sex: str = "") -> Patient:
    """A patient with the identifiers that we know; the first one is primary unless another says so.

    An identifier is given by the columns of `Identifier`; one that another patient has already is a `Conflict`.
    """
    authority.require(by, Power.ORDER)
    if birth_date and birth_date > timezone.localdate():
        raise Invalid(f"The birth date {birth_date:%Y-%m-%d} lies in the future.")
    with transaction.atomic():
        patient = Patient.objects.create(name=name, birth_date=birth_date, sex=sex)
        for columns in _with_one_primary(identifiers):
            _identify(patient, columns)
        audit.record(by, "register", patient, detail={"identifiers": [str(one) for one in patient.identifiers.all()]})
    return patient


def _with_one_primary(identifiers: list[dict]) -> list[dict]:
    chosen = [n for n, columns in enumerate(identifiers) if columns.get("primary")]
    if not identifiers:
        raise Invalid("Give at least one identifier with its issuer: without it nothing could be filed.")
    if len(chosen) > 1:
        raise Invalid("Only one identifier can be the primary one.")
    return [columns | {"primary": n == (chosen or [0])[0]} for n, columns in enumerate(identifiers)]


def _identify(patient: Patient, columns: dict) -> None:
    known = domains.known()
    issuer = known.canonical(columns["issuer"], columns.get("universal_id", ""))
    taken = Conflict(
        f"The identifier {columns['value']} of {columns['issuer']} is a known patient's already. "
        "Search for it before you register anybody."
    )
    if queries.identified(columns["value"], issuer, known):
        raise taken
    try:
        with transaction.atomic():
            Identifier.objects.create(patient=patient, **columns | {"issuer": issuer})
    except IntegrityError:
        raise taken from None


def enter(patient: Patient, *, accession_number: str, description: str, by, **columns) -> Order:
    """An order as another system issued it, typed in; `columns` are further columns of `Order`."""
    authority.require(by, Power.ORDER)
    if patient.identifier() is None:
        raise Invalid(f"{patient} has no identifier of ours. Register the patient first.")
    columns |= {"accession_number": accession_number, "description": description, "created_by": str(by)}
    try:
        with transaction.atomic():
            order = Order.objects.create(patient=patient, origin=Order.Origin.ENTERED, **columns)
            said = {"accession_number": accession_number, "patient": str(patient.pk)}
            audit.record(by, "enter", order, detail=said)
    except IntegrityError:
        raise Conflict(f"The accession number {accession_number} is another order's already. Search for it.") from None
    return order
