"""Telling the order system of orders generated here: a notice is queued, sent with one control ID, and answered.

The row is the queue. What is not answered is sent again by itself, under the same MSH-10, so that the receiver knows
it; what is refused (AE) waits for a person. An order that the system is to number waits until its number is here.
"""

import logging
import random
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from orders.hl7 import mllp, ordering, read, write
from orders.models import Notice, Order, OrderSystem, Patient
from policies import audit, authority, bell, clock, reachable
from policies.models import Power, User
from policies.problems import Conflict, Denied
from policies.trials import Trial, timed

log = logging.getLogger(__name__)
State, Kind = Notice.State, Notice.Kind
A_MOMENT = 0.3  # seconds that an idle line is watched in a test
SHORTEST_PAUSE, LONGEST_PAUSE = 5, 600  # seconds between two attempts
UNSETTLED = (State.QUEUED, State.SENDING, State.ACCEPTED)
MAY_BE_REPEATED = (State.QUEUED, State.ACCEPTED, State.REFUSED)
REFUSED = dict.fromkeys([Kind.NEW, Kind.NUMBER], "Put right what is wrong and send it again, or cancel the order.")
REFUSED |= {Kind.CANCEL: "Ask there, or send it again."}
OVER = "The order is cancelled. Generate another one."
DONE = {
    State.ANSWERED: {
        Kind.NEW: "{to} gave it its accession number.",
        Kind.NUMBER: "{to} knows it by our number.",
        Kind.CANCEL: "{to} knows that it is cancelled.",
    },
    State.WITHDRAWN: dict.fromkeys(Kind, "{to} had not taken it when it was cancelled."),
}
GIVEN = ("accession_number", "requested_procedure_id", "scheduled_procedure_step_id", "filler_order_number")
UID = "study_instance_uid"


def system() -> OrderSystem | None:
    """The system that is told of new orders; None where nobody is."""
    return OrderSystem.objects.filter(active=True).exclude(pattern=OrderSystem.Pattern.LOCAL).first()


# --- the queue -------------------------------------------------------------------------------------------------------


def tell(order: Order, kind: str, to: OrderSystem, *, because: str = "") -> Notice:
    """Queue a notice, in the transaction of what it tells; it is sent after the commit."""
    control_id, now = write.control_id(), timezone.localtime()
    written = _written(order, kind, to, control_id=control_id, now=now, because=because)
    notice = Notice.objects.create(
        order=order,
        system=to,
        kind=kind,
        control_id=control_id,
        raw=written.raw,
        unwritable=written.unwritable[:200],
        due_at=now,
    )
    bell.ring("orders.tasks.send", notice.pk)
    return notice


def due() -> list:
    """Keys of the notices whose time has come, the oldest first."""
    return list(Notice.objects.filter(_free()).order_by("due_at").values_list("pk", flat=True)[:100])


def _free() -> Q:
    """Nobody is at work on it. A cancelled order is only told of as such, and after what is being said of it now."""
    before = Notice.objects.filter(order=OuterRef("order"), state=State.SENDING, lease_until__gt=Now())
    cancelled = Q(kind=Kind.CANCEL) & ~Exists(before.exclude(pk=OuterRef("pk")))
    wanted = cancelled | (~Q(kind=Kind.CANCEL) & ~Q(order__status=Order.Status.CANCELLED))
    return clock.unleased() & wanted & Q(state__in=[State.QUEUED, State.SENDING], due_at__lte=Now())


def claim(key) -> Notice | None:
    """Take a notice for this worker by compare-and-set; None when it is not due or another worker has it."""
    attempts = Notice.objects.filter(pk=key).values_list("attempts", flat=True).first()
    free = Notice.objects.filter(_free(), pk=key).values("pk")
    lease_until = clock.later(settings.NOTICE_LEASE_SECONDS)
    mine = Notice.objects.filter(pk__in=free, attempts=attempts)
    if not mine.update(state=State.SENDING, attempts=F("attempts") + 1, lease_until=lease_until):
        return None
    return Notice.objects.select_related("system", "order").get(pk=key)


def send(key) -> None:
    """Send a notice that is due, and act on what is answered."""
    notice = claim(key)
    if notice is None:
        return
    try:
        answer = ordering.answer(read.parse(_ask(notice)))
    except (mllp.Refused, mllp.NoAnswer, read.NotHL7, OSError) as problem:
        _postpone(notice, str(problem))
    except Exception:
        log.exception("Notice %s could not be sent", notice.pk)
        _postpone(notice, "The portal could not send this; its log says why.")
    else:
        _take(notice, answer)


def _ask(notice: Notice) -> bytes:
    with _line(notice.system) as line:
        return line.ask(bytes(notice.raw), timeout=settings.NOTICE_ANSWER_SECONDS)


def trial(to: OrderSystem) -> Trial:
    """Whether it takes a connection. It is told nothing: no message is sure to leave it unchanged."""
    if not to.host:
        return Trial(False, "It has no host: nobody is told of orders.")

    with _line(to) as line:
        over = " over TLS" if to.tls else ""
        found = timed(lambda: _why_closed(line), f"it takes a connection{over}. No message was sent.")
        if found.answers and not line.stays(A_MOMENT):
            return Trial(False, f"{line} takes a connection, and ends it at once. It may not let us in.")
    return found


def _why_closed(line: mllp.Connection) -> str:
    try:
        line.open()
    except (mllp.Refused, OSError) as problem:
        return str(problem)
    return ""


def _line(to: OrderSystem) -> mllp.Connection:
    tls = reachable.context() if to.tls else None
    return mllp.Connection(to.host, to.port, tls=tls, connect=reachable.connect)


def _close(notice: Notice, **columns) -> int:
    """End this attempt, unless somebody else has moved the notice meanwhile."""
    mine = Notice.objects.filter(pk=notice.pk, attempts=notice.attempts, state=notice.state)
    return mine.update(lease_until=None, **columns)


def _detail(notice: Notice) -> dict:
    return {"notice": str(notice.pk), "kind": notice.kind, "system": str(notice.system)}


def _postpone(notice: Notice, problem: str) -> None:
    """Try again later: 5 s, 10 s, 20 s ... at most ten minutes, a little at random."""
    pause = min(SHORTEST_PAUSE * 2 ** (notice.attempts - 1), LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311
    _close(notice, state=State.QUEUED, due_at=timezone.now() + timedelta(seconds=pause), problem=problem)


# --- what comes back -------------------------------------------------------------------------------------------------


def late(message: read.Message) -> bool:
    """An acknowledgement that came by itself, to the notice that its MSA-2 names; False when it is to none of ours."""
    answer = ordering.answer(message)
    asked = Notice.objects.select_related("system", "order").filter(state__in=UNSETTLED)
    notice = asked.filter(control_id=answer.control_id).first()
    if notice is not None:
        _take(notice, answer)
    return notice is not None


def heard(order: Order, *, by: str, control: str = "", words: str = "") -> None:
    """A message `by` somebody has changed an order that was generated here: call it in the same transaction.

    Its number may be there now; or the order system cannot accept it (`control` UA, UC ...), or has cancelled it.
    """
    if order.origin != Order.Origin.GENERATED:
        return
    if order.is_open and order.notices.filter(kind=Kind.CANCEL).exclude(state=State.REFUSED).exists():
        order.status = Order.Status.CANCELLED  # what crossed our cancellation does not open it again
        order.save(update_fields=["status", "changed_at"])
    if control == "UC":
        _refuse_all(order, [Kind.CANCEL], words or "It cannot be cancelled there.", by)
    elif control in ordering.UNABLE or (order.awaits_number and not order.is_open):
        _refuse_all(order, [Kind.NEW, Kind.NUMBER], words or "The order system has cancelled the order.", by)
    elif order.accession_number:
        _number(order, by)


def _number(order: Order, by: str) -> None:
    if order.awaits_number:
        order.awaits_number = False
        order.save(update_fields=["awaits_number", *GIVEN[1:3], "changed_at"])
        audit.record(by, "number order", order, detail={"accession_number": order.accession_number})
    _answer_all(order, Kind.NEW)
    if order.placer_order_number:
        _answer_all(order, Kind.NUMBER)


def _answer_all(order: Order, kind: str) -> None:
    waiting = Notice.objects.filter(order=order, kind=kind).exclude(state__in=[State.ANSWERED, State.WITHDRAWN])
    waiting.update(state=State.ANSWERED, answered_at=timezone.now(), lease_until=None, problem="")


def _refuse_all(order: Order, kinds: list[str], words: str, by: str) -> None:
    told = Notice.objects.filter(order=order, kind__in=kinds).exclude(state__in=[State.WITHDRAWN, State.ANSWERED])
    if told.update(state=State.REFUSED, lease_until=None, problem=words):
        audit.record(by, "order refused", order, reason=words)


def _take(notice: Notice, answer: ordering.Answer) -> None:
    if answer.verdict == ordering.REFUSED:
        _refuse(notice, answer.words or "No reason was given.")
    elif answer.verdict == ordering.LATER:
        _postpone(notice, f"{notice.system} cannot take it now. {answer.words}".strip())
    else:
        _accept(notice, answer)


def _refuse(notice: Notice, words: str, **columns) -> None:
    """Stop until a person acts."""
    with transaction.atomic():
        if _close(notice, state=State.REFUSED, problem=words, **columns):
            audit.record(audit.PORTAL, "order refused", notice.order, reason=words, detail=_detail(notice))


def _accept(notice: Notice, answer: ordering.Answer) -> None:
    now = timezone.now()
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=notice.order_id)
        said = _about(order, notice.kind, answer)
        if said and (problem := _fill(order, notice.kind, said)):
            _refuse(notice, problem, sent_at=now)
            return
        awaited = notice.kind == Kind.NEW and order.awaits_number and not order.accession_number
        state, answered_at = (State.ACCEPTED, None) if awaited else (State.ANSWERED, now)
        if _close(notice, state=state, sent_at=now, answered_at=answered_at, problem=""):
            audit.record(audit.PORTAL, "order accepted", order, detail=_detail(notice))
        heard(order, by=str(notice.system))


def _about(order: Order, kind: str, answer: ordering.Answer) -> ordering.Numbers | None:
    """What an answer says of this very order."""
    ours = "filler_order_number" if kind == Kind.NUMBER else "placer_order_number"
    for said in answer.orders:
        if getattr(said, ours) in ("", getattr(order, ours)) and kind != Kind.CANCEL:
            return said
    return None


def _fill(order: Order, kind: str, said: ordering.Numbers) -> str:
    """Take the numbers of an answer where we have none: messages that come later rule. "" or why they cannot stand."""
    names = ["placer_order_number"] if kind == Kind.NUMBER else [*GIVEN, "accession_issuer"]
    new = {name: value for name in names if (value := getattr(said, name)) and not getattr(order, name)}
    if kind == Kind.NEW and order.awaits_number and said.study_instance_uid:
        new[UID] = said.study_instance_uid
    for name, value in new.items():
        try:
            Order._meta.get_field(name).clean(value, order)
        except ValidationError as problem:
            return f"It was answered with {value!r} as {name.replace('_', ' ')}. {' '.join(problem.messages)}"
        setattr(order, name, value)
    try:
        with transaction.atomic():
            order.save(update_fields=[*{*new, *GIVEN[1:3]}, "changed_at"])
    except IntegrityError:
        return f"It was answered with the accession number {said.accession_number}, which is another order's here."
    return ""


# --- for people ------------------------------------------------------------------------------------------------------


def standing(notice: Notice) -> str:
    """How far a notice has come, in a sentence that staff can act on."""
    to, since = notice.system, f"{timezone.localtime(notice.sent_at or notice.created_at):%H:%M}"
    if notice.state in DONE:
        return DONE[notice.state][notice.kind].format(to=to)
    if notice.state == State.REFUSED:
        over = notice.kind != Kind.CANCEL and not notice.order.is_open
        advice = OVER if over else REFUSED[notice.kind]
        return f"{to} refuses it: {_ended(notice.problem)} {advice}"
    if notice.state == State.ACCEPTED:
        silent = "nothing came back since. Ask there, or send it again"
        return f"{to} accepted it at {since}; {silent if is_silent(notice) else 'its accession number is awaited'}."
    if not notice.problem:
        return f"{to} is told of it, since {since}."
    tried = "once" if notice.attempts == 1 else f"{notice.attempts} times"
    begins = f"Nothing came back since {since}" if is_silent(notice) else f"{to} has not taken it yet"
    return f"{begins}. {_ended(notice.problem)} Tried {tried}, again at {timezone.localtime(notice.due_at):%H:%M}."


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def is_silent(notice: Notice) -> bool:
    """Whether its system has let more time pass than a manager has patience for."""
    over = timezone.now() - timedelta(seconds=notice.system.patience)
    return notice.state in UNSETTLED and (notice.sent_at or notice.created_at) < over


def why_waiting(order: Order) -> str:
    """Say why no study can be mapped to this order yet, or ""."""
    if not order.awaits_number:
        return ""
    notice = order.notices.select_related("system").filter(kind=Kind.NEW).first()
    return f"This order has no accession number yet. {standing(notice) if notice else ''}".strip()


def why_not_retry(notice: Notice, by: User, *, about: dict | None = None) -> Denied | Conflict | None:
    """The refusal that `by` would meet, or None."""
    if barred := authority.why_not(by, Power.ORDER, **about or {}):
        return Denied(barred)
    if notice.kind != Kind.CANCEL and not notice.order.is_open:
        return Conflict("The order is cancelled: there is nothing to tell of it again.")
    if notice.state not in MAY_BE_REPEATED:
        return Conflict(f"This notice cannot be sent again: {notice.get_state_display().lower()}.")
    return None


def retry(notice: Notice, *, by: User, about: dict | None = None) -> None:
    """Send it again now. Where order, patient or system say something else by now, it is another message (MSH-10)."""
    if refusal := why_not_retry(notice, by, about=about):
        raise refusal
    corrected = _corrected(notice)
    with transaction.atomic():
        if not _close(notice, state=State.QUEUED, due_at=timezone.now(), problem="", **corrected):
            raise Conflict("This notice has moved on meanwhile. Look at it again.")
        detail = {"notice": str(notice.pk), "corrected": bool(corrected)}
        audit.record(by, "tell again", notice.order, detail=detail)
        bell.ring("orders.tasks.send", notice.pk)


def _corrected(notice: Notice) -> dict:
    """The columns of the message as it would be written today, {} when it would be the same."""
    said = read.parse(bytes(notice.raw))
    about = {"because": said.first("ORC").component(16, 2)}
    of_then = {"control_id": notice.control_id, "now": said.time}
    if _written(notice.order, notice.kind, notice.system, **of_then, **about).raw == bytes(notice.raw):
        return {}
    of_now = {"control_id": write.control_id(), "now": timezone.localtime()}
    written = _written(notice.order, notice.kind, notice.system, **of_now, **about)
    return {"raw": written.raw, "unwritable": written.unwritable[:200], "control_id": of_now["control_id"]}


def withdraw(order: Order, *, because: str) -> None:
    """Take back what was told of an order, in the transaction that cancels it: unsent, or by a cancellation."""
    for notice in order.notices.select_related("system").exclude(kind=Kind.CANCEL):
        was_heard = notice.sent_at or (notice.attempts and notice.state != State.REFUSED)
        Notice.objects.filter(pk=notice.pk, state=State.QUEUED).update(state=State.WITHDRAWN, lease_until=None)
        if was_heard:
            tell(order, Kind.CANCEL, notice.system, because=because)


# --- the message -----------------------------------------------------------------------------------------------------


def _written(
    order: Order, kind: str, to: OrderSystem, *, control_id: str, now: datetime, because: str = ""
) -> ordering.Written:
    ours = write.Site(settings.AE_TITLE, settings.INSTITUTION_NAME)
    theirs = write.Site(to.receiving_application, to.receiving_facility)
    envelope = ordering.Envelope(control_id, ours, theirs, now, to.form, to.character_set)
    return ordering.message(_told(order, kind, to, because), _patient(order.patient), envelope)


def _told(order: Order, kind: str, to: OrderSystem, because: str) -> ordering.Order:
    """A number goes with the name of the application that gave it, where that is ours."""
    numbered = kind == Kind.NUMBER or order.notices.filter(kind=Kind.NUMBER).exists()
    placer, filler = ("", settings.AE_TITLE) if numbered else (settings.AE_TITLE, "")
    control = {Kind.NEW: "NW", Kind.NUMBER: "SN", Kind.CANCEL: "OC" if numbered else "CA"}[kind]
    return ordering.Order(
        control=control,
        code=order.procedure_code,
        scheme=order.procedure_scheme,
        description=order.description,
        scheduled_at=timezone.localtime(order.scheduled_at or order.created_at),
        placer_order_number=(order.placer_order_number, order.placer_issuer or placer),
        filler_order_number=(order.filler_order_number, order.filler_issuer or filler),
        accession_number=(order.accession_number, order.accession_issuer),
        requested_procedure_id=order.requested_procedure_id,
        scheduled_procedure_step_id=order.scheduled_procedure_step_id,
        study_instance_uid=order.study_instance_uid,
        modality=order.modality,
        reason=order.reason,
        cancelled_because=because,
        ordering_provider=to.ordering_provider,
        referring_physician=order.referring_physician,
        admission_id=order.admission_id,
    )


def _patient(patient: Patient) -> ordering.Patient:
    mine = patient.identifier()
    return ordering.Patient(
        name=patient.name,
        identifier=mine.value if mine else "",
        issuer=mine.issuer if mine else "",
        universal_id=mine.universal_id if mine else "",
        universal_id_type=mine.universal_id_type if mine else "",
        birth_date=patient.birth_date,
        sex=patient.sex,
    )
