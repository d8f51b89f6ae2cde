"""What happens around every request: where it came from, refusals in words, and nothing kept by browsers."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from policies import audit
from policies.problems import Conflict, Denied, Invalid, Problem

STATUS = {Denied: 403, Conflict: 409, Invalid: 422}  # the REST views answer with the same numbers


class Whence:
    """Lets the ledger know the address that a request came from."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = audit.whence.set(request.META.get("REMOTE_ADDR", ""))
        try:
            return self.get_response(request)
        finally:
            audit.whence.reset(token)


class Refusals:
    """Shows a refusal as a page, or as a notice when htmx asks; never as a crash."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, Problem):
            return None
        template = "_refusal.html" if request.headers.get("HX-Request") else "refusal.html"
        response = render(request, template, {"problem": exception}, status=STATUS[type(exception)])
        response["HX-Retarget"], response["HX-Reswap"] = "#refusal", "innerHTML"
        return response


class NoStore:
    """Pages hold patients: a browser on a shared desk must not keep them. Static files are served before this."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        return response
