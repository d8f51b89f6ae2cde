"""Things the tests are made of. Studies are real: real objects through spool and intake, then the real verbs."""

import itertools
from datetime import date, timedelta

from django.contrib.auth.models import Group
from django.db.models import F, Q
from django.utils import timezone
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from orders.models import AccessionSequence, Identifier, Merge, Order, OrderSystem, Patient
from policies import roles
from policies.models import (
    AssigningAuthority,
    ConsentRule,
    Destination,
    Grant,
    MatchingPolicy,
    Procedure,
    Reason,
    RetentionRule,
    Source,
    User,
)
from reconciliation import clearance, deletion, delivery, expiry, intake, keeping, mapping, matching, release, stores
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.models import Instance, Study

count = itertools.count(1)
CONSENT = clearance.Given(basis="patient", given_by="The patient", evidence="Form 12 of today")


def source(name: str = "General Hospital", **columns) -> Source:
    columns = {"ae_title": name.upper().replace(" ", "_")[:16], "issuer": name[:64].upper(), **columns}
    return Source.objects.get_or_create(name=name, defaults=columns)[0]


def destination(name: str = "PACS", **columns) -> Destination:
    columns = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 11113, "proof": "none", **columns}
    return Destination.objects.get_or_create(name=name, defaults=columns)[0]


def user(name: str = "desk", *, group: str = "", grants: list[tuple] | None = None) -> User:
    """`desk`, `releaser`, `manager`, `auditor` are of the standard roles; `grants` gives a group of one's own."""
    made, _ = User.objects.get_or_create(username=name, defaults={"first_name": name.capitalize()})
    if grants is not None:
        mine, _ = Group.objects.get_or_create(name=f"group of {name}")
        for power, at, to in grants:
            Grant.objects.get_or_create(group=mine, power=power, source=at, destination=to)
        made.groups.add(mine)
    elif group := group or ROLES.get(name, ""):
        made.groups.add(roles.install()[group])
    return User.objects.get(pk=made.pk)


ROLES = {
    "frontdesk": "Front desk",
    "desk": "Reconciliation",
    "releaser": "Releasing officers",
    "manager": "Managers",
    "auditor": "Auditors",
}


def approver(name: str = "approver", at: Source | None = None) -> User:
    """Who may approve that studies are deleted, and change their retention."""
    return user(name, grants=[("delete", at, None), ("override", at, None)])


def patient(name: str = "Mueller^Anna", *, birth_date: date | None = date(1961, 3, 4), sex="F", ids=None) -> Patient:
    made = Patient.objects.create(name=name, birth_date=birth_date, sex=sex)
    for n, (value, issuer) in enumerate(ids or [(f"MRN{next(count):05}", "LOCAL")]):
        made.identifiers.create(value=value, issuer=issuer, primary=n == 0)
    return made


def order(of: Patient | None = None, **columns) -> Order:
    columns = {"accession_number": f"ACC{next(count):05}", "description": "CT chest", "modality": "CT", **columns}
    return Order.objects.create(patient=of or patient(), **columns)


def procedure(**columns) -> Procedure:
    return Procedure.objects.get_or_create(code="OUTCT", defaults={"meaning": "Outside CT, import", **columns})[0]


def sequence(**columns) -> AccessionSequence:
    return AccessionSequence.objects.create(**{"prefix": "IMP", "digits": 8, "issuer": "LOCAL", **columns})


def order_system(name: str = "RIS", **columns) -> OrderSystem:
    return OrderSystem.objects.create(name=name, **{"pattern": "placer", "host": "127.0.0.1", "port": 1, **columns})


def rule(**columns) -> RetentionRule:
    columns = {"name": "Outside studies", "period": "P1Y", **columns}
    return RetentionRule.objects.get_or_create(name=columns.pop("name"), defaults=columns)[0]


def consent_rule(name: str = "Care", **columns) -> ConsentRule:
    return ConsentRule.objects.create(name=name, **{"suffices": ["patient"], **columns})


def reason(code: str = "wrong-patient") -> Reason:
    return Reason.objects.get_or_create(code=code, defaults={"sentence": "These are not our patient's images."})[0]


def dataset(file: str = "CT_small.dcm", **keywords) -> Dataset:
    """A real object of pydicom's own test data under new UIDs, with an outside identity."""
    ds = dcmread(get_testdata_file(file))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    outside = {
        "PatientName": "Mueller^Anna",
        "PatientID": "OUT-7781",
        "PatientBirthDate": "19610304",
        "PatientSex": "F",
        "AccessionNumber": "F-1",
        "StudyDescription": "CT CHEST",
    }
    for keyword, value in (outside | keywords).items():
        setattr(ds, keyword, value)
    return ds


def spooled(*datasets: Dataset, of: Source | None = None, door: str = Door.DIMSE) -> str:
    """Put objects into the spool as a door would; the key of the submission."""
    with stores.spool().open(Origin(door=door, source=str((of or source()).pk), calling_title="SENDER")) as submission:
        for ds in datasets:
            with submission.part() as part, open(part.path, "r+b") as file:
                ds.save_as(file, enforce_file_format=True)
                file.flush()
                part.commit()
        return submission.key


def spooled_bytes(*objects: bytes, name: str = "") -> str:
    """The same for what is not a data set."""
    with stores.spool().open(Origin(door=Door.MEDIA, source=str(source().pk))) as submission:
        for data in objects:
            with submission.part(name) as part:
                part.write(data)
                part.commit()
        return submission.key


def received(*datasets: Dataset, of: Source | None = None) -> Study:
    """A study that has come in and is not settled yet."""
    datasets = datasets or (dataset(),)
    intake.index(spooled(*datasets, of=of))
    return Study.objects.filter(study_instance_uid=datasets[0].StudyInstanceUID).latest("part")


def study(state: str = "held", *, of: Source | None = None, to: Order | None = None, **keywords) -> Study:
    """A study that has really gone as far as `state`."""
    made = received(dataset(**keywords), of=of)
    for step in _STEPS[state]:
        step(made, to)
        made = Study.objects.get(pk=made.pk)
    return made


def due(state: str = "delivered", *, days: int = 400, **keywords) -> Study:
    """A study that was received so long ago that the rule of `rule()` is over."""
    rule()
    return long_ago(study(state, **keywords), days=days)


def long_ago(made: Study, *, days: int = 400) -> Study:
    """The same study, as if it had been received then."""
    Study.objects.filter(pk=made.pk).update(
        received_at=F("received_at") - timedelta(days), last_arrival_at=F("received_at") - timedelta(days), due_with=""
    )
    keeping.work_out()
    return Study.objects.get(pk=made.pk)


def first_instance(made: Study):
    """The key of one of its objects."""
    return Instance.objects.filter(series__study=made).values_list("pk", flat=True).first()


def cleared(made: Study, consent) -> Study:
    """Cleared on this consent by somebody who may."""
    rule()
    clearance.clear(made, consent=consent, by=user("releaser"))
    return Study.objects.get(pk=made.pk)


def _settle(made: Study, to) -> None:
    intake.settle(made)
    matching.propose(made)


def _map(made: Study, to) -> None:
    mapping.apply(made, order=to or order(_seen_before(made)), intent="reference", by=user("releaser"))


def _seen_before(made: Study) -> Patient | None:
    """The patient who has this outside ID, or to whom it was confirmed before: one number is one person's."""
    number = Q(identifiers__value=made.patient_id) | Q(cross_references__value=made.patient_id)
    return Patient.objects.filter(number, merged_into=None).first()


def _clear(made: Study, to) -> None:
    rule()
    clearance.clear(made, consent=CONSENT, by=user("releaser"))


def _release(made: Study, to) -> None:
    release.release(made, to=[destination()], by=user("releaser"))


def _reject(made: Study, to) -> None:
    release.reject(made, reason=reason(), by=user("releaser"))


def _expire(made: Study, to) -> None:
    """Long after its retention is over, approved by somebody, and its grace time over too."""
    rule()
    Study.objects.filter(pk=made.pk).update(
        received_at=F("received_at") - timedelta(400), last_arrival_at=F("received_at") - timedelta(400)
    )
    decision = expiry.approve(made, reason="Over", by=approver())
    assert deletion.carry_out(decision)


def _deliver(made: Study, to) -> None:
    """As if the archive had accepted every object: what a test of the wire does for real."""
    for one in made.deliveries.all():
        claimed = delivery.claim(one.pk)
        delivery._finish(claimed)


_STEPS = {
    "receiving": [],
    "held": [_settle],
    "mapped": [_settle, _map],
    "cleared": [_settle, _map, _clear],
    "released": [_settle, _map, _clear, _release],
    "delivered": [_settle, _map, _clear, _release, _deliver],
    "rejected": [_settle, _reject],
    "expired": [_settle, _expire],
}


def authority(issuer: str, *aliases: str, **columns) -> AssigningAuthority:
    """An identifier domain, trusted unless said otherwise."""
    made = AssigningAuthority.objects.create(**{"namespace_id": issuer, "trusted": True, **columns})
    for name in aliases:
        made.aliases.create(name=name)
    return made


def policy(of: Source | None = None, **columns) -> MatchingPolicy:
    """A matching policy that a manager approved."""
    approved = {"automatic": True, "approved_by": user("manager"), "approved_at": timezone.now()}
    return MatchingPolicy.objects.create(source=of or source(), **{**approved, "least_probability": 0.9, **columns})


def merge(victim: Patient, survivor: Patient, *, by: str = "ADT^A40 0815") -> Merge:
    """As a message merges: identifiers and orders move, and the trail is kept."""
    now = timezone.now()
    victim.identifiers.update(patient=survivor, own=victim, primary=False)
    victim.orders.update(patient=survivor, own=victim, changed_at=now)
    Patient.objects.filter(pk=victim.pk).update(merged_into=survivor, changed_at=now)
    Patient.objects.filter(pk=survivor.pk).update(changed_at=now)
    return Merge.objects.create(victim=victim, survivor=survivor, at=now, by=by)


def unmerge(done: Merge) -> None:
    """As a message undoes it: everything goes back."""
    now, victim = timezone.now(), done.victim
    Identifier.objects.filter(own=victim).update(patient=victim, own=None, primary=True)
    Order.objects.filter(own=victim).update(patient=victim, own=None, changed_at=now)
    Patient.objects.filter(pk__in=[victim.pk, done.survivor_id]).update(changed_at=now)
    Patient.objects.filter(pk=victim.pk).update(merged_into=None)
    Merge.objects.filter(pk=done.pk).update(undone_at=now, undone_by="ADT^A37 0816")
