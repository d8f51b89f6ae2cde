"""What somebody searched for. The words stay in the session; an address carries only a token for them."""

import secrets

from django.http import HttpRequest

KEPT = 20  # searches a session remembers
LONGEST = 500  # characters of the address of a list


def remember(request: HttpRequest, words: str) -> str:
    """A token for these words, "" for no words."""
    if not (words := words.strip()[:200]):
        return ""
    kept = request.session.get("searches", {})
    token = next((token for token, said in kept.items() if said == words), secrets.token_urlsafe(6))
    request.session["searches"] = dict([*((t, w) for t, w in kept.items() if t != token), (token, words)][-KEPT:])
    return token


def recall(request: HttpRequest, name: str = "search") -> tuple[str, bool]:
    """The words behind the token of this address, and whether the token is unknown here (somebody else's link)."""
    token = request.GET.get(name, "")
    words = request.session.get("searches", {}).get(token, "")
    return words, bool(token and not words)


def remember_list(request: HttpRequest) -> None:
    """Keep which list of studies was looked at last, for the way back to it; written only when it is another."""
    shown = request.GET.urlencode()[:LONGEST]
    if request.session.get("list", "") != shown:
        request.session["list"] = shown


def last_list(request: HttpRequest) -> str:
    """The query of the list of studies that was looked at last, "" for the first page of all that is open."""
    return request.session.get("list", "")
