"""Signing in and out. A page that is open when its session ends says so, and keeps what was typed."""

from allauth.account.views import LoginView, LogoutView, PasswordChangeView
from allauth.socialaccount.providers.openid_connect.views import login as begin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST
from requests import RequestException

from policies.problems import Denied

FORGET = '"cache"'  # pages that the browser kept, those behind its back button too; choices of the desk stay


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if request.headers.get("HX-Request"):
            raise Denied("Your session has ended. Sign in again; copy first what you typed here.")
        return super().dispatch(request, *args, **kwargs)


@method_decorator(login_not_required, name="dispatch")
class SignOut(LogoutView):
    http_method_names = ["post", "options"]

    def post(self, *args, **kwargs) -> HttpResponse:
        response = super().post(*args, **kwargs)
        response["Clear-Site-Data"] = FORGET
        return response


class PasswordChange(PasswordChangeView):
    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if not request.user.has_usable_password():
            raise Denied("Your account has no password here: you sign in elsewhere.")
        return super().dispatch(request, *args, **kwargs)


@require_POST
@login_not_required
def elsewhere(request: HttpRequest, provider_id: str) -> HttpResponse:
    """To the hospital's own sign-in; a sentence when it does not say where that is."""
    try:
        return begin(request, provider_id)
    except RequestException:
        return render(request, "socialaccount/authentication_error.html", status=502)
