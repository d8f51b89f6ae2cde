"""Prefixing: studies read for others come in under the sender's number with a prefix, and are linked to nobody.

The record under such a number stands apart: it is made from the study, and proposed for no other.
"""

from typing import NamedTuple

from orders.models import Order, Patient
from orders.patients import stand_apart
from policies import audit, authority, coercion
from policies.models import CoercionRule, Power, User
from policies.problems import Conflict, Invalid
from policies.rules.coercion import Rule
from policies.rules.values import as_date, why_unwritable
from reconciliation.models import Study

LINKING = ("OtherPatientIDsSequence",)  # what would let an archive find the sender's number with those of our patients
LONGEST_NAME = 194


class Offered(NamedTuple):
    """`number` under which a study would be imported; `barred` says why it cannot be, or ""."""

    number: str
    issuer: str
    barred: str


def offered(study: Study) -> Offered | None:
    """The number by the rule of the study's source and category; None where there is no such rule."""
    rule = coercion.prefix(study.source, study.category)
    return rule and _offered(study, rule)


def _offered(study: Study, rule: CoercionRule) -> Offered:
    number = f"{rule.text.strip()}{study.patient_id}"
    barred = why_unwritable("PatientID", number).partition(":")[0]
    if not study.patient_id:
        barred = "The study has no Patient ID that a prefix could stand before"
    elif len(study.patient_name) > LONGEST_NAME:
        barred = "The name of the patient is too long for a record"
    return Offered(number, rule.issuer, barred and f"{barred}. Ask the sender for a corrected copy.")


def patient(study: Study, *, by: User) -> Patient:
    """The record under the prefixed number, made from the study when it is the first. Nothing is mapped yet."""
    authority.require(by, Power.RECONCILE, source=study.source)
    found = offered(study)
    if found is None:
        raise Invalid(f"No rule says that studies of {study.source} are read for others.")
    if found.barred:
        raise Invalid(found.barred)
    if study.state != Study.State.HELD:
        raise Conflict("A record is chosen for a study that is held. Undo the mapping first.")
    made, created = stand_apart(
        found.number,
        found.issuer,
        name=study.patient_name,
        birth_date=as_date(study.patient_birth_date),
        sex=study.patient_sex if study.patient_sex in Patient.Sex.values else "",
    )
    if made is None:
        raise Conflict(f"The number with the prefix is a number of {found.issuer} already. Ask a manager to change it.")
    if created:
        audit.record(by, "add", made, detail={"study": str(study.pk), "apart": True})
    return made


def why_not(study: Study, chosen: Patient, order: Order | None) -> str:
    """Say why a study cannot be filed there because it, or the record, is of those that are read for others; or ""."""
    found = offered(study)
    if found is None:
        return "This record is for studies that are read for others. Choose another patient." if chosen.apart else ""
    mine = chosen.apart and chosen.identifiers.filter(value=found.number, issuer=found.issuer).exists()
    if order is None and mine:
        return ""
    return f"Studies of {study.source} are read for others: import it under its own number with the prefix."


def unlinked(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Without what would lead from the study to our patients."""
    return tuple(rule for rule in rules if rule.path not in LINKING)
