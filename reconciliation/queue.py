"""Reading the queue: what a person may see, filtered by the address of the page, in pages that stay fast when deep."""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Min,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Now
from django.shortcuts import get_object_or_404

from orders.models import Patient
from policies import audit, authority
from policies.models import Power, Source, User
from policies.problems import Invalid
from policies.rules.matching import Class
from policies.rules.names import name_key
from reconciliation import lease, permission
from reconciliation.models import Approval, Deletion, Delivery, Finding, Study, Submission, Unreadable

PAGE = 25
CODE = re.compile(r"[A-Za-z0-9_-]{1,48}")
OPEN_STATES = [Study.State.RECEIVING, Study.State.HELD, Study.State.MAPPED, Study.State.CLEARED]
CLASSES = [*Class, "none"]
APART = Q(segregated=True, state__in=OPEN_STATES)


UNSENT = [Delivery.State.QUEUED, Delivery.State.SENDING, Delivery.State.SENT]
_on_its_way = Delivery.objects.filter(study=OuterRef("pk"))
TROUBLE = Case(
    When(~Q(state=Study.State.RELEASED), then=Value("")),
    When(Exists(_on_its_way.filter(state=Delivery.State.REFUSED)), then=Value("refused")),
    When(Exists(_on_its_way.filter(state=Delivery.State.QUEUED, attempts__gt=0)), then=Value("delayed")),
    When(Exists(_on_its_way.filter(state__in=UNSENT, destination__active=False)), then=Value("delayed")),
    When(Q(consent__withdrawn_at__isnull=False), then=Value("delayed")),
    default=Value(""),
)


ASKED = Exists(Approval.objects.filter(study=OuterRef("pk"), state="waiting", version=OuterRef("version")))
DOOMED = Exists(Deletion.objects.filter(study=OuterRef("pk"), state="approved", wants_second=True, seconded_by=None))
WAITS = ExpressionWrapper(Q(ASKED) | Q(DOOMED), output_field=BooleanField())


class Page(NamedTuple):
    rows: list
    next: str  # the cursor of the next page, "" when this is the last


def visible_to(user: User) -> QuerySet[Study]:
    """The studies that this person may view, those open in an emergency too. Every page and call starts from here."""
    return permission.visible(user)


def get(user: User, key) -> Study:
    """One visible study; `Http404` for what does not exist and for what one may not know of."""
    related = (
        "source",
        "submission",
        "local_patient",
        "order",
        "mapping",
        "consent__study__source",
        "consent__recorded_by",
        "consent__withdrawn_by",
        "retention",
        "lease_by",
        "released_by",
    )
    return get_object_or_404(visible_to(user).select_related(*related, "rejected_for", "follows"), pk=key)


def look(user: User, key) -> Study:
    """The same for who reads it, or a part of it: the ledger says so."""
    study = get(user, key)
    audit.looked(user, study)
    return study


def numbered(number: str) -> QuerySet[Study]:
    """Every study, whoever may see it, that has exactly this UID, accession number or patient ID, theirs or ours.

    Each kind of number is looked up by itself: with all of them in one condition no index would serve.
    """
    kinds = [
        Q(study_instance_uid=number) | Q(accession_number=number) | Q(patient_id=number),
        Q(order__accession_number=number),
        Q(local_patient__identifiers__value=number),
    ]
    theirs, *ours = [Study.objects.filter(kind).order_by().values("pk") for kind in kinds]
    return Study.objects.filter(pk__in=theirs.union(*ours))


def studies(user: User, filters: Mapping[str, str]) -> QuerySet[Study]:
    """The visible studies under the filters `state`, `source`, `modality`, `class`, `mine`, `late`, `new`, `second`,
    `q`, `finding` (the code of one), `segregated`. What is kept apart and open is not among the others of its state,
    unless it is looked for by words or by a finding.

    The newest come first, and on top of them what has a new candidate that nobody saw.
    Each row says with `trouble` what keeps it from arriving: "refused", "delayed" or "", and with `waits` whether its
    release or its deletion waits for a second person.
    """
    rows = visible_to(user).select_related("source", "lease_by", "order", "local_patient")
    rows = rows.annotate(trouble=TROUBLE, waits=WAITS)
    state = filters.get("state", "")
    if state == "open":
        rows = rows.filter(state__in=OPEN_STATES)
    elif state:
        rows = rows.filter(state__in=_known(state.split(","), Study.State.values, "state"))
    if filters.get("segregated"):
        rows = rows.filter(APART)
    elif state and not filters.get("q", "").strip() and not filters.get("finding"):
        rows = rows.exclude(APART)
    if code := filters.get("finding"):
        if not CODE.fullmatch(code):
            raise Invalid("This filter names no finding.")
        rows = rows.filter(Exists(Finding.objects.filter(study=OuterRef("pk"), code=code)))
    if source := filters.get("source"):
        rows = rows.filter(source=_key(source))
    if modality := filters.get("modality"):
        rows = rows.filter(modalities__icontains=f'"{modality}"')
    if klass := filters.get("class"):
        (klass,) = _known([klass], CLASSES, "class")
        rows = rows.filter(best_class="" if klass == "none" else klass)
    if filters.get("mine"):
        rows = rows.filter(lease_by=user, lease_until__gt=Now())
    if filters.get("new"):
        rows = rows.exclude(new_candidate_at=None)
    if filters.get("second"):
        rows = rows.filter(waits=True)
    if filters.get("late"):
        rows = rows.exclude(trouble="")
    if words := filters.get("q", "").strip():
        rows = rows.filter(_matches(words))
    return rows.order_by("-queued_at", "-id")


def _matches(words: str) -> Q:
    """An identifier, accession number or UID as it is, or words of the name and description in any order."""
    found = Q()
    for word in words.upper().replace("^", " ").replace(",", " ").split():
        found &= Q(search_key__contains=word) | Q(search_key__contains=name_key(word) or word)
    ours = Patient.objects.filter(identifiers__value=words)
    if key := name_key(words.replace(",", "^")):
        ours = ours | Patient.objects.filter(name_key__startswith=key)
    theirs = Q(patient_id=words) | Q(accession_number=words) | Q(study_instance_uid=words)
    return found | theirs | Q(order__accession_number=words) | Q(local_patient__in=ours.values("pk"))


def _known(given: list[str], values: list[str], what: str) -> list[str]:
    if unknown := [one for one in given if one not in values]:
        raise Invalid(f"There is no {what} '{unknown[0]}'. Known ones: {', '.join(values)}.")
    return given


def _key(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid("This filter names no source.") from None


def page(rows: QuerySet, *, cursor: str = "", by: str = "received_at", size: int = PAGE) -> Page:
    """One page of rows ordered by (-`by`, -id). `r <= x and not (r = x and id >= y)` keeps the index, OR does not."""
    if cursor:
        at, key = _decode(cursor)
        rows = rows.filter(**{f"{by}__lte": at}).exclude(**{by: at, "id__gte": key})
    found = list(rows[: size + 1])
    last = found[size - 1] if len(found) > size else None
    return Page(found[:size], _encode(getattr(last, by), last.pk) if last else "")


def _encode(at: datetime, key) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()} {key}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, key = text.split(" ")
        return datetime.fromisoformat(at).astimezone(UTC), str(uuid.UUID(key))
    except (ValueError, OverflowError, binascii.Error):
        raise Invalid("This page address is damaged. Start again from the first page.") from None


def counts(user: User) -> dict[str, int]:
    """How many visible studies are in each state, have a "new" candidate, or are kept apart as "segregated"."""
    rows = visible_to(user).order_by().values_list("state", "segregated")
    counted = dict.fromkeys([*Study.State.values, "new", "segregated"], 0)
    for state, segregated, count, new in rows.annotate(Count("pk"), Count("new_candidate_at")):
        apart = segregated and state in OPEN_STATES
        counted["segregated" if apart else state] += count
        counted["new"] += 0 if apart else new
    return counted


def sources(user: User) -> QuerySet[Source]:
    """The sources that this person may see, for the filter."""
    return Source.objects.filter(authority.scope(user, Power.VIEW).over("pk"))


def next_of(user: User, study: Study) -> Study | None:
    """The study to go on with: one with a new candidate, else the one that waits longest for the same step."""
    waiting = visible_to(user).filter(state=study.state, segregated=study.segregated).exclude(pk=study.pk)
    first = F("new_candidate_at").asc(nulls_last=True)
    return waiting.filter(lease.open_to(user)).order_by(first, "received_at", "id").first()


def submissions(user: User) -> QuerySet[Submission]:
    """Those of sources of which this person may view everything, and those that brought a study that they may view."""
    theirs = visible_to(user).filter(submission=OuterRef("pk"))
    rows = Submission.objects.filter(_of_whole_sources(user, "source") | Exists(theirs)).select_related("source")
    may_know = Count("unreadable", filter=_of_whole_sources(user, "source"))  # as `unreadable` lists them
    return rows.annotate(number_of_unreadable=may_know).order_by("-received_at", "-id")


def begun_with(user: User) -> Prefetch:
    """The visible studies of each submission: it may hold others too, of which this person may not know."""
    return Prefetch("studies", queryset=visible_to(user).order_by("received_at", "id"))


def unreadable(user: User) -> QuerySet[Unreadable]:
    """What could not be read says neither modality nor intent: it is for those who may view all of its source."""
    rows = Unreadable.objects.filter(_of_whole_sources(user, "submission__source"))
    return rows.select_related("submission__source").order_by("-at", "-id")


def age_of_unreadable(user: User) -> dict:
    """How many (`number`), how large (`bytes`), and since when (`oldest`)."""
    return unreadable(user).aggregate(number=Count("pk"), bytes=Sum("size"), oldest=Min("at"))


def _of_whole_sources(user: User, column: str) -> Q:
    return authority.scope(user, Power.VIEW, whole=True).over(column)


def deliveries(study: Study) -> list[Delivery]:
    """The deliveries of a study with how many objects each destination has accepted, committed, and shown again."""
    counts = {
        "accepted": Count("instances", filter=Q(instances__accepted=True)),
        "committed": Count("instances", filter=Q(instances__committed_at__isnull=False)),
        "counted": Count("instances", filter=Q(instances__counted_at__isnull=False)),
    }
    return list(
        study.deliveries.select_related("destination", "study__source", "study__consent", "mapping").annotate(**counts)
    )
