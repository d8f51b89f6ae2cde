"""What happens around every request: where it came from, refusals in words, and nothing kept by browsers."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from policies import audit
from policies.problems import Conflict, Denied, Invalid, Problem, TooMany

STATUS = {Denied: 403, Conflict: 409, Invalid: 422, TooMany: 429}  # the REST views answer with the same numbers


def address_of(request: HttpRequest) -> str:
    """Where a request comes from. Behind IMGSHARE_PROXIES proxies of ours it is what the outermost of them saw."""
    seen = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if settings.PROXIES and len(seen) >= settings.PROXIES:
        return seen[-settings.PROXIES][:64]
    return request.META.get("REMOTE_ADDR", "")


class Whence:
    """Lets the ledger know the address that a request came from."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = audit.whence.set(address_of(request))
        try:
            return self.get_response(request)
        finally:
            audit.whence.reset(token)


class Bounded:
    """No address here needs a larger body, and whoever has not signed in can post to some: it is not even read."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdigit() or int(length) > settings.LARGEST_BODY:
            return HttpResponse("This is larger than anything that is taken here.", "text/plain", status=413)
        return self.get_response(request)


class Refusals:
    """Shows a refusal as a page, or as a notice when htmx asks; never as a crash."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return shown(request, exception) if isinstance(exception, Problem) else None


def shown(request: HttpRequest, problem: Problem) -> HttpResponse:
    template = "_refusal.html" if request.headers.get("HX-Request") else "refusal.html"
    response = render(request, template, {"problem": problem}, status=STATUS[type(problem)])
    response["HX-Retarget"], response["HX-Reswap"] = "#refusal", "innerHTML"
    return response


class NoNul:
    """No field of ours holds a NUL, and PostgreSQL takes none: said once, here, instead of at each place."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view) -> HttpResponse | None:
        form = request.POST if request.content_type in FORMS else {}
        if any("\0" in text for fields in (request.GET, form) for name in fields for text in fields.getlist(name)):
            return shown(request, Invalid("A text that was sent holds a character that no text has (NUL)."))
        return None


FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class NoStore:
    """Pages hold patients: a browser on a shared desk must not keep them. Static files are served before this."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        return response
