"""Where we may connect to (OWASP: server-side request forgery): hosts, networks and ports that the operator has listed.

A name is looked up once, and the connection goes to the address that was checked: a name that changes its mind between
the check and the connection gains nothing by it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Of DICOM, DICOM over TLS, HTTPS, HTTP, HL7 (MLLP, and over TLS), and where archives commonly listen for them.
USUAL = (range(104, 105), range(2762, 2763), range(443, 444), range(80, 81), range(2575, 2577))
USUAL += (range(4242, 4243), range(8042, 8043), range(8080, 8081), range(8443, 8444), range(11112, 11120))

A_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
ENTRY = re.compile(r"(?:\[(?P<six>[^]]+)\](?P<bits>/\d+)?|(?P<host>[^:\[\]]+))(?::(?P<ports>\d+(?:-\d+)?))?")
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64 (RFC 6052): an IPv4 address stands at its end


class Forbidden(Exception):
    """The portal does not connect there; str() is a sentence that says why."""


@dataclass(frozen=True)
class Peers:
    """One entry of the list: a host by its name, or a network; and the ports that may be called there."""

    name: str
    network: Network | None
    ports: tuple[range, ...] = USUAL

    def has(self, host: str, address: Address) -> bool:
        if self.network is None:
            return self.name == host.lower().rstrip(".")
        return address.version == self.network.version and address in self.network


def read(entry: str) -> Peers:
    """HOST, ADDRESS or NETWORK; after that, if given, :PORT or :FIRST-LAST. IPv6 in brackets. Raises ValueError."""
    found = ENTRY.fullmatch(entry)
    if not found:
        raise ValueError(f"'{entry}' is not HOST, HOST:PORT or NETWORK:FIRST-LAST")
    host = (found["six"] or found["host"]).strip() + (found["bits"] or "")
    first, _, last = (found["ports"] or "").partition("-")
    ports = (range(int(first), int(last or first) + 1),) if first else USUAL
    try:
        return Peers("", ipaddress.ip_network(host), ports)
    except ValueError:
        if not A_NAME.fullmatch(host) or is_number(host):
            raise ValueError(f"'{host}' is no host name and no network") from None
        return Peers(host.lower().rstrip("."), None, ports)


def why_no_host(host: str) -> str:
    """Say why this cannot name a host, or "". Numbers that only some programs take for addresses cannot."""
    if _literal(host):
        return ""
    if is_number(host):
        return f"'{host}' is a number that stands for an address. Write it in full, like 10.1.2.3."
    return "" if A_NAME.fullmatch(host) else f"'{host}' is no host name and no address."


def is_number(host: str) -> bool:
    """Whether the last label is a number (127.1, 0x7f000001, 2130706433): no name ends so (RFC 3696 2)."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def why_never(address: Address) -> str:
    """Say why nobody may be called at this address whoever listed it, or ""."""
    if address.is_unspecified or address in ipaddress.ip_network("0.0.0.0/8"):
        return "which is no address of anybody"
    if address.is_link_local:
        return "a link-local address, where machines tell their own secrets"
    if address.is_multicast or address == ipaddress.ip_address("255.255.255.255"):
        return "which is not the address of one host"
    return ""


def permitted(host: str, port: int, addresses: Iterable[str], listed: Sequence[Peers]) -> list[str]:
    """The addresses of a host to which a connection may go, in their order. Raises Forbidden."""
    if why := why_no_host(host):
        raise Forbidden(why)
    kept, problems = [], []
    for text in addresses:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if why := why_never(address):
            problems.append(f"{_named(host, address)}, {why}.")
            continue
        fitting = [one for one in listed if one.has(host, address)]
        if any(port in ports for one in fitting for ports in one.ports):
            kept.append(text)
        elif fitting:
            problems.append(f"Port {port} of {host} is not among those that the operator has listed.")
        else:
            problems.append(f"{_named(host, address)}, which the operator has not listed.")
    if not kept:
        raise Forbidden(f"The portal does not connect there. {problems[0] if problems else f'{host} has no address.'}")
    return kept


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host, looked up once. Raises OSError (socket.gaierror), Forbidden for what is no host."""
    if why := why_no_host(host):
        raise Forbidden(why)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connect(host: str, port: int, listed: Sequence[Peers], *, seconds: float | None) -> socket.socket:
    """A connection to the first address that answers. Raises Forbidden, or OSError of the last one."""
    problem: OSError | None = None
    for address in permitted(host, port, resolved(host, port), listed):
        try:
            return socket.create_connection((address, port), timeout=seconds)
        except OSError as failure:
            problem = failure
    raise problem or OSError(f"{host} has no address")


def _named(host: str, address: Address) -> str:
    return f"{host} is {address}" if host != str(address) else f"It is {address}"


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only leads to it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address
