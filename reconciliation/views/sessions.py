"""Signing in and out. A page that is open when its session ends says so, and keeps what was typed."""

from allauth.account.views import LoginView, LogoutView, PasswordChangeView
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator

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
