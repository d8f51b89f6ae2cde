"""Signing in. A page that is open when its session ends says so, and keeps what was typed."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator

from policies.problems import Denied


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if request.htmx:
            raise Denied("Your session has ended. Sign in again; copy first what you typed here.")
        return super().dispatch(request, *args, **kwargs)
