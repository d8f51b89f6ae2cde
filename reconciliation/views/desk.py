"""The steps that people take on a study: each POST reads its form, calls one verb, and says what came of it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from policies.models import Destination, Power
from reconciliation import (
    approvals,
    category,
    clearance,
    delivery,
    intake,
    mapping,
    matching,
    ordering,
    permission,
    prefixing,
    queue,
    release,
)
from reconciliation.forms import Again, Choice, Clearance, Generation, Rejection, Release, read, version
from reconciliation.models import Delivery, Mapping, Study
from reconciliation.templatetags.shown import day, person
from reconciliation.views import consent
from reconciliation.views.study import after


def _seen(request: HttpRequest, key) -> Study:
    """The study as the person saw it: a verb refuses when it has another version by now."""
    study = queue.get(request.user, key)
    study.version = version(request)
    return study


@require_POST
def settle(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    intake.settle(study, by=request.user)
    matching.propose(study, news=False)
    messages.success(request, "Held. Objects that still come are added, and the study says so.")
    return after(request, study, "settle")


@require_POST
def categorise(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    category.assign(study, request.POST.get("category", ""), by=request.user)
    messages.success(request, f"The category is now: {study.get_category_display()}.")
    return after(request, study, "categorise")


@require_POST
def map_(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    form = Choice(request.POST)
    said = read(form)
    what = {"intent": said["intent"], "shown": said["shown"], "uids": form.uids(), **said["choice"]}
    mapped = mapping.apply(study, by=request.user, **what)
    messages.success(request, f"Mapped to {_named(mapped)}.")
    return after(request, study, "map")


def _named(mapped: Mapping) -> str:
    """Patient and order of a mapping, to be read before going on."""
    patient, order = mapped.patient, mapped.order
    born = f" ({day(patient.birth_date)})" if patient.birth_date else ""
    which = f": {order.description} {order.accession_number}".rstrip() if order else ", without an order"
    return f"{person(patient.name)}{born}{which}"


@require_POST
def unmap(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    mapping.unmap(study, by=request.user, reason=request.POST.get("reason", "").strip())
    matching.propose(study, news=False)
    messages.success(request, "The mapping is undone. The study is held again.")
    return after(request, study, "unmap")


@require_POST
def prefix(request: HttpRequest, key) -> HttpResponse:
    """The record under which a study that is read for others is imported; it is then the chosen candidate."""
    study = queue.get(request.user, key)
    patient = prefixing.patient(study, by=request.user)
    messages.success(request, "Chosen. Say what the study is for, then map.")
    return after(request, study, "prefix", choice=f"patient:{patient.pk}")


@require_POST
def map_again(request: HttpRequest, key) -> HttpResponse:
    """The same order and purpose for the record that the patient's was merged into."""
    study = _seen(request, key)
    mapped = mapping.again(study, by=request.user)
    messages.success(request, f"Mapped again to {_named(mapped)}.")
    return after(request, study, "map")


@require_POST
def clear(request: HttpRequest, key) -> HttpResponse:
    study, form = _seen(request, key), Clearance(request.POST, request.FILES)
    said = read(form)
    clearance.clear(
        study,
        consent=consent.typed(request, study, form),
        by=request.user,
        rule=said["rule"],
        rule_reason=said["rule_reason"],
        overrides=form.overrides(),
    )
    another = permission.why_not(request.user, Power.RELEASE, study)
    next_step = "It waits for a releasing officer." if another else "It can be released."
    messages.success(request, f"Cleared. {next_step}{_sooner(study, said)}")
    return after(request, study, "clear")


def _sooner(study: Study, said: dict) -> str:
    """Say that the consent ends sooner than was typed."""
    ends = study.consent.until
    return "" if said["again"] or ends == said["until"] else f" By its rule the consent ends on {day(ends)}."


@require_POST
def release_(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    to = list(read(Release(request.POST))["to"])
    if approvals.request(study, to=to, by=request.user):
        messages.success(request, "Asked for. A second person must approve it; the study is free for them.")
        return after(request, study, "ask")
    messages.success(request, _released(to))
    return after(request, study, "release")


def _released(to: list[Destination]) -> str:
    waiting = f"{len(to)} {'delivery' if len(to) == 1 else 'deliveries'} waiting"
    return f"Released to {', '.join(map(str, to))}. {waiting}."


@require_POST
def approve(request: HttpRequest, key) -> HttpResponse:
    """The second person's yes: what the first one asked for is released."""
    study = _seen(request, key)
    deliveries = approvals.approve(study, by=request.user)
    messages.success(request, _released([one.destination for one in deliveries]))
    return after(request, study, "release")


@require_POST
def decline(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    approvals.decline(study, by=request.user, reason=request.POST.get("reason", ""))
    messages.success(request, "Declined. The study stays cleared, and the ledger says why.")
    return after(request, study, "decline")


@require_POST
def withdraw(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    approvals.withdraw(study, by=request.user)
    messages.success(request, "Withdrawn. The study can be released, or asked for again.")
    return after(request, study, "withdraw")


@require_POST
def reject(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    said = read(Rejection(request.POST))
    release.reject(study, reason=said["reason"], by=request.user, comment=said["comment"])
    messages.success(request, "Rejected. The objects stay until retention says otherwise.")
    return after(request, study, "reject")


@require_POST
def reinstate(request: HttpRequest, key) -> HttpResponse:
    study = _seen(request, key)
    release.reinstate(study, by=request.user, comment=request.POST.get("comment", "").strip())
    matching.propose(study, news=False)
    messages.success(request, "The rejection is taken back. The study is held again.")
    return after(request, study, "reinstate")


@require_POST
def retry(request: HttpRequest, key) -> HttpResponse:
    """Send one delivery of this study again."""
    study = queue.get(request.user, key)
    one = get_object_or_404(
        Delivery.objects.filter(study=study).select_related("study__source", "destination"),
        pk=read(Again(request.POST))["delivery"],
    )
    delivery.retry(one, by=request.user)
    messages.success(request, f"{one.destination} is tried again now.")
    return after(request, study, "retry")


@require_POST
def generate(request: HttpRequest, key) -> HttpResponse:
    """A reconciliation order for a chosen patient; it is then the chosen candidate, and nothing is mapped yet."""
    study = queue.get(request.user, key)
    order = ordering.generate(study, by=request.user, **read(Generation(request.POST)))
    if order.awaits_number:
        told = (
            f"Order {order.placer_order_number} placed and chosen. It can be mapped when its accession number is here."
        )
    else:
        told = f"Order {order.accession_number} generated and chosen. Say what the study is for, then map."
    messages.success(request, told)
    return after(request, study, "generate", choice=f"order:{order.pk}")
