"""What messages say of patients, kept with the record that they name; nobody is merged here.

A record is named by its anchor, the identifier of a domain of ours. Other identifiers are the record's that was given
them first; whoever claims them later is left with the claim, and people have to look (queries.shared_identifiers).
"""

from collections.abc import Iterable
from datetime import date

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from orders.hl7 import registers
from orders.hl7.persons import Identity, Person, key_of
from orders.models import Claim, Identifier, Patient
from orders.telling import Telling, change

ANCHOR = "0"  # the stamp of an identifier that names its record: less than any other, so that nobody takes it away
WORDS = {"name": "name", "birth_date": "birth date", "sex": "sex"}
Known = dict[str, Identifier]


def load(identities: Iterable[Identity]) -> Known:
    """The rows of these identifiers by their keys, with their patients, locked; one object for each patient."""
    wanted = {one.key: Q(value=one.value, issuer=one.issuer) for one in identities}
    if not wanted:
        return {}
    either = Q(*wanted.values(), _connector=Q.OR)
    locked = Identifier.objects.select_for_update(of=("self", "patient")).select_related("patient")
    known = {key_of(row.value, row.issuer): row for row in locked.filter(either)}
    patients = {row.patient_id: row.patient for row in known.values()}
    if absorbed := {row.own_id for row in known.values() if row.own_id} - patients.keys():
        patients |= Patient.objects.select_for_update().order_by("pk").in_bulk(absorbed)
    for row in known.values():
        row.patient, row.own = patients[row.patient_id], patients.get(row.own_id)
    return known


def record_of(row: Identifier) -> Patient:
    """The record that an identifier names: what it was before any merge."""
    return row.own if row.own_id else row.patient


def root(record: Patient) -> Patient:
    """The record that stands for this one after all merges."""
    while record.merged_into_id:
        record = record.merged_into
    return record


def tell(person: Person, telling: Telling, known: Known, *, number: int = 0, rank: str = registers.MASTER) -> Patient:
    """The record that this person is, with what is told of it; a new one where nobody knew it."""
    telling.find_by(one.value for one in (person.anchor, *person.others))
    telling.notes += person.notes
    stamp = telling.stamp(number, rank=rank)
    held = known.get(person.anchor.key)
    if held and (held.since in ("", ANCHOR)):
        record = record_of(held)
        _say(record, person, stamp, telling)
    else:
        record = _register(person, stamp, telling, known)
    for one in person.others:
        give(one, record, telling, known)
    return record


def _register(person: Person, stamp: str, telling: Telling, known: Known) -> Patient:
    told: dict = {}
    registers.tell(told, person.told, stamp)
    record = Patient.objects.create(told=told, **_columns(person.told))
    give(person.anchor, record, telling, known, since=ANCHOR)
    telling.tell("register", record, f"New patient {person.anchor}.", {"identifier": str(person.anchor)})
    return record


def _say(record: Patient, person: Person, stamp: str, telling: Telling) -> None:
    newer = registers.tell(record.told, person.told, stamp)
    if not newer:
        return
    if changes := apply(record, newer):
        record.save(update_fields=["told", *changes])
        words = ", ".join(WORDS[column] for column in changes)
        telling.tell("update", record, f"Patient {person.anchor}: {words}.", {"changed": changes})
    else:
        Patient.objects.filter(pk=record.pk).update(told=record.told)  # nothing that a candidate search could see


def _columns(told: dict[str, str]) -> dict:
    """As the columns hold it."""
    if "birth_date" not in told:
        return told
    others = dict(told)
    day = others.pop("birth_date")
    return {"birth_date": date.fromisoformat(day) if day else None} | others


def apply(record: Patient, told: dict[str, str]) -> dict[str, list[str]]:
    """Set what differs; see telling.change."""
    return change(record, _columns(told))


def give(one: Identity, record: Patient, telling: Telling, known: Known, *, since: str = "") -> None:
    """The identifier is this record's, unless another one was given it before: then the claim is kept.

    `since` is ANCHOR for an identifier that names the record.
    """
    since = since or telling.stamp()
    held = known.get(one.key)
    if held is None:
        known[one.key] = _identify(one, record, since)
    elif record_of(held) == record:
        if since < held.since:
            _since(held, since)
    elif since < held.since:
        _claim(one, record_of(held), held.since)
        Claim.objects.filter(patient=record, value=one.value, issuer=one.issuer).delete()
        _hand_over(held, record, since)
    else:
        _claim(one, record, since)
        if root(record_of(held)) != root(record):
            telling.notes.append(f"{one} is another patient's already; it stays there, and people have to look.")


def _identify(one: Identity, record: Patient, since: str) -> Identifier:
    standing = root(record)
    columns = {"universal_id": one.universal_id, "universal_id_type": one.universal_id_type, "since": since}
    if standing != record:
        columns["own"] = record
    return Identifier.objects.create(
        patient=standing, value=one.value, issuer=one.issuer, primary=since == ANCHOR, **columns
    )


def _since(held: Identifier, since: str) -> None:
    held.since = since
    held.save(update_fields=["since"])


def _hand_over(held: Identifier, record: Patient, since: str) -> None:
    touch(held.patient, record)
    standing = root(record)
    held.patient, held.own = standing, None if standing == record else record
    held.since, held.primary = since, since == ANCHOR
    held.save(update_fields=["patient", "own", "since", "primary"])


def _claim(one: Identity, record: Patient, since: str) -> None:
    claim, made = Claim.objects.get_or_create(
        patient=record, value=one.value, issuer=one.issuer, defaults={"since": since}
    )
    if made:
        touch(record)
    elif since < claim.since:
        claim.since = since
        claim.save(update_fields=["since"])


def touch(*records: Patient) -> None:
    """Held studies are compared again with patients that have changed."""
    Patient.objects.filter(pk__in=[record.pk for record in records]).update(changed_at=timezone.now())


def stand_apart(value: str, issuer: str, *, name: str, birth_date, sex: str) -> tuple[Patient | None, bool]:
    """The record of somebody else's patient under a number of its own, and whether it was made now; None where the
    number is one of our patients'."""
    mine = Identifier.objects.filter(value=value, issuer=issuer).select_related("patient")
    if (known := mine.first()) is None:
        try:
            with transaction.atomic():
                made = Patient.objects.create(name=name, birth_date=birth_date, sex=sex, apart=True)
                Identifier.objects.create(patient=made, value=value, issuer=issuer, primary=True)
                return made, True
        except IntegrityError:  # somebody was faster
            known = mine.get()
    return (known.patient if known.patient.apart else None), False
