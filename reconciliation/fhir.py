"""What FHIR is told: recorded consents as R4 resources."""

from collections.abc import Iterable

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from orders.models import Patient
from orders.patients import root
from policies import domains
from policies.domains import OID, Domains
from policies.rules import fhir_consent
from policies.rules.fhir_consent import Facts, Identified
from reconciliation.models import Consent, Study


def consents(among: QuerySet[Study]) -> QuerySet[Consent]:
    """Those recorded for, or carrying, a study `among` those one may see; newest first."""
    carrying = among.exclude(consent=None).values("consent")
    found = Consent.objects.filter(Q(study__in=among.values("pk")) | Q(pk__in=carrying))
    return found.select_related("study__source", "patient", "scan").order_by("-recorded_at", "-pk")


def of_patient(rows: QuerySet[Consent], token: str) -> QuerySet[Consent]:
    """Of the patients with this identifier: `system|value`, `|value` or `value`; those merged into them too."""
    system, bar, value = token.rpartition("|")
    known = domains.known()
    identified = Patient.objects.filter(identifiers__value=value)
    if bar and system:
        issuer = known.canonical(system.removeprefix(OID), system.removeprefix(OID))
        names = [name for name, canonical in known.names.items() if canonical == issuer]
        spelled = Q(identifiers__issuer=issuer)
        for name in names:
            spelled |= Q(identifiers__issuer__iexact=name)
        identified = Patient.objects.filter(spelled, identifiers__value=value)
    same = {patient.pk for patient in identified}
    while more := set(Patient.objects.filter(merged_into__in=same).values_list("pk", flat=True)) - same:
        same |= more
    return rows.filter(patient__in=same)


def resources(rows: Iterable[Consent], among: QuerySet[Study]) -> list[dict]:
    known, rows = domains.known(), list(rows)
    carried: dict[int, list[str]] = {}
    for consent, uid in among.filter(consent__in=rows).values_list("consent", "study_instance_uid"):
        carried.setdefault(consent, []).append(uid)
    return [fhir_consent.resource(_facts(one, carried.get(one.pk, []), known)) for one in rows]


def _facts(consent: Consent, uids: list[str], known: Domains) -> Facts:
    scan = consent.scan and fhir_consent.Scan(
        consent.scan.media_type, consent.scan.size, consent.scan.digest, timezone.localtime(consent.scan.kept_at)
    )
    return Facts(
        key=str(consent.key),
        basis=consent.basis,
        basis_words=str(consent.get_basis_display()),
        patient=_identified(consent.patient, known),
        recorded_at=timezone.localtime(consent.recorded_at),
        given_on=consent.given_on,
        given_by=consent.given_by,
        relation=consent.relation,
        purposes=tuple(consent.scope),
        until=consent.until,
        withdrawn_at=consent.withdrawn_at and timezone.localtime(consent.withdrawn_at),
        organisation=settings.INSTITUTION_NAME,
        source=str(consent.study.source),
        by_rule=consent.by_rule,
        studies=tuple(sorted(set(uids))),
        scan=scan,
        today=timezone.localdate(),
    )


def _identified(patient: Patient | None, known: Domains) -> tuple[Identified, ...]:
    first = patient and root(patient).identifier()
    if not first:
        return ()
    oid = first.universal_id or known.universal.get(known.canonical(first.issuer), "")
    return (Identified(first.value, first.issuer, f"{OID}{oid}" if oid else ""),)
