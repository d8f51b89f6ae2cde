"""A recorded consent as FHIR R4 `Consent` (hl7.org/fhir/R4/consent.html): values in, a dictionary for JSON out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
LOINC = "http://loinc.org"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
DICOM_UID = "urn:dicom:uid"
PURPOSES = {
    "care": ("TREAT", "treatment"),
    "teaching": ("TRAIN", "training"),
    "research": ("HRESCH", "healthcare research"),
}


@dataclass(frozen=True)
class Identified:
    """A patient as others know them. `system`: a URI when the issuer has one; else the issuer is named in words."""

    value: str
    issuer: str
    system: str = ""


@dataclass(frozen=True)
class Scan:
    media_type: str
    size: int
    sha256: str
    kept_at: datetime


@dataclass(frozen=True)
class Facts:
    key: str
    basis: str
    basis_words: str
    patient: tuple[Identified, ...]
    recorded_at: datetime
    given_on: date
    given_by: str
    relation: str
    purposes: tuple[str, ...]
    until: date | None
    withdrawn_at: datetime | None
    organisation: str
    source: str
    by_rule: str
    studies: tuple[str, ...]  # Study Instance UIDs
    scan: Scan | None = None
    today: date | None = None


def resource(facts: Facts) -> dict:
    """The whole resource. Invariants ppc-1 (a policy or policyRule) and ppc-2 (scope and patient) hold."""
    made = {
        "resourceType": "Consent",
        "id": facts.key,
        "meta": {"lastUpdated": _instant(facts.withdrawn_at or facts.recorded_at)},
        "status": status(facts),
        "scope": _concept(SCOPE, "patient-privacy", "Privacy Consent"),
        "category": [_concept(LOINC, "59284-0", "Consent Document")],
        "patient": _patient(facts.patient),
        "dateTime": f"{facts.given_on:%Y-%m-%d}",
        "performer": _performers(facts),
        "organization": [{"display": facts.organisation}],
        "policyRule": _policy_rule(facts),
        "provision": _provision(facts),
    }
    if facts.scan:
        made["sourceAttachment"] = _attachment(facts.scan)
    return {name: value for name, value in made.items() if value not in ([], {}, "")}


def status(facts: Facts) -> str:
    """`active` while it holds; `inactive` once it was withdrawn or has ended."""
    over = facts.until and facts.today and facts.until < facts.today
    return "inactive" if facts.withdrawn_at or over else "active"


def bundle(resources: Iterable[dict], address: str) -> dict:
    """A searchset: what was found, in full. `address`: the absolute address of `Consent`, without a slash."""
    found = list(resources)
    entries = [{"fullUrl": f"{address}/{one['id']}", "resource": one, "search": {"mode": "match"}} for one in found]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(found)} | (
        {"entry": entries} if entries else {}
    )


def outcome(code: str, sentence: str) -> dict:
    """`code` of the value set issue-type."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": code, "diagnostics": sentence}],
    }


def _patient(identified: tuple[Identified, ...]) -> dict:
    """A logical reference: there is no Patient resource of ours to point to."""
    reference = {"type": "Patient"}
    if identified:
        first = identified[0]
        issuer = {"system": first.system} if first.system else {"assigner": {"display": first.issuer}}
        return reference | {"identifier": {**issuer, "value": first.value}}
    return reference | {"display": "not known any more"}


def _performers(facts: Facts) -> list[dict]:
    if facts.basis == "patient":
        return [{"type": "Patient", "display": facts.given_by}]
    if facts.basis == "guardian":
        return [{"type": "RelatedPerson", "display": ", ".join(filter(None, [facts.given_by, facts.relation]))}]
    return []


def _policy_rule(facts: Facts) -> dict:
    """OPTIN where a person has agreed; what rests on treatment or duty is said in words, with its rule."""
    words = facts.basis_words + (f", by rule: {facts.by_rule}" if facts.by_rule else "")
    if facts.basis in ("patient", "guardian"):
        return _concept(ACT, "OPTIN", "opt-in") | {"text": words}
    return {"text": words}


def _provision(facts: Facts) -> dict:
    period = {"start": f"{facts.given_on:%Y-%m-%d}"}
    if facts.withdrawn_at:
        period["end"] = _instant(facts.withdrawn_at)
    elif facts.until:
        period["end"] = f"{facts.until:%Y-%m-%d}"
    codes = [_purpose(purpose) for purpose in facts.purposes]
    data = [
        {
            "meaning": "instance",
            "reference": {
                "type": "ImagingStudy",
                "identifier": {"system": DICOM_UID, "value": f"urn:oid:{uid}"},
                "display": f"Outside imaging study from {facts.source}",
            },
        }
        for uid in facts.studies
    ]
    provision = {"type": "permit", "period": period, "purpose": codes, "data": data}
    return {name: value for name, value in provision.items() if value}


def _purpose(purpose: str) -> dict:
    code, display = PURPOSES[purpose]
    return {"system": ACT_REASON, "code": code, "display": display}


def _attachment(scan: Scan) -> dict:
    """What the scan is, not its bytes. R4 has a place for SHA-1 only, so the digest stands in the title."""
    return {
        "contentType": scan.media_type,
        "size": scan.size,
        "title": f"Scanned consent form, SHA-256 {scan.sha256}",
        "creation": _instant(scan.kept_at),
    }


def _concept(system: str, code: str, display: str) -> dict:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _instant(at: datetime) -> str:
    """With its zone, as R4 asks of an instant."""
    return at.isoformat(timespec="milliseconds")
