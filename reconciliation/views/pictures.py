"""Pictures of held objects, for recognising a study; never for a diagnosis."""

import threading
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from reconciliation import keeping, queue, stores
from reconciliation.dicom.render import render as render_picture
from reconciliation.models import Instance, Series, Study

WIDTHS = (160, 480, 1024)  # pixels; a few only, so that the cache stays small
PATIENCE = 20  # seconds until an object that will not render is given up
DECODING = threading.BoundedSemaphore(2)  # children at once: each may take memory of a gigabyte and more
SHOWN = 6  # series with a picture on the study page


class Picture(NamedTuple):
    """The middle image of a series; `instance` is None when nothing in it can be shown."""

    series: Series
    instance: Instance | None
    frame: int


@require_GET
def picture(request: HttpRequest, key) -> HttpResponse:
    """One frame as JPEG, or a drawn sentence that says why there is none."""
    one = get_object_or_404(Instance.objects.select_related("series"), pk=key)
    study = queue.look(request.user, one.series.study_id)
    frame = min(_number(request, "frame"), max(one.frames - 1, 0))
    width = next((width for width in WIDTHS if width >= _number(request, "width")), WIDTHS[-1])
    if width == WIDTHS[-1]:  # small ones are loaded with the study page, which has its own word for it
        keeping.viewed(study)
    target = settings.CACHE_DIR / "pictures" / one.digest[:2] / f"{one.digest}-{frame}-{width}.jpg"
    problem = "" if target.is_file() else _make(one, target, frame=frame, width=width)
    if problem:
        response = render(request, "reconciliation/picture.svg", {"problem": problem}, content_type="image/svg+xml")
    else:
        response = FileResponse(target.open("rb"), content_type="image/jpeg")
    response["Cache-Control"] = "private, no-store"
    return response


def _number(request: HttpRequest, name: str) -> int:
    given = request.GET.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0


def _make(one: Instance, target: Path, *, frame: int, width: int) -> str:
    """Decode once, whoever asks meanwhile: a refusal is kept beside the pictures like a picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    refusal = target.with_suffix(".txt")
    with DECODING:
        if target.is_file():
            return ""
        if refusal.is_file():
            return refusal.read_text()
        why = render_picture(stores.vault().path(one.digest), target, frame=frame, width=width, timeout=PATIENCE)
        if why:
            refusal.write_text(why)
        return why


def of_study(study: Study) -> list[Picture]:
    """The middle image of each of the first series; the rest of the series without one."""
    series = list(study.series.all())
    objects: dict[int, list[Instance]] = {}
    for one in _showable(series[:SHOWN]):
        objects.setdefault(one.series_id, []).append(one)
    return [_middle(one, objects.get(one.pk, [])) for one in series]


def _showable(series: list[Series]) -> QuerySet[Instance]:
    return Instance.objects.filter(series__in=series, rows__gt=0).only("pk", "series_id", "instance_number", "frames")


def _middle(series: Series, objects: list[Instance]) -> Picture:
    objects.sort(key=lambda one: (int(one.instance_number) if one.instance_number.isdigit() else 0, str(one.pk)))
    middle = objects[len(objects) // 2] if objects else None
    return Picture(series, middle, middle.frames // 2 if middle else 0)
