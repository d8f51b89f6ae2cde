"""Emergency access: the form that opens a study, and the list in which each access is reviewed."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from policies import authority
from policies.models import Power
from reconciliation import emergency, queue


@require_http_methods(["GET", "POST"])
def enter(request: HttpRequest) -> HttpResponse:
    """Open a study by its exact number: a patient's may open several, and then each is named."""
    authority.require(request.user, Power.EMERGENCY)
    if request.method == "POST":
        said = request.POST
        opened = emergency.enter(said.get("words", ""), reason=said.get("reason", ""), by=request.user)
        if len(opened) == 1:
            return redirect("study", opened[0].study_id)
    return render(request, "reconciliation/emergency.html", {"opened": emergency.open_now(request.user)})


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """Every access, newest first, for those who read the ledger."""
    authority.require(request.user, Power.AUDIT)
    rows = emergency.accesses()
    if request.GET.get("open"):
        rows = rows.filter(reviewed_at=None)
    page = queue.page(rows, cursor=request.GET.get("after", ""), by="opened_at")
    listed = [(one, emergency.why_not_review(one, request.user)) for one in page.rows]
    context = {"page": page, "accesses": listed, "unreviewed": emergency.unreviewed()}
    return render(request, "reconciliation/emergencies.html", context)


@require_POST
def review(request: HttpRequest, key) -> HttpResponse:
    authority.require(request.user, Power.AUDIT)
    access = get_object_or_404(emergency.accesses(), pk=key)
    emergency.review(access, by=request.user, comment=request.POST.get("comment", ""))
    messages.success(request, "Reviewed.")
    return redirect("emergencies")
