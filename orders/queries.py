"""Reading patients and orders."""

from typing import NamedTuple
from uuid import UUID

from django.core.cache import cache
from django.db import connection
from django.db.models import Q, QuerySet

from orders.models import Claim, Identifier, Order, Patient, PatientKey
from policies.domains import Domains
from policies.rules import blocking
from policies.rules.blocking import PLAUSIBLE
from policies.rules.matching import Candidate, Person, propose
from policies.rules.names import name_key
from policies.rules.weights import DEFAULT

FITTEST = 24  # three times as many as are shown


def search_patients(text: str) -> QuerySet[Patient]:
    """Patients by identifier, accession number, or the beginning of family and given name; none for an empty search."""
    words = text.strip()
    if not words:
        return Patient.objects.none()
    found = Q(identifiers__value__iexact=words) | Q(orders__accession_number__iexact=words)
    if key := name_key(words.replace(",", "^")):
        found |= Q(name_key__startswith=key) | Q(name_key__startswith=name_key(words.replace(" ", "^")))
    rows = Patient.objects.filter(found, merged_into=None, apart=False).distinct()
    return rows.order_by("name_key", "pk").prefetch_related("identifiers")


def identified(value: str, issuer: str, known: Domains) -> list[Identifier]:
    """The identifiers of this number, whatever name of its issuer they stand under. `issuer` is a canonical one."""
    rows = Identifier.objects.filter(value=value).select_related("patient")
    said = [(known.canonical(row.issuer, row.universal_id).casefold(), row) for row in rows]
    return [row for name, row in said if name == issuer.casefold()]


class Found(NamedTuple):
    """Patients worth comparing, the likeliest first, and how frequent the names asked for are among all."""

    patients: list[Patient]
    shares: dict[str, float]


def find(*, name: str, birth_date: str, patient_ids: list[str]) -> Found:
    """Patients worth comparing: who has one of these identifiers, then who shares the smallest blocks.

    Each block is read up to the size from which on it tells nobody apart, so that a town of namesakes costs nothing.
    Names and birth dates alone sift those found, before the few that are worth it are read with all that hangs on them.
    """
    numbers = Identifier.objects.filter(value__in=[value for value in patient_ids if value])
    holders = list(numbers.order_by("pk").values_list("patient_id", flat=True)[:PLAUSIBLE])
    blocks = _blocks(blocking.asked(name, birth_date))
    shares = blocking.shares(blocks, population())
    fit = _fittest(Person(name, birth_date, ""), blocking.ranked(blocks), shares)
    keys = list(dict.fromkeys([*holders, *fit]))
    rows = Patient.objects.filter(merged_into=None, apart=False).prefetch_related("identifiers", "orders").in_bulk(keys)
    return Found([rows[key] for key in keys if key in rows], shares)


def _fittest(who: Person, keys: list[UUID], shares: dict[str, float]) -> list[UUID]:
    columns = Patient.objects.filter(pk__in=keys, merged_into=None, apart=False).values_list("pk", "name", "birth_date")
    known = [
        Candidate(key.hex, Person(name, f"{born:%Y%m%d}" if born else "", ""), None) for key, name, born in columns
    ]
    ranked = propose(who, None, known, weights=DEFAULT.among(population()), shares=shares, keep=FITTEST)
    return [UUID(one.match.key) for one in ranked]


def _blocks(keys: list[str]) -> dict[str, list[UUID]]:
    """The patients under each key, in one question; of each no more than it takes to see that there are too many."""
    if not keys:
        return {}
    table = connection.ops.quote_name(PatientKey._meta.db_table)
    some = f"SELECT key, patient_id FROM {table} WHERE key = %s ORDER BY patient_id LIMIT {blocking.LIMIT + 1}"  # noqa: S608
    found: dict[str, list[UUID]] = {key: [] for key in keys}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT * FROM ({some}) AS block_{n}" for n in range(len(keys))), keys)  # noqa: S608
        for key, patient in cursor.fetchall():
            found[key].append(patient if isinstance(patient, UUID) else UUID(patient))  # SQLite has no UUIDs
    return found


def population() -> int:
    """How many patients we know, as counted within the last ten minutes."""
    return cache.get_or_set("orders.population", Patient.objects.count, timeout=600)


def open_orders(patient: Patient) -> list[Order]:
    """Orders of a patient that a study may still be reconciled to, newest first (from the prefetched rows)."""
    return sorted((o for o in patient.orders.all() if o.is_open), key=lambda o: o.created_at, reverse=True)


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
