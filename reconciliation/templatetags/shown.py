"""DICOM values as people read them: names, days, ages, sizes. A value that cannot be read is shown as it came."""

from datetime import date, datetime
from textwrap import wrap

from django import template
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from orders import outbound
from orders.models import Notice
from policies import authority, deeds
from policies.models.consent import Purpose
from policies.rules.values import as_date
from reconciliation import emergency, lease

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86400
DOORS = {
    "dimse": "DICOM",
    "stow": "STOW-RS",
    "upload": "upload",
    "media": "disc",
    "watch": "folder",
}


@register.inclusion_tag("_icon.html")
def icon(name: str) -> dict:
    """A drawing beside a word that says the same; never instead of it."""
    return {"name": name}


@register.filter
def words(code: str) -> str:
    """The code of a rule as a word: "burned_in" as "Burned in"."""
    return code.replace("_", " ").replace("-", " ").capitalize()


@register.filter
def beside(values: list, names: list) -> list[tuple]:
    """Each value after its name."""
    return list(zip(names, values, strict=True))


@register.filter
def told(notice: Notice) -> str:
    return outbound.standing(notice)


@register.filter
def silent(notice: Notice) -> bool:
    return outbound.is_silent(notice)


@register.filter
def repeatable(notice: Notice) -> bool:
    """Whether staff are offered to send it again: not what was accepted a moment ago, or was not sent at all."""
    waits = notice.state == Notice.State.ACCEPTED and not outbound.is_silent(notice)
    return notice.state in outbound.MAY_BE_REPEATED and bool(notice.attempts) and not waits


@register.filter
def person(name: str) -> str:
    """`Mueller^Anna=...` as "MUELLER, Anna (...)"; "" stays ""."""
    groups = [written for group in name.split("=") if (written := _group(group))]
    others = f" ({', '.join(groups[1:])})" if groups[1:] else ""
    return f"{groups[0]}{others}" if groups else ""


def _group(group: str) -> str:
    family, given, middle, _prefix, suffix = ([part.strip() for part in group.split("^")] + [""] * 5)[:5]
    return ", ".join(filter(None, (family.upper(), " ".join(filter(None, (given, middle))), suffix)))


@register.filter
def day(value: str | date | None) -> str:
    """A DA (`YYYYMMDD`) or a date in ISO 8601."""
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    found = as_date((value or "").strip())
    return f"{found:%Y-%m-%d}" if found else value or ""


@register.filter
def clock(value: str) -> str:
    """The hours and minutes of a TM."""
    return f"{value[:2]}:{value[2:4]}" if value[:4].isdigit() and len(value) >= 4 else value


@register.filter
def age(value: str | date | None) -> str:
    """Years since a birth date, in months below two years; "" when it is unknown or lies ahead."""
    born = value if isinstance(value, date) else as_date((value or "").strip())
    today = timezone.localdate()
    if not born or born > today:
        return ""
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    return gettext("%d months") % months if months < 24 else gettext("%d y") % (months // 12)


@register.filter
def since(at: datetime) -> str:
    """How long ago, in its largest unit: "5 min", "3 h", "2 d"."""
    seconds = max(0, int((timezone.now() - at).total_seconds()))
    if seconds < MINUTE:
        return gettext("now")
    for unit, size in (("min", MINUTE), ("h", HOUR), ("d", DAY)):
        if seconds < size * (60 if unit == "min" else 48) or unit == "d":
            return f"{seconds // size} {unit}"
    return ""


@register.filter
def door(value: str) -> str:
    return DOORS.get(value, value)


@register.filter
def deed(verb: str) -> str:
    return deeds.words(verb)


@register.filter
def joined(values: list[str]) -> str:
    return "/".join(values)


@register.filter
def uses(scope: list[str]) -> str:
    """What a consent may be used for, in words."""
    return ", ".join(str(label) for value, label in Purpose.choices if value in scope)


@register.filter
def counted(number: int, noun: str) -> str:
    """`3|counted:"object,objects"` is "3 objects"."""
    one, many = noun.split(",")
    return f"{number} {ngettext(one, many, number)}"


@register.filter
def percent(score: float | None) -> str:
    """Never 100 % and never 0 %: a score is not a certainty."""
    return "" if score is None else f"{min(99, max(1, round(score * 100)))} %"


@register.simple_tag
def unreviewed() -> str:
    """How many emergency accesses wait for a review, for the link to them."""
    return f" ({number})" if (number := emergency.unreviewed()) else ""


@register.filter
def may(user, power: str) -> bool:
    """Whether this person holds a power anywhere, for links that would else lead to a refusal."""
    return not authority.why_not(user, power)


@register.filter
def standing(findings, severity: str) -> int:
    """How many findings of a severity still stand."""
    return sum(one.severity == severity and one.overridden_by_id is None for one in findings)


@register.filter
def held_by(study):
    """Who has a study open, None when nobody has."""
    return lease.holder(study)


@register.filter
def points(distance: float) -> int:
    """A distance between two scores, in points of a hundred."""
    return round(distance * 100)


@register.filter
def wrapped(sentence: str) -> list[tuple[int, str]]:
    """Lines of a sentence that is drawn, each with its height."""
    return [(124 + 18 * n, line) for n, line in enumerate(wrap(sentence, 42)[:4])]
