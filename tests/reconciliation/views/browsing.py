"""A browser without scripts: forms are posted, pages are read."""

from django.test import Client
from django.urls import reverse

from policies.models import User
from reconciliation.models import Study

# Every address of a study that takes a POST.
VERBS = (
    "lease",
    "candidates",
    "lookup",
    "settle",
    "generate",
    "map",
    "unmap",
    "clear",
    "release",
    "approve",
    "decline",
    "withdraw",
    "reject",
    "reinstate",
    "retry",
)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def post(client: Client, verb: str, study: Study, **said):
    return client.post(reverse(verb, args=[study.pk]), {"version": study.version, **said})


def text(response) -> str:
    return " ".join(response.content.decode().split())
