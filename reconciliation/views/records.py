"""Lists to look things up in: submissions, arrivals that could not be read, and the ledger."""

import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from policies import audit, authority, deeds, reading
from policies.models import LedgerHead, Power, User
from reconciliation import queue
from reconciliation.views import searches

# What may name a patient, and what stands for it in an address.
TOKENS = {"study": "number", "words": "search"}
FILTERS = ("verb", "actor", "subject", "study", "from", "to", "address", "words")
MOST_STUDIES = 100  # that one number may mean


@require_GET
def submissions(request: HttpRequest) -> HttpResponse:
    rows = queue.submissions(request.user).prefetch_related(queue.begun_with(request.user))
    page = queue.page(rows, cursor=request.GET.get("after", ""))
    return render(request, "reconciliation/submissions.html", {"page": page})


@require_GET
def unreadable(request: HttpRequest) -> HttpResponse:
    page = queue.page(queue.unreadable(request.user), cursor=request.GET.get("after", ""), by="at")
    return render(request, "reconciliation/unreadable.html", {"page": page})


@require_GET
def ledger(request: HttpRequest) -> HttpResponse:
    """Every deed, newest first; pages by the number of the line."""
    filters = chosen(request)
    audit.looked(request.user, "ledger", key="ledger", verb="read ledger")
    before = request.GET.get("before", "")
    page = reading.page(asked(filters), before=int(before) if before.isascii() and before.isdigit() else 0)
    address = request.GET.copy()
    address["before"] = page.next
    context = {
        "page": page,
        "filters": filters,
        "verbs": sorted(reading.verbs(), key=deeds.words),
        "next": address.urlencode() if page.next else "",
        "query": request.GET.urlencode(),
    }
    return render(request, "reconciliation/ledger.html", context)


@require_POST
def search(request: HttpRequest) -> HttpResponse:
    """Numbers and words come by POST and stay in the session, so that no patient gets into an address."""
    authority.require(request.user, Power.AUDIT)
    kept = {name: value for name in FILTERS if name not in TOKENS and (value := request.POST.get(name, "").strip())}
    for name, token in TOKENS.items():
        if said := searches.remember(request, request.POST.get(name, "")):
            kept[token] = said
    return redirect(f"{reverse('ledger')}?{urlencode(kept)}")


def chosen(request: HttpRequest) -> dict[str, str]:
    """The filters of this address, with the words that its tokens stand for."""
    said = {name: searches.recall(request, token)[0] for name, token in TOKENS.items()}
    return allowed(request.user, {**request.GET.dict(), **{name: words for name, words in said.items() if words}})


@require_http_methods(["GET", "POST"])
def export(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    """The lines under the same filters as a file. The reason may name somebody: it comes by POST."""
    return as_file(chosen(request), kind, by=request.user, reason=request.POST.get("reason", "").strip())


def as_file(filters: dict[str, str], kind: str, *, by: User, reason: str) -> StreamingHttpResponse:
    name, pieces = reading.export(asked(filters), kind, by=by, filters=filters, reason=reason)
    response = StreamingHttpResponse(pieces, content_type=reading.EXPORTS[kind])
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """One stretch of the chain is checked; the part that answers asks for the next one by itself."""
    authority.require(request.user, Power.AUDIT)
    after = request.POST.get("after", "")
    walked = step(request.user, int(after) if after.isascii() and after.isdigit() else 0)
    head = LedgerHead.objects.filter(pk=1).first()
    template = "_ledger_checked.html" if request.htmx else "ledger_checked.html"
    return render(request, f"reconciliation/{template}", {"walked": walked, "last": head.line if head else 0})


def step(by: User, after: int) -> audit.Walked:
    """Check the next stretch; when it is the last one, what was found is a line of the ledger."""
    walked = audit.walk(after)
    if walked.done:
        audit.found(by, walked.problem, line=walked.line)
    return walked


def allowed(user: User, given: Mapping[str, str]) -> dict[str, str]:
    """The filters that are set, for who may read the ledger."""
    authority.require(user, Power.AUDIT)
    return {name: value for name in FILTERS if (value := str(given.get(name, "")).strip())}


def asked(filters: Mapping[str, str]) -> reading.Asked:
    same = {name: filters.get(name, "") for name in ("verb", "actor", "subject", "address", "words")}
    days = {"begin": reading.day(filters.get("from", "")), "end": reading.day(filters.get("to", ""))}
    return reading.Asked(**same, **days, studies=_studies(filters["study"]) if "study" in filters else None)


def _studies(number: str) -> tuple[str, ...]:
    """The keys of the studies that a key, a UID, an accession number or a patient ID, theirs or ours, means."""
    try:
        return (str(uuid.UUID(number)),)
    except ValueError:
        pass
    return tuple(str(study.pk) for study in queue.numbered(number)[:MOST_STUDIES])
