"""The page of what is over: to approve its deletion, to take that back; legal holds and another rule for one study."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from policies import authority
from policies.models import Power
from policies.problems import Invalid
from reconciliation import expiry, forms, keeping, queue, rejection_notes
from reconciliation.models import Deletion, RejectionNote
from reconciliation.views.study import after

SHOWN = 50  # studies that are due on one page
ENDED = 25  # decisions that are over


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """What is due, the longest first; what is approved, held, and over."""
    authority.require(request.user, Power.DELETE)
    rows = expiry.may_be_due(request.user)
    approved = list(expiry.approved(request.user))
    found = {
        "items": list(expiry.due(rows[:SHOWN])),
        "count": rows.count(),
        "shown": SHOWN,
        "today": timezone.localdate(),
        "approved": [one for one in approved if not one.waits],
        "waiting": [(one, expiry.why_not_agree(one, request.user)) for one in approved if one.waits],
        "ended": expiry.ended(request.user)[:ENDED],
        "notes": rejection_notes.acted_on(rejection_notes.untold(request.user)[:SHOWN]),
        "unread": queue.age_of_unreadable(request.user),
        "holds": keeping.live_holds(request.user),
    }
    return render(request, "reconciliation/expiry.html", found)


@require_POST
def approve(request: HttpRequest) -> HttpResponse:
    """Approve those that were ticked. What cannot be approved any more is named, and does not stop the others."""
    authority.require(request.user, Power.DELETE)
    said = forms.read(forms.Approval(request.POST))
    if not said["study"]:
        raise Invalid("Tick the studies whose deletion you approve.")
    rows = expiry.may_be_due(request.user).filter(pk__in=said["study"])
    made, refused = expiry.approve_all(list(rows), reason=said["reason"], by=request.user)
    if made:
        messages.success(request, f"Approved: {len(made)}. {_until(made)}")
    if waiting := sum(one.waits for one in made):
        messages.success(
            request, f"Of these, {waiting} wait for a second person. Nothing is deleted before they agree."
        )
    for why in dict.fromkeys(refused.values()):
        messages.warning(request, f"Not approved: {why}")
    return redirect("expiry")


@require_POST
def agree(request: HttpRequest) -> HttpResponse:
    """The second person's yes to those that were ticked."""
    authority.require(request.user, Power.DELETE)
    said = forms.read(forms.Agreement(request.POST))
    if not said["decision"]:
        raise Invalid("Tick the studies whose deletion you agree to.")
    rows = expiry.approved(request.user).filter(pk__in=said["decision"])
    made, refused = expiry.agree_all(list(rows), by=request.user)
    if made:
        messages.success(request, f"Agreed: {len(made)}. {_until(made)}")
    for why in dict.fromkeys(refused.values()):
        messages.warning(request, f"Not agreed: {why}")
    return redirect("expiry")


def _until(made: list[Deletion]) -> str:
    return f"They may be taken back until {timezone.localtime(made[0].not_before):%Y-%m-%d %H:%M}."


@require_POST
def take_back(request: HttpRequest, key) -> HttpResponse:
    authority.require(request.user, Power.DELETE)
    decision = get_object_or_404(expiry.approved(request.user), pk=key)
    expiry.take_back(decision, reason=request.POST.get("reason", "").strip(), by=request.user)
    messages.success(request, "Taken back. The study stays, and is on the list again.")
    return redirect("expiry")


@require_POST
def tell(request: HttpRequest, key) -> HttpResponse:
    """Send a rejection note (again) now."""
    note = _note(request, key)
    rejection_notes.again(note, by=request.user)
    messages.success(request, f"The note to {note.delivery.destination} is on its way.")
    return _back(request, note)


@require_POST
def told(request: HttpRequest, key) -> HttpResponse:
    """Record that a person told a destination."""
    note = _note(request, key)
    rejection_notes.told_by_hand(note, how=request.POST.get("how", "").strip(), by=request.user)
    messages.success(request, f"Written down: {note.delivery.destination} was told.")
    return _back(request, note)


def _note(request: HttpRequest, key) -> RejectionNote:
    authority.require(request.user, Power.DELETE)
    return get_object_or_404(rejection_notes.untold(request.user), pk=key)


def _back(request: HttpRequest, note: RejectionNote) -> HttpResponse:
    """To where the form was: the page of the study, or the list."""
    if request.POST.get("at") != "study":
        return redirect("expiry")
    return redirect(f"{reverse('study', args=[note.delivery.study_id])}?expiry")


@require_POST
def lift(request: HttpRequest, key) -> HttpResponse:
    authority.require(request.user, Power.DELETE)
    held = get_object_or_404(keeping.live_holds(request.user), pk=key)
    keeping.lift(held, reason=request.POST.get("reason", "").strip(), by=request.user)
    messages.success(request, "The hold is lifted.")
    return redirect("expiry")


@require_POST
def hold(request: HttpRequest, key) -> HttpResponse:
    """Freeze a study, or everything of its patient."""
    study = queue.get(request.user, key)
    said = forms.read(forms.Hold(request.POST))
    if said["whole_patient"] and study.local_patient is None:
        raise Invalid("This study has no patient of ours yet: hold the study itself.")
    what = {"patient": study.local_patient} if said["whole_patient"] else {"study": study}
    keeping.hold(**what, reason=said["reason"], by=request.user)
    messages.success(request, "On legal hold: nothing of it is deleted until the hold is lifted.")
    return after(request, study, "hold")


@require_POST
def keep(request: HttpRequest, key) -> HttpResponse:
    """Keep one study by another rule."""
    study = queue.get(request.user, key)
    study.version = forms.version(request)
    said = forms.read(forms.Rescue(request.POST))
    keeping.rescue(study, rule=said["rule"], reason=said["reason"], by=request.user)
    messages.success(request, f"Kept by the rule {said['rule'].name} from now on.")
    return after(request, study, "keep")
