"""Which source is calling: what is stored of senders and clients, and what a caller shows of itself."""

from policies.models import Source, SourceSystem, StowClient
from policies.rules.senders import Sender, Shown, identify, identify_client


def senders() -> list[Sender]:
    """Those that call by DICOM, of active sources."""
    first = Source.objects.filter(active=True, ae_title__isnull=False)
    further = SourceSystem.objects.filter(source__active=True)
    rows = [
        *first.values_list("pk", "ae_title", "address", "certificate"),
        *further.values_list("source", "ae_title", "network", "certificate"),
    ]
    return [Sender(str(key), title, network or "", shown) for key, title, network, shown in rows]


def clients() -> list[Sender]:
    """Those that call by the web, of active sources."""
    rows = StowClient.objects.filter(source__active=True).values_list("source", "account", "network", "certificate")
    return [Sender(str(key), "", network, shown, account) for key, account, network, shown in rows]


def sent_by(shown: Shown) -> tuple[Source | None, str]:
    """The active source that is calling, or None and a sentence that says what did not fit.

    Who shows an AE title calls by DICOM, everybody else by the web. Accounts are compared as they are written; whoever
    asks has checked that the account signed in.
    """
    key, why = identify(senders(), shown) if shown.ae_title else identify_client(clients(), shown)
    return (Source.objects.filter(pk=key, active=True).first() if key else None), why
