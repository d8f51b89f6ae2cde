"""Reading patients and orders."""

from datetime import date, datetime

from django.db.models import Q, QuerySet

from orders.models import Claim, Identifier, Order, Patient
from policies.rules.matching import birth_date_variants, name_key

PLAUSIBLE = 200  # candidates that are compared one by one; more than that is not a block but a town


def search_patients(text: str) -> QuerySet[Patient]:
    """Patients by identifier, accession number, or the beginning of family and given name; none for an empty search."""
    words = text.strip()
    if not words:
        return Patient.objects.none()
    found = Q(identifiers__value__iexact=words) | Q(orders__accession_number__iexact=words)
    if key := name_key(words.replace(",", "^")):
        found |= Q(name_key__startswith=key) | Q(name_key__startswith=name_key(words.replace(" ", "^")))
    return Patient.objects.filter(found).distinct().order_by("name_key", "pk").prefetch_related("identifiers")


def candidates(*, name: str, birth_date: str, patient_ids: list[str]) -> list[Patient]:
    """Patients worth comparing: one of these identifiers, or a birth date that could be this one, or the same name."""
    plausible = Q(identifiers__value__in=[value for value in patient_ids if value])
    if days := [day for day in map(_day, birth_date_variants(birth_date)) if day]:
        plausible |= Q(birth_date__in=days)
    if key := name_key(name):
        plausible |= Q(name_key=key)
    found = Patient.objects.filter(plausible).distinct().order_by("pk")[:PLAUSIBLE]
    return list(found.prefetch_related("identifiers", "orders"))


def _day(da: str) -> date | None:
    try:
        return datetime.strptime(da, "%Y%m%d").date()
    except ValueError:
        return None


def open_orders(patient: Patient) -> list[Order]:
    """Orders of a patient that a study may still be reconciled to, newest first (from the prefetched rows)."""
    return sorted((o for o in patient.orders.all() if o.is_open), key=lambda o: o.created_at, reverse=True)


def newest_change() -> datetime | None:
    """When a patient or an order last changed: proposals older than this are stale."""
    times = [
        model.objects.order_by("-changed_at").values_list("changed_at", flat=True).first() for model in (Patient, Order)
    ]
    return max((at for at in times if at), default=None)


def shared_identifiers(patient: Patient) -> list[Identifier]:
    """Identifiers that messages gave to this patient and to another one too: somebody has to find out whose they are.

    Records that were merged since are one person, and share what they like.
    """
    records = _records(patient)
    claimed = Claim.objects.filter(patient__in=records).values_list("value", "issuer")
    others = [
        Identifier.objects.filter(value=value, issuer=issuer).exclude(patient=patient) for value, issuer in claimed
    ]
    found = [one for rows in others for one in rows.select_related("patient")]
    for one in patient.identifiers.all():
        claims = Claim.objects.filter(value=one.value, issuer=one.issuer).exclude(patient__in=records)
        if claims.exists():
            found.append(one)
    return found


def _records(patient: Patient) -> set:
    """The patient's own record and all that were merged into it."""
    records, new = set(), {patient.pk}
    while new:
        records |= new
        new = set(Patient.objects.filter(merged_into__in=new).values_list("pk", flat=True)) - records
    return records
