"""Rejection notes: each destination that got a study is told what is over, by a note or by a person (IHE IOCM, RAD-66).

A note is written while the rows of the study are still there, says everything itself, and goes the way of a delivery.
The row is the queue; telling twice does no harm, for the note has one SOP Instance UID for ever.
"""

import logging
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from policies import audit, bell, clock
from policies.models import Power, User
from policies.problems import Conflict, Invalid
from policies.rules.coercion import Action
from reconciliation import amending, mapping, permission, renaming
from reconciliation import delivery as sending
from reconciliation.dicom import rejection, scu
from reconciliation.dicom.rejection import HEADER, Note, Reference
from reconciliation.models import Delivery, Instance, RejectionNote, Study

log = logging.getLogger(__name__)
State = RejectionNote.State
ALREADY_THERE = 0x0111
ONLY_BY_HAND = "does not understand rejection notes: tell it by hand."
# What dcm4chee answers to a note that it understood and does not follow: kept by a rule of its own.
KEEPS_IT = {
    0xA775: "It takes no note that retention is over.",
    0xA776: "By its own rule the study is still to be kept there.",
}


# --- written ---------------------------------------------------------------------------------------------------------


def write(study: Study, *, title: str, said: str) -> list[RejectionNote]:
    """One note for each delivery that arrived, in the transaction of the caller; those who take none wait for a person.

    The objects are named by the UIDs under which they were released.
    """
    arrived = study.deliveries.filter(state=Delivery.State.DELIVERED).select_related("destination", "mapping")
    made = [_written(one, study, title=title, said=said) for one in arrived.order_by("destination__name", "pk")]
    for note in made:
        if note.state == State.WAITING:
            bell.ring("reconciliation.tasks.tell", note.pk)
    return made


def _written(delivery: Delivery, study: Study, *, title: str, said: str) -> RejectionNote:
    now, renamed, to = timezone.now(), renaming.of(delivery.mapping), delivery.destination
    return RejectionNote.objects.create(
        delivery=delivery,
        title=title,
        study_instance_uid=renamed.uid(study.study_instance_uid),
        header=_header(study, delivery),
        references=_references(study, renamed),
        said=said,
        made_at=now,
        due_at=now,
        state=State.WAITING if to.takes_rejection_notes else State.BY_HAND,
        problem="" if to.takes_rejection_notes else f"{to} {ONLY_BY_HAND}",
    )


def _header(study: Study, delivery: Delivery) -> dict[str, str]:
    """As received, with the changes of the mapping that it was released under."""
    columns = {
        "PatientName": "patient_name",
        "PatientID": "patient_id",
        "IssuerOfPatientID": "issuer_of_patient_id",
        "PatientBirthDate": "patient_birth_date",
        "PatientSex": "patient_sex",
        "StudyDate": "study_date",
        "StudyTime": "study_time",
        "StudyID": "study_id",
        "StudyDescription": "study_description",
        "AccessionNumber": "accession_number",
        "ReferringPhysicianName": "referring_physician_name",
    }
    found = {keyword: getattr(study, columns[keyword]) for keyword in HEADER}
    for change in mapping.changes(delivery.mapping):
        if change.path in found:
            found[change.path] = change.new if change.action == Action.SET and isinstance(change.new, str) else ""
    return found


def _references(study: Study, renamed: renaming.Renaming) -> list[Reference]:
    rows = Instance.objects.filter(series__study=study).select_related("series").order_by("series_id", "pk")
    return [
        Reference(renamed.uid(one.series.series_instance_uid), one.sop_class_uid, uid, one.rows)
        for one in rows
        if (uid := renamed.goes_as(one))
    ]


# --- told ------------------------------------------------------------------------------------------------------------


def due() -> list[RejectionNote]:
    """Notes that nobody is at work on and whose time has come, the oldest first."""
    return list(RejectionNote.objects.filter(_free()).order_by("due_at")[:100])


def _free() -> Q:
    waits = Q(state__in=[State.WAITING, State.TELLING], due_at__lte=Now(), delivery__destination__active=True)
    return clock.unleased() & waits


def claim(key) -> RejectionNote | None:
    """Take a note for this worker by compare-and-set; None when it is not due or another worker has it."""
    seen = RejectionNote.objects.filter(pk=key).values_list("attempts", flat=True).first()
    free = RejectionNote.objects.filter(_free(), pk=key).values("pk")
    taken = {"state": State.TELLING, "lease_until": clock.later(settings.DELIVERY_LEASE_SECONDS)}
    if not RejectionNote.objects.filter(pk__in=free, attempts=seen).update(attempts=F("attempts") + 1, **taken):
        return None
    return _related(RejectionNote.objects.all()).get(pk=key)


def _related(rows: QuerySet[RejectionNote]) -> QuerySet[RejectionNote]:
    return rows.select_related("delivery__destination", "delivery__study__source", "told_by")


def tell(key) -> None:
    """Send one note, and keep what the destination said."""
    note = claim(key)
    if note is None:
        return
    try:
        _tell(note)
    except scu.Refused as problem:
        _refuse(note, str(problem))
    except (scu.Unreachable, OSError) as problem:
        _postpone(note, str(problem))
    except Exception:
        log.exception("Rejection note %s failed", note.pk)
        _postpone(note, "The portal could not send this note; its log says why. It will try again.")


def _tell(note: RejectionNote) -> None:
    heard: list[scu.Outcome] = []
    sending.over_its_protocol(note.delivery.destination, [_outgoing(note)], told=heard.append)
    outcome = heard[0]
    if outcome.accepted or outcome.status == ALREADY_THERE:
        with transaction.atomic():
            if _close(note, state=State.TOLD, told_at=timezone.now(), problem=""):
                audit.record(audit.PORTAL, "tell archive", note.delivery.study, detail=_about(note))
    elif outcome.final or outcome.status in KEEPS_IT:
        _refuse(note, KEEPS_IT.get(outcome.status) or outcome.sentence)
    else:
        _postpone(note, outcome.sentence)


def _outgoing(note: RejectionNote) -> scu.Outgoing:
    """The bytes are all in memory: what stands for the original is empty."""
    return scu.Outgoing(
        key=str(note.pk),
        SOPClassUID=str(rejection.CLASS),
        SOPInstanceUID=_uid(note),
        TransferSyntaxUID=str(rejection.SYNTAX),
        original=Path(os.devnull),
        made=partial(rejection.make, document(note)),
    )


def document(note: RejectionNote) -> Note:
    """What is sent, as it is and stays."""
    return Note(
        title=note.title,
        StudyInstanceUID=note.study_instance_uid,
        SeriesInstanceUID=renaming.new_uid("series of note", str(note.pk)),
        SOPInstanceUID=_uid(note),
        header=note.header,
        references=[Reference(*one) for one in note.references],
        at=timezone.localtime(note.made_at),
        said=note.said,
        Manufacturer=amending.MANUFACTURER,
        InstitutionName=settings.INSTITUTION_NAME,
    )


def _uid(note: RejectionNote) -> str:
    return renaming.new_uid("note", str(note.pk))


def _close(note: RejectionNote, **columns) -> int:
    """End this attempt, unless another worker has the note by now."""
    mine = RejectionNote.objects.filter(pk=note.pk, attempts=note.attempts, state=State.TELLING)
    return mine.update(lease_until=None, **columns)


def _refuse(note: RejectionNote, problem: str) -> None:
    with transaction.atomic():
        if _close(note, state=State.REFUSED, problem=problem):
            audit.record(audit.PORTAL, "archive refuses note", note.delivery.study, reason=problem, detail=_about(note))


def _postpone(note: RejectionNote, problem: str) -> None:
    _close(note, state=State.WAITING, due_at=sending.next_attempt(note.attempts), problem=problem)


def _about(note: RejectionNote) -> dict:
    return {"destination": str(note.delivery.destination), "note": str(note.pk), "title": rejection.TITLES[note.title]}


# --- what a person does ----------------------------------------------------------------------------------------------


def of_study(study: Study) -> list[RejectionNote]:
    """All that was and is to be told of a study."""
    return list(_related(RejectionNote.objects.filter(delivery__study=study)))


def untold(user: User) -> QuerySet[RejectionNote]:
    """What is not told yet, of studies whose deletion this person may approve."""
    rows = RejectionNote.objects.exclude(state__in=[State.TOLD, State.TOLD_BY_HAND])
    mine = permission.within(user, Power.DELETE).values("pk")
    return _related(rows.filter(delivery__study__in=mine)).order_by("made_at", "pk")


def acted_on(notes: Iterable[RejectionNote]) -> list[tuple[RejectionNote, str]]:
    """Each with the reason why it cannot be sent now, or ""."""
    return [(one, why_not_again(one)) for one in notes]


def why_waiting(note: RejectionNote) -> str:
    """Say why a note waits that nothing is wrong with, or ""."""
    if note.state != State.WAITING or note.delivery.destination.active:
        return ""
    return f"{note.delivery.destination} is switched off: a manager can switch it on, or somebody tells it by hand."


def why_not_again(note: RejectionNote) -> str:
    """Say why this cannot be sent (again) now, or ""."""
    if not note.is_open:
        return f"This is {note.get_state_display().lower()}."
    to = note.delivery.destination
    if not to.takes_rejection_notes:
        return f"{to} {ONLY_BY_HAND}"
    if not note.references:
        return "What was delivered is not known in detail any more: tell it by hand."
    return why_waiting(note)


def again(note: RejectionNote, *, by: User) -> None:
    """Send it now: one that was refused, that waits, or whose destination understands notes by now."""
    permission.require(by, Power.DELETE, note.delivery.study)
    if barred := why_not_again(note):
        raise Conflict(barred)
    with transaction.atomic():
        columns = {"state": State.WAITING, "due_at": timezone.now(), "lease_until": None, "problem": ""}
        _act(note, by, "tell archive again", **columns)
        bell.ring("reconciliation.tasks.tell", note.pk)


def told_by_hand(note: RejectionNote, *, how: str, by: User) -> None:
    """Record that a person told the destination, whom there, and how."""
    permission.require(by, Power.DELETE, note.delivery.study)
    if not how.strip():
        raise Invalid("Say whom you told there, and how: a name and a call, a letter or a ticket.")
    with transaction.atomic():
        said = {"told_at": timezone.now(), "told_by": by, "told_how": how.strip()}
        _act(note, by, "tell archive by hand", reason=how.strip(), state=State.TOLD_BY_HAND, problem="", **said)


def _act(note: RejectionNote, by: User, verb: str, *, reason: str = "", **columns) -> None:
    if not RejectionNote.objects.filter(pk=note.pk, state__in=RejectionNote.OPEN).update(**columns):
        now = RejectionNote.objects.get(pk=note.pk)
        raise Conflict(f"This is {now.get_state_display().lower()} by now.")
    audit.record(by, verb, note.delivery.study, reason=reason, detail=_about(note))
    note.refresh_from_db()
