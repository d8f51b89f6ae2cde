"""Is it still you? What is most dangerous asks who signed in long ago to say once more who they are.

In the administration: who may do what, where images may go, who is who. At the desk: letting images out and deleting
them, where the settings ask for it. A form asks before it is shown. What was typed when the time is over is kept: the
person says who they are in another tab, and sends it again.
"""

import time
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from imgshare_site.sittings import BEGUN
from policies.problems import Denied

# Pages of these models in the administration that change something, by the label of the model.
GUARDED = {"policies.grant", "policies.secondperson", "policies.destination", "policies.user", "auth.group"}
GUARDED |= {"mfa.authenticator", "socialaccount.socialaccount", "usersessions.usersession"}
LOOKS = ("_changelist", "_history", "_autocomplete")  # what only shows, unless something is sent to it
# Pages of the administration that save such things by another way.
WAYS = {"auth_user_password_change", "policies_policydraft_step", "policies_policyversion_import"}
WAYS |= {f"{label.replace('.', '_')}_restore" for label in GUARDED}
STEPS = {"submit-draft", "approve-draft"}  # over REST: by them a draft of a grant is given
RELEASING = {"release", "approve", "approve-deletions", "agree-deletions"}  # at the desk and over REST
WORDS = "You signed in some time ago. This needs a fresh sign-in: say once more who you are."


class Again:
    """Asks where the last proof of who somebody is has grown too old. A token of a machine proves it each time."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view, args, kwargs) -> HttpResponse | None:
        seconds = _seconds(request, view)
        if not seconds or not request.user.is_authenticated or age(request) < seconds:
            return None
        if "api" in request.resolver_match.app_names:
            return JsonResponse({"problem": Denied.code, "detail": WORDS}, status=403)
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(ask(request, request.get_full_path()))
        htmx = request.headers.get("HX-Request")
        words = {"words": WORDS, "ask": ask(request, reverse("confirmed"))}
        response = render(request, "_again.html" if htmx else "again.html", words, status=403)
        response["HX-Retarget"], response["HX-Reswap"] = "#refusal", "innerHTML"
        return response


def _seconds(request: HttpRequest, view) -> int:
    """How old the proof may be for this request; 0 where nobody asks."""
    match = request.resolver_match
    if match.app_names == ["admin"]:
        return settings.REAUTHENTICATE_ADMIN_SECONDS if _is_guarded(request, view) else 0
    if request.method != "POST":
        return 0
    if match.url_name in STEPS:
        return settings.REAUTHENTICATE_ADMIN_SECONDS
    return settings.REAUTHENTICATE_RELEASE_SECONDS if match.url_name in RELEASING else 0


def _is_guarded(request: HttpRequest, view) -> bool:
    name, page = request.resolver_match.url_name or "", getattr(view, "model_admin", None)
    if name in WAYS:
        return request.method == "POST" or not name.endswith(("_step", "_restore"))
    if page is None or page.opts.label_lower not in GUARDED:
        return False
    if request.method != "POST" and name.endswith(LOOKS):
        return False
    may = (page.has_add_permission, page.has_change_permission, page.has_delete_permission)
    return any(one(request) for one in may)  # who only looks is not asked


def age(request: HttpRequest) -> float:
    """Seconds since this person last proved who they are, with whatever they sign in with."""
    proofs = [record["at"] for record in request.session.get("account_authentication_methods", [])]
    return time.time() - max(proofs, default=request.session.get(BEGUN, time.time()))


def ask(request: HttpRequest, then: str) -> str:
    """Where this person says once more who they are, and goes on from."""
    here = get_adapter().get_reauthentication_methods(request.user)
    return f"{reverse('account_reauthenticate' if here else 'again_elsewhere')}?{urlencode({'next': then})}"


@require_GET
def elsewhere(request: HttpRequest) -> HttpResponse:
    """For who signs in at the hospital's own server: that one asks."""
    return render(request, "account/again_elsewhere.html", {"next": request.GET.get("next", "")})


@require_GET
def confirmed(request: HttpRequest) -> HttpResponse:
    return render(request, "account/confirmed.html")
