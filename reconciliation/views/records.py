"""Lists to look things up in: submissions, arrivals that could not be read, and the ledger."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from policies import authority
from policies.models import LedgerLine, Power
from reconciliation import queue, workflow

LINES = 50  # of the ledger on one page
VERBS = (
    *workflow.MOVES,
    "receive",
    "generate",
    "take over",
    "delivery sent",
    "commitment asked",
    "commitment reported",
    "delivery counted",
    "lost objects",
    "delivery refused",
    "retry delivery",
)


@require_GET
def submissions(request: HttpRequest) -> HttpResponse:
    rows = queue.submissions(request.user).prefetch_related("studies")
    page = queue.page(rows, cursor=request.GET.get("after", ""))
    return render(request, "reconciliation/submissions.html", {"page": page})


@require_GET
def unreadable(request: HttpRequest) -> HttpResponse:
    page = queue.page(queue.unreadable(request.user), cursor=request.GET.get("after", ""), by="at")
    return render(request, "reconciliation/unreadable.html", {"page": page})


@require_GET
def ledger(request: HttpRequest) -> HttpResponse:
    """Every deed, newest first; pages by the number of the line."""
    authority.require(request.user, Power.AUDIT)
    filters = {name: value for name in ("verb", "actor", "subject") if (value := request.GET.get(name, "").strip())}
    lines = _filtered(filters)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit():
        lines = lines.filter(pk__lt=int(before))
    found = list(lines[: LINES + 1])
    address = request.GET.copy()
    if len(found) > LINES:
        address["before"] = found[LINES - 1].pk
    context = {
        "lines": found[:LINES],
        "filters": filters,
        "verbs": sorted(VERBS),
        "next": address.urlencode() if len(found) > LINES else "",
    }
    return render(request, "reconciliation/ledger.html", context)


def _filtered(filters: dict[str, str]):
    lines = LedgerLine.objects.order_by("-id")
    if verb := filters.get("verb"):
        lines = lines.filter(verb=verb)
    if actor := filters.get("actor"):
        lines = lines.filter(actor__icontains=actor)
    if subject := filters.get("subject"):
        lines = lines.filter(subject_key=subject)
    return lines
