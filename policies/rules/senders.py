"""Who is calling at the DICOM door: known by AE title, by where it calls from, and by the certificate that it shows."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FINGERPRINT = 64  # letters of a SHA-256 in hex


@dataclass(frozen=True)
class Sender:
    """One system of a source. What is empty is not asked for; `network` is an address or a network in CIDR form."""

    source: str
    ae_title: str
    network: str = ""
    certificate: str = ""  # a name in it (CN, or DNS name or address of its SAN), or the SHA-256 of all of it


@dataclass(frozen=True)
class Shown:
    """What a caller showed of itself. `names` and `fingerprint` are of its certificate: none without TLS."""

    ae_title: str
    address: str
    names: tuple[str, ...] = ()
    fingerprint: str = ""


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
    """The source that is calling, or "" and a sentence that says what did not fit."""
    named = [one for one in senders if one.ae_title == shown.ae_title]
    if not named:
        return "", f"'{shown.ae_title}' is no AE title of an active source."
    near = [one for one in named if _is_from(one, shown)]
    if not near:
        return "", f"'{shown.ae_title}' called from {shown.address}, which is not its address."
    proven = [one for one in near if _has_shown(one, shown)]
    if not proven:
        return "", _not_proven(near, shown)
    best = max(map(_narrowness, proven))
    sources = {one.source for one in proven if _narrowness(one) == best}
    if len(sources) > 1:
        return "", f"'{shown.ae_title}' from {shown.address} could be two sources. Tell them apart by their addresses."
    return sources.pop(), ""


def _is_from(sender: Sender, shown: Shown) -> bool:
    if not sender.network:
        return True
    address = ipaddress.ip_address(shown.address.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in ipaddress.ip_network(sender.network)


def _narrowness(sender: Sender) -> tuple[bool, int]:
    """Who is known by more goes before who is known by less."""
    return bool(sender.certificate), ipaddress.ip_network(sender.network).prefixlen if sender.network else -1


def _has_shown(sender: Sender, shown: Shown) -> bool:
    wanted = certificate(sender.certificate)
    return not wanted or wanted == shown.fingerprint or wanted in {name.lower() for name in shown.names}


def _not_proven(near: Iterable[Sender], shown: Shown) -> str:
    if not shown.fingerprint:
        return f"'{shown.ae_title}' showed no certificate, and must show one."
    name = shown.names[0] if shown.names else "nobody"
    return f"'{shown.ae_title}' showed the certificate of {name}, which is not its own."
