"""How long somebody sits here: a session ends when its person gives no sign, or has been here for a working day."""

import time

from allauth.mfa.adapter import get_adapter
from django.conf import settings
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from imgshare_site import identities
from imgshare_site.middleware import shown
from imgshare_site.signing_in import ENDED
from policies import audit
from policies.models import User
from policies.problems import Denied

BEGUN, SEEN = "begun", "seen"  # in the session: seconds since the epoch
BACKGROUND = "X-Background"  # set by the page on what no person asked for
GRAIN = 30  # of IDLE_SECONDS: how finely the sign is written down, so that few requests write
NEEDED = {"mfa_index", "mfa_activate_totp", "account_reauthenticate", "account_change_password", "session"}
NEEDED |= {
    "logout",
    "account_logout",
    "mfa_add_webauthn",
    "again_elsewhere",
    "mfa_view_recovery_codes",
    "mfa_download_recovery_codes",
    "login",
}
SET_UP = "Your account needs a second factor. Set it up in the browser first, under your name."


class Clock:
    """Ends a session by its two clocks; the request goes on as nobody's."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.session.session_key and request.user.is_authenticated:
            if over := why_over(request):
                _end(request, over)
            else:
                _sign(request)
        return self.get_response(request)


def why_over(request: HttpRequest) -> str:
    now = time.time()
    if now - request.session.get(SEEN, now) >= settings.IDLE_SECONDS:
        return "no sign of its person"
    if now - request.session.get(BEGUN, now) >= settings.SESSION_SECONDS:
        return "its longest time is over"
    return ""


def seconds_left(request: HttpRequest) -> int:
    """Until the session ends, if nobody gives a sign."""
    now, session = time.time(), request.session
    idle = session.get(SEEN, now) + settings.IDLE_SECONDS - now
    return max(0, int(min(idle, session.get(BEGUN, now) + settings.SESSION_SECONDS - now)))


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """What is left of the session, and whose it is. A page asks in the background; without that mark it is a sign."""
    return JsonResponse({"seconds": seconds_left(request), "who": str(request.user.pk), "token": get_token(request)})


def on_pages(request: HttpRequest) -> dict:
    """What the page needs to warn in time."""
    return {"idle_seconds": settings.IDLE_SECONDS}


def _sign(request: HttpRequest) -> None:
    now, session = time.time(), request.session
    if BEGUN not in session:
        session[BEGUN] = session[SEEN] = now
    elif BACKGROUND not in request.headers and now - session[SEEN] > settings.IDLE_SECONDS / GRAIN:
        session[SEEN] = now


def _end(request: HttpRequest, why: str) -> None:
    user = request.user
    with transaction.atomic():
        logout(request)
        audit.record(audit.PORTAL, ENDED, user, reason=why)


class SecondFactor:
    """Who must have a second factor and has none is led to set it up, and nowhere else."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view) -> HttpResponse | None:
        match = request.resolver_match
        if match.view_name in NEEDED or not lacks_second_factor(request.user, request):
            return None
        if "api" in match.app_names:
            return JsonResponse({"problem": Denied.code, "detail": SET_UP}, status=403)
        if request.headers.get("HX-Request"):
            return shown(request, Denied(SET_UP))
        return redirect("mfa_activate_totp")


def lacks_second_factor(user: User, request: HttpRequest) -> bool:
    return needs_second_factor(user, request) and not get_adapter().is_mfa_enabled(user)


def needs_second_factor(user: User, request: HttpRequest) -> bool:
    """Whether the settings ask it of this person. Who signs in elsewhere may have been asked for it there."""
    required = set(settings.MFA_REQUIRED)
    if not user.is_authenticated or not required:
        return False
    if not user.has_usable_password() and identities.asked_elsewhere(request):
        return False
    if "all" in required or ("staff" in required and user.is_staff):
        return True
    return user.groups.filter(name__in=required).exists()
