import pytest

from policies.rules import addresses
from policies.rules.addresses import Forbidden, permitted

LISTED = [addresses.read(entry) for entry in ("10.0.0.0/8", "[fd00::]/8", "archive.example:443", "127.0.0.1:11113")]


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("10.1.2.3", 104, ["10.1.2.3"]),
        ("pacs.local", 11112, ["10.1.2.3", "fd00::1"]),
        ("Archive.Example.", 443, ["192.0.2.7"]),
        ("127.0.0.1", 11113, ["127.0.0.1"]),
    ],
)
def test_what_is_listed_is_called(host, port, found):
    assert permitted(host, port, found, LISTED) == found


@pytest.mark.parametrize(
    ("host", "port", "found", "why"),
    [
        ("127.0.0.1", 5432, ["127.0.0.1"], "Port 5432"),
        ("10.1.2.3", 22, ["10.1.2.3"], "Port 22"),
        ("archive.example", 80, ["192.0.2.7"], "Port 80"),
        ("other.example", 443, ["192.0.2.7"], "has not listed"),
        ("10.1.2.3.nip.example", 443, ["127.0.0.1"], "Port 443"),
        ("169.254.169.254", 80, ["169.254.169.254"], "link-local"),
        ("archive.example", 443, ["169.254.169.254"], "link-local"),
        ("archive.example", 443, ["fe80::1%eth0"], "link-local"),
        ("archive.example", 443, ["::ffff:169.254.169.254"], "link-local"),
        ("archive.example", 443, ["64:ff9b::a9fe:a9fe"], "link-local"),
        ("archive.example", 443, ["0.0.0.0"], "no address of anybody"),  # noqa: S104 - nothing is bound
        ("archive.example", 443, ["::"], "no address of anybody"),
        ("archive.example", 443, ["224.0.0.1"], "not the address of one host"),
        ("::1", 443, ["::1"], "has not listed"),
        ("::ffff:127.0.0.1", 5432, ["::ffff:127.0.0.1"], "Port 5432"),
        ("2130706433", 11113, ["127.0.0.1"], "Write it in full"),
        ("0x7f000001", 11113, ["127.0.0.1"], "Write it in full"),
        ("0177.0.0.1", 11113, ["127.0.0.1"], "Write it in full"),
        ("127.1", 11113, ["127.0.0.1"], "Write it in full"),
        ("a host", 11113, ["127.0.0.1"], "no host name"),
        ("user@archive.example", 443, ["10.0.0.1"], "no host name"),
        ("a" * 250 + "!", 443, ["10.0.0.1"], "no host name"),  # answered at once, not after years
        ("archive..example", 443, ["10.0.0.1"], "no host name"),
        ("a" * 64 + ".example", 443, ["10.0.0.1"], "no host name"),
    ],
)
def test_what_is_not_listed_is_not_called_however_it_is_written(host, port, found, why):
    with pytest.raises(Forbidden, match=why):
        permitted(host, port, found, LISTED)


def test_of_several_addresses_only_the_permitted_are_called():
    assert permitted("pacs.local", 104, ["169.254.1.1", "10.1.2.3"], LISTED) == ["10.1.2.3"]


@pytest.mark.parametrize("entry", ["", "10.0.0.1/8", "a b", "host:", "host:1-", "10.1", "[::1", "http://x"])
def test_an_entry_that_cannot_be_read_is_said(entry):
    with pytest.raises(ValueError, match="is n"):
        addresses.read(entry)
