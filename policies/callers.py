"""Which source sends by the web: asked by the account that signed in, its address, and the certificate it showed."""

from policies.models import Source, StowClient
from policies.rules.senders import Sender, Shown, identify_client


def sent_by(shown: Shown) -> tuple[Source | None, str]:
    """The active source that is calling, or None and a sentence that says what did not fit.

    Accounts are compared as they are written. Whoever asks has checked that the account signed in.
    """
    rows = StowClient.objects.filter(source__active=True).values_list("source", "account", "network", "certificate")
    clients = [
        Sender(str(source), account=account, network=network, certificate=certificate)
        for source, account, network, certificate in rows
    ]
    key, why = identify_client(clients, shown)
    return (Source.objects.filter(pk=key, active=True).first(), why) if key else (None, why)
