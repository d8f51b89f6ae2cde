"""How much one person may look at: who opens studies faster than anybody reads them is stopped, and the ledger says so.

Counted in the shared cache, one entry for each person. Two requests at once may count as one: it is a brake, no lock.
"""

import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from rest_framework.throttling import BaseThrottle

from imgshare_site.middleware import shown
from imgshare_site.sittings import BACKGROUND
from policies import audit
from policies.models import User
from policies.problems import TooMany

MINUTE, DAY = 60, 24 * 3600
VIEW, PICTURE = 10, 1  # ten pictures count as one view
POLLED = {"answers", "deliveries", "told"}  # parts of a page that it asks for every few seconds
TOO_FAST = "You have opened more studies in a minute than anybody reads. Wait a minute, then go on."
TOO_MUCH = "You have opened more studies today than one person may. Ask the administrator if your work needs it."


def count(user: User, *, weight: int = VIEW) -> None:
    """Count what `user` looks at, or raise `TooMany`. The first refusal of a day is in the ledger."""
    key, now = f"views:{user.pk}", time.time()
    minute, in_minute, day, in_day, told = cache.get(key) or (0, 0, 0, 0, False)
    if now // MINUTE != minute:
        minute, in_minute = now // MINUTE, 0
    if now // DAY != day:
        day, in_day, told = now // DAY, 0, False
    too_fast, too_much = in_minute >= settings.VIEWS_PER_MINUTE * VIEW, in_day >= settings.VIEWS_PER_DAY * VIEW
    if not (too_fast or too_much):
        cache.set(key, (minute, in_minute + weight, day, in_day + weight, told), DAY)
        return
    if not told:
        cache.set(key, (minute, in_minute, day, in_day, True), DAY)
        audit.record(user, "many views", user, detail={"today": in_day // VIEW, "this minute": in_minute // VIEW})
    raise TooMany(TOO_MUCH if too_much else TOO_FAST)


class Pages:
    """Counts the pages and pictures of studies, and exports; what an open page asks by itself counts little."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest):
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view, args, kwargs) -> HttpResponse | None:
        match = request.resolver_match
        looks = "key" in kwargs and request.method == "GET"
        if match.app_names or not (looks or match.view_name == "ledger_export"):
            return None
        if request.user.is_authenticated:
            by_itself = BACKGROUND in request.headers and match.view_name in POLLED  # anybody can send the header
            try:
                count(request.user, weight=PICTURE if by_itself or match.view_name == "picture" else VIEW)
            except TooMany as problem:
                return shown(request, problem)
        return None


class Calls(BaseThrottle):
    """Counts the REST calls about one thing, exports, and every page of a list after the first."""

    def allow_request(self, request, view) -> bool:
        counts = "key" in view.kwargs or "kind" in view.kwargs or "cursor" in request.GET
        if request.method == "GET" and request.user and counts:
            count(request.user)
        return True
