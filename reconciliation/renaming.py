"""Renaming: the UIDs under which a study goes out, where those that it came with cannot stay (IHE RAD-61).

One map for the whole study, applied at all depths, so that references hold. New UIDs follow from the old ones and the
portal's key: doing it again gives the same. Which of two contents under one SOP Instance UID goes out is decided here.
"""

import hmac
import uuid
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from itertools import chain

from django.conf import settings
from django.db.models import Count, TextChoices
from django.utils.translation import gettext_lazy as _

from policies.problems import Conflict, Invalid
from policies.rules.values import is_uid
from reconciliation import samples
from reconciliation.models import Instance, Mapping, Study

FRAMES = ("FrameOfReferenceUID", "SynchronizationFrameOfReferenceUID")
WELL_KNOWN = "1.2.840.10008."  # what the standard itself gives


class Doubled(TextChoices):
    """What goes out where two contents came under one SOP Instance UID."""

    FIRST = "first", _("What came first goes out; the other stays here")
    LAST = "last", _("What came last goes out; the other stays here")
    BOTH = "both", _("Both go out; what came later gets a new SOP Instance UID")


@dataclass(frozen=True)
class Choice:
    """`new_uids`: for those that are not valid; `doubled`: "" leaves the matter open."""

    new_uids: bool = False
    doubled: str = ""

    def __bool__(self) -> bool:
        return self.new_uids or bool(self.doubled)


@dataclass(frozen=True)
class Renaming:
    """`study`: the new UID of an old one, in every object. `objects`: of an object, by its key, where another one
    keeps the UID that both came with. `left_out`: keys of the objects that stay here."""

    study: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.study or self.objects or self.left_out)

    def to_json(self) -> dict:
        return asdict(self) if self else {}

    def uid(self, old: str) -> str:
        return self.study.get(old, old)

    def uids_in(self, one: Instance) -> dict[str, str]:
        """The new UIDs of old ones in this very object."""
        own = self.objects.get(str(one.pk))
        return self.study | {one.sop_instance_uid: own} if own else self.study

    def goes_as(self, one: Instance) -> str:
        """The SOP Instance UID under which an object goes out, "" when it stays here."""
        if str(one.pk) in self.left_out:
            return ""
        return self.objects.get(str(one.pk)) or self.uid(one.sop_instance_uid)


AS_RECEIVED, UNCHANGED = Choice(), Renaming()


def of(mapping: Mapping | None) -> Renaming:
    return Renaming(**mapping.uids) if mapping else UNCHANGED


def new_uid(*parts: str) -> str:
    """A UID by UUID (PS3.5 B.2) that follows from these texts and the portal's key."""
    digest = hmac.digest(settings.UID_KEY.encode(), "\0".join(parts).encode(), "sha256")
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def plan(study: Study, choice: Choice) -> Renaming:
    """What follows from a choice. Raises Invalid or Conflict where it cannot be made."""
    if choice.doubled and choice.doubled not in Doubled.values:
        raise Invalid("Say which of the contents goes out: what came first, what came last, or both.")
    made = Renaming(study={old: new_uid(old) for old in invalid(study)} if choice.new_uids else {})
    if choice.doubled:
        for uid, contents in doubled(study).items():
            _settle(made, uid, contents, study=study, choice=choice.doubled)
    if made.left_out and len(made.left_out) == study.number_of_instances:
        raise Invalid("Nothing of this study would go out. Reject it instead.")
    return made


def invalid(study: Study) -> list[str]:
    """The UIDs of this study, its series, objects and frames of reference that are none by PS3.5 9.1."""
    objects = Instance.objects.filter(series__study=study).values_list("sop_instance_uid", flat=True)
    series = study.series.values_list("series_instance_uid", flat=True)
    found = dict.fromkeys(chain([study.study_instance_uid], series, objects.order_by("pk"), _frames(study)))
    return [uid for uid in found if not is_uid(uid) and not uid.startswith(WELL_KNOWN)]


def _frames(study: Study) -> list[str]:
    """Frames of reference of the first object of each series: they are the same in all of a series."""
    said = [uid for one in samples.read(study, FRAMES) for uid in one.said.values()]
    return [uid for uid in said if isinstance(uid, str) and uid]


# --- two contents under one SOP Instance UID -------------------------------------------------------------------------


def doubled(study: Study) -> dict[str, list[Instance]]:
    """SOP Instance UIDs of this study that have other contents too, each with all that goes out under it, in the order
    of arrival: also that of other studies, but for rejected ones and for what their mapping has settled."""
    mine = Instance.objects.filter(series__study=study).values("sop_instance_uid")
    living = Instance.objects.exclude(series__study__state=Study.State.REJECTED).filter(sop_instance_uid__in=mine)
    several = living.order_by().values("sop_instance_uid").annotate(number=Count("pk")).filter(number__gt=1)
    rows = living.filter(sop_instance_uid__in=several.values("sop_instance_uid"))
    rows = rows.select_related("series__study__mapping", "series__study__source")
    found = defaultdict(list)
    for one in rows.order_by("nth", "submission__received_at", "pk"):
        if one.series.study_id == study.pk or _goes_as(one) == one.sop_instance_uid:
            found[one.sop_instance_uid].append(one)
    return {uid: contents for uid, contents in found.items() if len(contents) > 1}


def _goes_as(one: Instance) -> str:
    return of(one.series.study.mapping).goes_as(one)


def _settle(made: Renaming, uid: str, contents: list[Instance], *, study: Study, choice: str) -> None:
    mine = [one for one in contents if one.series.study_id == study.pk]
    theirs = [one for one in contents if one.series.study_id != study.pk]
    if choice != Doubled.BOTH:
        keeps = contents[0 if choice == Doubled.FIRST else -1]
        if choice == Doubled.LAST and keeps in mine and theirs:
            other = theirs[0].series.study
            state = other.get_state_display().lower()
            which = f"The other content belongs to another study here ({other}, {state})."
            raise Conflict(f"{which} Reject that one first, or let both go out.")
        made.left_out.extend(str(one.pk) for one in mine if one != keeps)
        return
    for n, one in enumerate(mine):
        if n:
            made.objects[str(one.pk)] = new_uid(uid, one.content_digest)
        elif theirs:
            made.study[uid] = new_uid(uid, one.content_digest)


def why_doubled(study: Study) -> str:
    """Say that two contents would go out under one SOP Instance UID: the archive keeps whichever comes last. Or ""."""
    settled = of(study.mapping)
    for uid, contents in doubled(study).items():
        theirs = any(one.series.study_id != study.pk for one in contents)
        mine = [settled.goes_as(one) for one in contents if one.series.study_id == study.pk]
        if mine.count(settled.uid(uid)) > 1 or (theirs and uid in mine):
            return "An object of this study is here with two contents. Map the study again and say which goes out."
    return ""
