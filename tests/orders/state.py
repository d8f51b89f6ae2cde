"""Everything that the portal knows of patients and orders, by what it says and never by keys or times of arrival."""

from orders.models import Claim, CrossReference, Identifier, Merge, Order, Patient


def of_everything() -> dict:
    names = {None: None} | {patient.pk: _name(patient) for patient in Patient.objects.all()}
    return {
        "patients": _sorted(Patient, names, {"id": "self", "merged_into_id": "patient"}, skip={"changed_at"}),
        "identifiers": _sorted(Identifier, names, {"patient_id": "patient", "own_id": "patient"}, skip={"id"}),
        "claims": _sorted(Claim, names, {"patient_id": "patient"}, skip={"id"}),
        "links": _sorted(CrossReference, names, {"patient_id": "patient", "own_id": "patient"}, skip={"id"}),
        "merges": _sorted(Merge, names, {"victim_id": "patient", "survivor_id": "patient"}, skip={"id"}),
        "orders": _sorted(
            Order, names, {"patient_id": "patient", "own_id": "patient"}, skip={"id", "created_at", "changed_at"}
        ),
    }


def _name(patient: Patient) -> tuple:
    """A record is known by the identifiers that are its own."""
    own = Identifier.objects.filter(own=patient) | Identifier.objects.filter(own=None, patient=patient)
    return tuple(sorted(f"{value}^^^{issuer}" for value, issuer in own.values_list("value", "issuer")))


def _sorted(model, names: dict, relations: dict, *, skip: set) -> list[dict]:
    rows = [{column: value for column, value in row.items() if column not in skip} for row in model.objects.values()]
    for row in rows:
        row |= {column: names[row[column]] for column in relations}
    return sorted(rows, key=repr)
