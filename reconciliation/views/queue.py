"""The queue: what waits, filtered by the address of the page."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from policies import audit
from policies.rules.matching import Class
from reconciliation import queue
from reconciliation.models import Study
from reconciliation.views import searches

FILTERS = ("state", "late", "new", "segregated", "source", "modality", "class", "mine", "second", "finding")
# Tabs that ask for more than a state, by what they add to it.
NARROWER = {
    "late": {"state": "released", "late": "1"},
    "new": {"state": "held", "new": "1"},
    "segregated": {"state": "open", "segregated": "1"},
}
MODALITIES = ("CR", "CT", "DX", "MG", "MR", "NM", "OT", "PT", "RF", "SC", "SR", "US", "XA")
TABS = (
    ("open", _("All open")),
    ("held", _("Held")),
    ("new", _("New candidates")),
    ("mapped", _("Mapped")),
    ("cleared", _("Cleared")),
    ("released", _("Released")),
    ("late", _("Not arrived")),
    ("delivered", _("Delivered")),
    ("rejected", _("Rejected")),
    ("expired", _("Expired")),
    ("receiving", _("Receiving")),
    ("segregated", _("Quality")),
)
CLASSES = (
    (Class.STRONG.value, _("strong")),
    (Class.POSSIBLE.value, _("possible")),
    (Class.WEAK.value, _("weak")),
    (Class.CONFLICT.value, _("conflict")),
    ("none", _("no candidate")),
)


def filters(request: HttpRequest) -> dict[str, str]:
    """The filters of the address; without a state those that are still open."""
    given = {name: value for name in FILTERS if (value := request.GET.get(name, "").strip())}
    return {"state": "open", **given}


def tabs(request: HttpRequest, chosen: dict[str, str]) -> list[dict]:
    """The states with their counts and addresses, the other filters kept."""
    counts = queue.counts(request.user)
    counts["open"] = sum(counts[state] for state in queue.OPEN_STATES)
    counts["late"] = queue.studies(request.user, NARROWER["late"]).count()
    kept = {name: value for name, value in chosen.items() if name not in ("state", *NARROWER)}
    if "search" in request.GET:
        kept["search"] = request.GET["search"]
    return [
        {
            "name": name,
            "words": words,
            "count": counts[name],
            "address": "?" + urlencode(_asked(name) | kept),
            "here": name == _tab(chosen),
        }
        for name, words in TABS
    ]


def _tab(chosen: dict[str, str]) -> str:
    return next((name for name in NARROWER if name in chosen), chosen["state"])


def _asked(tab: str) -> dict[str, str]:
    return NARROWER.get(tab, {"state": tab})


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    chosen = filters(request)
    searches.remember_list(request)
    words, foreign = searches.recall(request)
    rows = queue.studies(request.user, {**chosen, "q": words})
    rows = rows.select_related("source", "lease_by", "submission").prefetch_related("findings")
    page = queue.page(rows, cursor=request.GET.get("after", ""), by="queued_at")
    given = request.GET.copy()
    given.pop("after", None)
    context = {
        "tabs": tabs(request, chosen),
        "chosen": chosen,
        "tab": _tab(chosen),
        "whole": urlencode(_asked(_tab(chosen))),
        "narrowed": bool(set(chosen) - {"state", *NARROWER} or words),
        "words": words,
        "foreign": foreign,
        "page": page,
        "paged": "after" in request.GET,
        "address": given.urlencode(),
        "since": page.rows[0].queued_at.isoformat() if page.rows else "",
        "sources": queue.sources(request.user),
        "modalities": MODALITIES,
        "classes": CLASSES,
    }
    return render(request, "reconciliation/queue.html", context)


@require_GET
def news(request: HttpRequest) -> HttpResponse:
    """The counts as they are now, and how many studies came, or got a candidate, after the newest row on the page."""
    chosen = filters(request)
    words, _foreign = searches.recall(request)
    rows = queue.studies(request.user, {**chosen, "q": words})
    if since := _since(request):
        rows = rows.filter(queued_at__gt=since)
    given = request.GET.copy()
    given.pop("since", None)
    context = {"tabs": tabs(request, chosen), "new": rows.count(), "address": given.urlencode()}
    return render(request, "reconciliation/_news.html", context)


def _since(request: HttpRequest) -> datetime | None:
    """The time of the newest row on the page; None when the page had none, or says no time."""
    try:
        since = parse_datetime(request.GET.get("since", "").replace(" ", "+"))
        return since and since.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@require_POST
def search(request: HttpRequest) -> HttpResponse:
    """Words come by POST and stay in the session, so that no name gets into an address."""
    words = request.POST.get("words", "").strip()
    if token := searches.remember(request, words):
        audit.looked(request.user, "studies", key=words[:64], verb="search studies")
    kept = {name: value for name in FILTERS if (value := request.POST.get(name, ""))}
    if token:
        kept["search"] = token
    return redirect(f"{reverse('queue')}?{urlencode(kept)}")


@require_GET
def next_study(request: HttpRequest) -> HttpResponse:
    """Go on with the study that waits longest in a state, `after` the one just left."""
    state = request.GET.get("state", "")
    left = Study(state=state if state in Study.State.values else Study.State.HELD)
    if found := queue.next_of(request.user, left):
        return redirect("study", found.pk)
    return redirect("queue")
