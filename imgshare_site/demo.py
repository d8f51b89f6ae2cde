"""The demo's data: a hospital with its partners, patients and orders, and outside studies at every stage of the belt.

Studies are real images under invented identities. They come in through the spool, and people of the demo walk them on
with the same verbs as at the desk. All of it happens once: what somebody changes in a demo stays changed.
"""

import io
import tempfile
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.utils import timezone
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from imgshare_site import archive
from orders.models import AccessionSequence, Order, Patient
from policies import audit, consent, roles, versions
from policies.models import (
    AssigningAuthority,
    Destination,
    Grant,
    Intent,
    LedgerLine,
    Organisation,
    Power,
    Procedure,
    ProcedureRule,
    Reason,
    RetentionRule,
    Source,
    User,
)
from reconciliation import clearance, intake, mapping, matching, ordering, release, stores
from reconciliation.dicom.arrival import Door, Origin
from reconciliation.models import Study, Submission

BEGUN, SEEDED = "begin demo", "seed demo"  # ledger verbs: they mark a database as a demo's
HOSPITAL = "LOCAL HOSPITAL"  # issuer of our patient IDs and accession numbers
DISCS = "Discs from patients"

# --- people and policies ---------------------------------------------------------------------------------------------

ACCOUNTS = {
    "desk": ("Dana", "Desai", "reconciles: finds the order, maps, clears", ["Reconciliation"]),
    "releaser": ("Rafael", "Quist", "reconciles, overrides, releases and rejects", ["Releasing officers"]),
    "manager": ("Marit", "Voss", "sets sources, destinations, retention and reasons", ["Managers"]),
    "auditor": ("Ansel", "Okoro", "reads the ledger", ["Auditors"]),
    "admin": ("Ada", "Minh", "all of that, and who may do what", ["Releasing officers", "Managers", "Auditors"]),
}
SOURCES = [
    {"name": "General Hospital", "ae_title": "GENERAL_HOSP", "issuer": "GENERAL HOSPITAL"},
    {"name": "City Clinic", "ae_title": "CITY_CLINIC", "issuer": "CITY CLINIC"},
    {"name": DISCS, "ae_title": None, "issuer": "OUTSIDE"},
]
ORGANISATIONS = {
    "General Hospital": (
        "General Hospital Trust",
        "hospital",
        "Image exchange desk",
        "images@general.example",
        "555 0101",
    ),
    "City Clinic": ("City Clinic Ltd", "practice", "Practice office", "office@city-clinic.example", "555 0102"),
}
PROCEDURES = [
    ("OUTCT", "Outside CT", "CT"),
    ("OUTMR", "Outside MRI", "MR"),
    ("OUTXR", "Outside radiograph", "DX"),
    ("OUTUS", "Outside ultrasound", "US"),
    ("OUTMG", "Outside mammogram", "MG"),
    ("OUTXX", "Outside images, other", ""),
]
# The procedure map: priority, and what a line asks for; whatever is left gets the last one.
PROCEDURE_MAP = [
    (10, {"words": "bone scan"}, "OUTXX"),
    (20, {"modality": "CT"}, "OUTCT"),
    (20, {"modality": "MR"}, "OUTMR"),
    (20, {"modality": "US"}, "OUTUS"),
    (20, {"modality": "MG"}, "OUTMG"),
    *((30, {"modality": modality}, "OUTXR") for modality in ("CR", "DX", "RG")),
    (900, {}, "OUTXX"),
]
REASONS = {
    "wrong-patient": "The images show another patient than the request says.",
    "not-requested": "Nobody here has asked for these images.",
    "no-consent": "The patient has not agreed that the images are kept here.",
    "already-here": "The same study is already in our archive.",
    "not-usable": "The images are incomplete or cannot be used; ask for them again.",
}


def password(name: str) -> str:
    return f"demo-{name}"


def why_not_here() -> str:
    """Say why a demo must not begin in this database, or ""; its accounts have passwords that everybody knows."""
    if LedgerLine.objects.filter(verb=BEGUN).exists() or not (User.objects.exists() or Study.objects.exists()):
        return ""
    return (
        "This database is in use and was not made by the demo. "
        "Set IMGSHARE_DATA_DIR to an empty folder and leave DATABASE_URL empty."
    )


def seed() -> int:
    """Make the demo's data, unless it is there; the number of studies made. What was begun and cut off goes on."""
    _archive_of_today()
    if LedgerLine.objects.filter(verb=SEEDED).exists():
        return 0
    if not LedgerLine.objects.filter(verb=BEGUN).exists():
        audit.record(audit.PORTAL, BEGUN, "demo", key="demo")
    before = Study.objects.count()
    _people()
    _policies()
    _patients()
    _studies()
    made = Study.objects.count() - before
    audit.record(audit.PORTAL, SEEDED, "demo", key="demo", detail={"studies": made})
    return made


def _archive_of_today() -> None:
    """The archive runs on the port of this run, which may not be that of the last."""
    here = {"ae_title": archive.AE_TITLE, "host": "127.0.0.1", "port": settings.PACS_PORT}
    known = Destination.objects.filter(ae_title=archive.AE_TITLE)
    if not known.exists():  # it takes objects, and answers no questions
        Destination.objects.create(name="PACS", offered=True, proof=Destination.Proof.NONE, **here)
    for ours in known.filter(host=here["host"]).exclude(port=here["port"]):
        Destination.objects.filter(pk=ours.pk).update(**here)
        versions.keep(ours, by=None, why="The port of this run.")


def _people() -> None:
    groups = roles.install()
    for name, (given, family, _, member_of) in ACCOUNTS.items():
        user, made = User.objects.get_or_create(username=name, defaults={"first_name": given, "last_name": family})
        if made:
            user.is_superuser = name == "admin"
            user.is_staff = name in ("admin", "manager", "auditor")
            user.set_password(password(name))
            user.save(update_fields=["is_superuser", "is_staff", "password"])
        user.groups.set(groups[group] for group in member_of)


def _policies() -> None:
    sources = {row["name"]: Source.objects.get_or_create(name=row["name"], defaults=row)[0] for row in SOURCES}
    for source, (name, *known) in ORGANISATIONS.items():
        columns = dict(zip(("kind", "contact", "mail", "phone"), known, strict=True))
        organisation, _ = Organisation.objects.get_or_create(name=name, defaults=columns)
        Source.objects.filter(name=source, organisation=None).update(organisation=organisation)
    for code, meaning, modality in PROCEDURES:
        Procedure.objects.get_or_create(code=code, defaults={"meaning": meaning, "modality": modality})
    for priority, asked, code in PROCEDURE_MAP:
        line = {"priority": priority, "procedure": Procedure.objects.get(code=code), **asked}
        ProcedureRule.objects.get_or_create(**line)
    for issuer, local in ((HOSPITAL, True), ("GENERAL HOSPITAL", False)):
        AssigningAuthority.objects.get_or_create(namespace_id=issuer, defaults={"local": local, "trusted": True})
    for code, sentence in REASONS.items():
        Reason.objects.get_or_create(code=code, defaults={"sentence": sentence})
    consent.install()
    AccessionSequence.objects.get_or_create(prefix="IMP", defaults={"digits": 8, "issuer": HOSPITAL})
    clinic = sources["City Clinic"]
    for name, priority, columns in [
        ("Teleradiology", 10, {"source": clinic, "intent": Intent.REFERENCE, "period": "P90D"}),
        ("Read here", 20, {"intent": Intent.READ, "period": "P10Y"}),
        ("Outside studies", 100, {"period": "P1Y"}),
    ]:
        RetentionRule.objects.get_or_create(name=name, defaults={"priority": priority, **columns})
    # An example of a scope: whoever joins this group sees one source, and releases it to one place.
    night, _ = Group.objects.get_or_create(name="Night shift, City Clinic only")
    pacs = Destination.objects.get(ae_title=archive.AE_TITLE)
    for power, to in [(Power.VIEW, None), (Power.RECONCILE, None), (Power.RELEASE, pacs)]:
        Grant.objects.get_or_create(group=night, power=power, source=clinic, destination=to)
    versions.adopt(why="Part of the demo.")


# --- our patients and orders -----------------------------------------------------------------------------------------


class Ours(NamedTuple):
    """A patient whom the hospital knows, with what was ordered: description, modality, body part."""

    number: str
    name: str
    born: date
    sex: str
    outside_id: str = ""  # as General Hospital calls them, from an earlier visit
    ordered: tuple[str, str, str] | None = None


PATIENTS = [
    Ours("100231", "Lindqvist^Karin", date(1957, 5, 12), "F", "GH-48213", ("CT chest", "CT", "CHEST")),
    Ours("100248", "Hartmann^Lena", date(1984, 11, 2), "F", "", ("MRI abdomen", "MR", "ABDOMEN")),
    Ours("100249", "Hartmann^Lea", date(1984, 11, 2), "F", "", ("MRI abdomen", "MR", "ABDOMEN")),
    Ours("100305", "Baptiste^Noémie", date(1990, 7, 21), "F"),
    Ours("100317", "Björnström^Åsa", date(1972, 3, 11), "F", "", ("CT chest", "CT", "CHEST")),
    Ours("100342", "Novak^Daniela", date(1964, 2, 17), "F", "", ("MRI knee", "MR", "KNEE")),
    Ours("100366", "Dubois^Étienne", date(1949, 1, 30), "M"),
    Ours("100371", "Wójcik^Tomasz", date(1978, 8, 8), "M", "GH-51007", ("MRI abdomen", "MR", "ABDOMEN")),
    Ours("100402", "Haddad^Amina", date(1966, 12, 5), "F", "GH-39950", ("CT spine", "CT", "SPINE")),
    Ours("100418", "Okafor^Grace", date(2001, 4, 14), "F", "", ("CT chest", "CT", "CHEST")),
    Ours("100437", "Romano^Pietro", date(1955, 6, 19), "M", "", ("MRI knee", "MR", "KNEE")),
    Ours("100438", "Romano^Lucia", date(1958, 9, 3), "F"),
    Ours("100455", "Solberg^Henrik", date(1943, 10, 26), "M"),
]


def _patients() -> None:
    for n, ours in enumerate(PATIENTS):
        if Patient.objects.filter(identifiers__value=ours.number, identifiers__issuer=HOSPITAL).exists():
            continue
        patient = Patient.objects.create(name=ours.name, birth_date=ours.born, sex=ours.sex)
        patient.identifiers.create(value=ours.number, issuer=HOSPITAL, primary=True)
        if ours.outside_id:
            patient.identifiers.create(value=ours.outside_id, issuer="GENERAL HOSPITAL")
        if ours.ordered:
            _order(patient, f"A26-{4100 + n}", *ours.ordered)


def _order(patient: Patient, number: str, description: str, modality: str, body_part: str) -> None:
    Order.objects.create(
        patient=patient,
        accession_number=number,
        accession_issuer=HOSPITAL,
        description=description,
        modality=modality,
        body_part=body_part,
        scheduled_at=timezone.now() + timedelta(days=2),
        referring_physician="Sandoval^Irene",
    )


def _patient(number: str) -> Patient:
    return Patient.objects.get(identifiers__value=number, identifiers__issuer=HOSPITAL)


# --- what comes from outside -----------------------------------------------------------------------------------------


class Outside(NamedTuple):
    """A study as another hospital wrote it: which real image, how many of it, and whom it is said to show."""

    key: str
    file: str
    images: int
    name: str
    number: str
    born: str
    sex: str
    description: str
    body_part: str
    age: int = 3  # days since the images were taken
    more: dict = {}  # further attributes, by keyword


class Handed(NamedTuple):
    """What one sender handed over, so many hours ago."""

    source: str
    hours: float
    studies: list[Outside]
    note: str = ""
    label: str = ""
    spoilt: bool = False  # the disc also holds a file that is cut off, and one that is no image


CHEST, ABDOMEN, KNEE = "CT_small.dcm", "examples_overlay.dcm", "MR_small.dcm"
KIDNEY, HEART, BONES = "examples_rgb_color.dcm", "examples_ybr_color.dcm", "JPEG2000.dcm"
HEAD, SKULL = "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"
BURNED = {"BurnedInAnnotation": "YES"}  # it is: the scanner has written its hospital into the pixels

HANDED = [
    Handed("General Hospital", 47, [
        Outside("delivered", CHEST, 6, "HADDAD^AMINA", "GH-39950", "19661205", "F", "CT LUMBAR SPINE", "SPINE", 9),
    ]),
    Handed("City Clinic", 44, [
        Outside("rejected", BONES, 1, "SOLBERG^HENRIK", "C0 7718", "19431026", "M", "Bone scan", "SKELETON", 40),
    ]),
    Handed("General Hospital", 30, [
        Outside("cleared", ABDOMEN, 3, "WOJCIK^TOMASZ", "GH-51007", "19780808", "M", "MRI LIVER", "ABDOMEN", 6),
    ]),
    Handed("City Clinic", 27, [
        Outside("mapped", HEART, 1, "Dubois^Etienne", "C0 6120", "19490130", "M", "Echocardiogram", "HEART", 5),
    ]),
    Handed(DISCS, 25, [
        Outside("unreadable", CHEST, 3, "OKAFOR^GRACE", "77120", "20010414", "F", "CT Thorax", "CHEST", 12),
    ], "Patient says that the disc stuck in her own computer.", "OKAFOR G, CT THORAX", spoilt=True),
    Handed("General Hospital", 22, [
        Outside("conflict", KNEE, 3, "NOVAK^DANIEL", "GH-52231", "19640217", "M", "MR KNEE LEFT", "KNEE", 4),
    ]),
    Handed("City Clinic", 19, [
        Outside("deidentified", HEAD, 1, "TRIAL-0042", "TRIAL-0042", "", "", "CT head", "HEAD", 60,
                {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "Basic profile"}),
    ]),
    Handed(DISCS, 7, [
        Outside("disc, his", KNEE, 2, "ROMANO^PIETRO", "PR550619", "19550619", "M", "Knee right", "KNEE", 33),
        Outside("disc, hers", KIDNEY, 1, "ROMANO^LUCIA", "LR580903", "19580903", "F", "Kidneys", "KIDNEY", 31, BURNED),
    ], "Mr Romano brought one disc for himself; his wife's images are on it too.", "ROMANO"),
    Handed("City Clinic", 5, [
        Outside("no order", SKULL, 1, "Baptiste^Noémie", "C0 8834", "19900721", "F", "CT head plain", "HEAD", 2),
    ]),
    Handed("General Hospital", 3.5, [
        Outside("transposed", CHEST, 4, "BJORNSTROM^ASA", "GH-60418", "19721103", "F", "CT THORAX", "CHEST", 1),
    ]),
    Handed("City Clinic", 2, [
        Outside("unknown", KIDNEY, 1, "Vasquez^Ignacio", "C0 9015", "19810406", "M", "Kidneys", "KIDNEY", 1, BURNED),
    ]),
    Handed("General Hospital", 1.2, [
        Outside("twins", ABDOMEN, 2, "HARTMANN^L", "GH-60733", "19841102", "F", "MRI ABDOMEN", "ABDOMEN", 1),
    ]),
    Handed("General Hospital", 0.4, [
        Outside("clear match", CHEST, 6, "LINDQVIST^KARIN", "GH-48213", "19570512", "F", "CT CHEST", "CHEST", 1),
    ]),
]  # fmt: skip


def study_uid(key: str) -> str:
    """The Study Instance UID of one of the demo's studies, the same in every demo (PS3.5 B.2)."""
    return _uid(key, "study")


def study(key: str) -> Study:
    """One of the demo's studies as it is now."""
    return Study.objects.select_related("source", "submission", "order").get(study_instance_uid=study_uid(key), part=0)


def _uid(*names) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(['imgshare demo', *map(str, names)])).int}"


def _studies() -> None:
    for handed in HANDED:
        keys = [outside.key for outside in handed.studies]
        if Study.objects.filter(study_instance_uid__in=map(study_uid, keys)).exists():
            continue
        _hand_in(handed)
        for key in keys:
            intake.settle(study(key))
        for key in keys:
            matching.propose(study(key))
            _received(study(key), hours=handed.hours)
            for step in WALKS.get(key, []):
                step(study(key))


def _hand_in(handed: Handed) -> None:
    """Through the door that the source uses: a disc is read, everything else has come by C-STORE."""
    source = Source.objects.get(name=handed.source)
    if source.ae_title is None:
        _read_disc(handed)
        return
    origin = Origin(
        door=Door.DIMSE,
        source=str(source.pk),
        calling_title=source.ae_title,
        called_title=settings.AE_TITLE,
        address="127.0.0.1",
    )
    with stores.spool().open(origin) as submission:
        for ds in _objects(handed):
            with submission.part() as part:
                part.write(file_of(ds))
                part.commit()
    intake.index(submission.key)


def _read_disc(handed: Handed) -> None:
    with tempfile.TemporaryDirectory() as disc:
        for n, ds in enumerate(_objects(handed), start=1):
            Path(disc, f"IMG{n:05}.DCM").write_bytes(file_of(ds))
        if handed.spoilt:
            whole = Path(disc, "IMG00001.DCM").read_bytes()
            Path(disc, "IMG00099.DCM").write_bytes(whole[: len(whole) // 2])
            Path(disc, "README.TXT").write_text("Put this disc into your computer and wait.\n")
        words = {"note": handed.note, "label": handed.label, "user": "desk"}
        try:
            call_command("importmedia", disc, source=handed.source, stdout=io.StringIO(), **words)
        except CommandError:  # it says so, and means the file that is cut off
            if not handed.spoilt:
                raise


def _objects(handed: Handed) -> list[Dataset]:
    made_at = "Lakeside Imaging" if handed.source == DISCS else handed.source
    return [_object(outside, n, made_at) for outside in handed.studies for n in range(1, outside.images + 1)]


def file_of(ds: Dataset) -> bytes:
    """An object as a DICOM file (PS3.10)."""
    ds.save_as(buffer := io.BytesIO(), enforce_file_format=True)
    return buffer.getvalue()


# What the real images still say of where they were made; it does not fit the identity they get here.
LEFT_OUT = (
    "InstitutionAddress", "InstitutionalDepartmentName", "PatientAddress", "PatientAge", "PatientWeight",
    "OtherPatientIDs", "OtherPatientIDsSequence", "OperatorsName", "NameOfPhysiciansReadingStudy", "ImageComments",
    "AdditionalPatientHistory", "RequestedProcedureDescription", "RequestingService", "TimezoneOffsetFromUTC",
)  # fmt: skip


def _object(outside: Outside, n: int, made_at: str) -> Dataset:
    """The `n`th image of a study: a copy of the real one under the outside identity, with UIDs of its own."""
    ds = dcmread(get_testdata_file(outside.file))
    ds.decode()
    for keyword in LEFT_OUT:
        if keyword in ds:
            delattr(ds, keyword)
    taken = f"{timezone.localdate() - timedelta(days=outside.age):%Y%m%d}"
    for keyword in ("SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate"):
        if keyword in ds:
            setattr(ds, keyword, taken)
    for keyword, value in (_identity(outside, n, taken) | {"InstitutionName": made_at} | outside.more).items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def _identity(outside: Outside, n: int, taken: str) -> dict:
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPInstanceUID": _uid(outside.key, n),
        "SeriesInstanceUID": _uid(outside.key, "series"),
        "StudyInstanceUID": study_uid(outside.key),
        "FrameOfReferenceUID": _uid(outside.key, "frame"),
        "InstanceNumber": str(n),
        "PatientName": outside.name,
        "PatientID": outside.number,
        "PatientBirthDate": outside.born,
        "PatientSex": outside.sex,
        "StudyDate": taken,
        "StudyTime": "101500",
        "StudyID": outside.number[-4:],
        "AccessionNumber": f"X{outside.number[-4:]}{outside.age:02}",
        "StudyDescription": outside.description,
        "SeriesDescription": outside.description,
        "BodyPartExamined": outside.body_part,
        "ReferringPhysicianName": "Aldous^Petra",
    }


def _received(one: Study, *, hours: float) -> None:
    """Spread the times of arrival over two days, so that the queue looks alive; the ledger keeps the true ones."""
    at = timezone.now() - timedelta(hours=hours)
    Study.objects.filter(pk=one.pk).update(received_at=at, queued_at=at, last_arrival_at=at)
    Submission.objects.filter(pk=one.submission_id).update(received_at=at, closed_at=at)


# --- how far the demo's people take them -----------------------------------------------------------------------------


def _user(name: str) -> User:
    return User.objects.get(username=name)


def _map_to_order(number: str) -> Callable[[Study], None]:
    return lambda one: mapping.apply(
        one, by=_user("desk"), intent=Intent.REFERENCE, order=_patient(number).orders.get(), patient=_patient(number)
    )


def _map_to_new_order(number: str) -> Callable[[Study], None]:
    """Under the procedure that the map says."""

    def walk(one: Study) -> None:
        order = ordering.generate(one, _patient(number), by=_user("desk"))
        mapping.apply(one, by=_user("desk"), intent=Intent.READ, order=order)

    return walk


def _clear(given_by: str, evidence: str) -> Callable[[Study], None]:
    consent = clearance.Given(basis="patient", given_by=given_by, evidence=evidence)
    return lambda one: clearance.clear(one, consent=consent, by=_user("desk"))


def _release(one: Study) -> None:
    release.release(one, to=[Destination.objects.get(ae_title=archive.AE_TITLE)], by=_user("releaser"))


def _reject(one: Study) -> None:
    reason = Reason.objects.get(code="not-requested")
    release.reject(one, reason=reason, by=_user("releaser"), comment="Orthopaedics was asked by telephone.")


WALKS: dict[str, list[Callable[[Study], None]]] = {
    "rejected": [_reject],
    "mapped": [_map_to_new_order("100366")],
    "cleared": [_map_to_order("100371"), _clear("Tomasz Wójcik", "Form 12, signed at the front desk")],
    "delivered": [_map_to_order("100402"), _clear("Amina Haddad", "Form 12, sent with the referral"), _release],
}
