"""Who is calling: known by AE title or account, by where it calls from, and by the certificate that it shows."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

FINGERPRINT = 64  # letters of a SHA-256 in hex


@dataclass(frozen=True)
class Sender:
    """One system of a source: an AE title calls by DICOM, an account by the web.

    What is empty is not asked for; `network` is an address or a network in CIDR form.
    """

    source: str
    ae_title: str = ""
    network: str = ""
    certificate: str = ""  # a name in it (CN, or DNS name or address of its SAN), or the SHA-256 of all of it
    account: str = ""  # the user name that a caller by the web signs in with


@dataclass(frozen=True)
class Shown:
    """What a caller showed of itself. `names` and `fingerprint` are of its certificate: none without TLS."""

    ae_title: str
    address: str
    names: tuple[str, ...] = ()
    fingerprint: str = ""
    account: str = ""


def certificate(text: str) -> str:
    """A name or fingerprint in the form in which it is compared: colons of a fingerprint are left out."""
    packed = text.replace(":", "").lower()
    is_fingerprint = len(packed) == FINGERPRINT and not packed.strip("0123456789abcdef")
    return packed if is_fingerprint else text.strip().lower()


def why_no_network(text: str) -> str:
    """Say why this is no address or network, or ""."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return "Write an address like 10.1.2.3, or a network like 10.1.2.0/24 whose last bits are zero."
    return ""


def identify(senders: Sequence[Sender], shown: Shown) -> tuple[str, str]:
    """The source that is calling by DICOM, or "" and a sentence that says what did not fit."""
    named = [one for one in senders if one.ae_title == shown.ae_title]
    if not named:
        return "", f"'{shown.ae_title}' is no AE title of an active source."
    return _among(named, shown, f"'{shown.ae_title}'")


def identify_client(clients: Sequence[Sender], shown: Shown) -> tuple[str, str]:
    """The same of who is calling by the web. A client without an account is known by its certificate alone."""
    who = f"'{shown.account}'" if shown.account else "Somebody without an account"
    named = [one for one in clients if (one.account == shown.account if one.account else _has_shown(one, shown))]
    if not named:
        certified = " by its account or its certificate" if shown.fingerprint else ""
        return "", f"{who} is no client of an active source{certified}."
    return _among(named, shown, who)


def _among(named: Sequence[Sender], shown: Shown, who: str) -> tuple[str, str]:
    """Of the senders that go by this name the one that is calling, or why none of them is."""
    near = [one for one in named if _is_from(one, shown)]
    if not near:
        return "", f"{who} called from {shown.address}, which is not its address."
    proven = [one for one in near if _has_shown(one, shown)]
    if not proven:
        return "", _not_proven(shown, who)
    best = max(map(_narrowness, proven))
    sources = {one.source for one in proven if _narrowness(one) == best}
    if len(sources) > 1:
        return "", f"{who} from {shown.address} could be two sources. Tell them apart by their addresses."
    return sources.pop(), ""


def _is_from(sender: Sender, shown: Shown) -> bool:
    if not sender.network:
        return True
    address = ipaddress.ip_address(shown.address.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in ipaddress.ip_network(sender.network)


def _narrowness(sender: Sender) -> tuple[bool, bool, int]:
    """Who is known by more goes before who is known by less."""
    width = ipaddress.ip_network(sender.network).prefixlen if sender.network else -1
    return bool(sender.account), bool(sender.certificate), width


def _has_shown(sender: Sender, shown: Shown) -> bool:
    wanted = certificate(sender.certificate)
    return not wanted or wanted == shown.fingerprint or wanted in {name.lower() for name in shown.names}


def _not_proven(shown: Shown, who: str) -> str:
    if not shown.fingerprint:
        return f"{who} showed no certificate, and must show one."
    name = shown.names[0] if shown.names else "nobody"
    return f"{who} showed the certificate of {name}, which is not its own."
