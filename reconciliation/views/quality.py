"""Pages of record quality: how often each rule found something, and the letters to senders."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from policies.problems import Invalid
from reconciliation import defects, queue


@require_GET
def numbers(request: HttpRequest) -> HttpResponse:
    context = {
        "table": defects.table(request.user, days=period(request.GET.get("days", ""))),
        "periods": defects.PERIODS,
        "states": defects.EVERY_STATE,
    }
    return render(request, "reconciliation/quality.html", context)


def period(text: str) -> int:
    if not text:
        return defects.PERIODS[0]
    if text not in map(str, defects.PERIODS):
        raise Invalid(f"Choose one of these numbers of days: {', '.join(map(str, defects.PERIODS))}.")
    return int(text)


@require_GET
def letters(request: HttpRequest, key) -> HttpResponse:
    """What the sender was told, or is to be told, to be printed or copied."""
    study = queue.look(request.user, key)
    found = study.letters.select_related("made_by")
    return render(request, "reconciliation/letters.html", {"study": study, "letters": found})
