import pytest

from policies.rules import senders
from policies.rules.senders import Sender, Shown, identify, identify_client

HERE, PRINT = "10.1.2.3", "ab" * 32
PLAIN = [Sender("A", "CT"), Sender("B", "MR", HERE), Sender("C", "US", "10.1.0.0/16", "us.clinic.example")]


@pytest.mark.parametrize(
    ("shown", "source"),
    [
        (Shown("CT", "192.0.2.1"), "A"),
        (Shown("MR", HERE), "B"),
        (Shown("MR", f"::ffff:{HERE}"), "B"),
        (Shown("US", "10.1.9.9", ("US.clinic.example",), PRINT), "C"),
    ],
)
def test_who_fits_in_everything_that_is_asked_for_is_known(shown, source):
    assert identify(PLAIN, shown) == (source, "")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (Shown("XX", HERE), "no AE title of an active source"),
        (Shown("MR", "10.1.2.4"), "called from 10.1.2.4, which is not its address"),
        (Shown("US", "10.2.0.1", ("us.clinic.example",), PRINT), "not its address"),
        (Shown("US", "10.1.0.1"), "showed no certificate"),
        (Shown("US", "10.1.0.1", ("ct.clinic.example",), PRINT), "the certificate of ct.clinic.example"),
        (Shown("US", "10.1.0.1", (), PRINT), "the certificate of nobody"),
    ],
)
def test_what_does_not_fit_is_said(shown, why):
    source, said = identify(PLAIN, shown)
    assert (source, why in said) == ("", True), said


def test_a_fingerprint_is_known_however_it_is_written():
    written = ":".join(["AB"] * 32)
    assert identify([Sender("A", "CT", "", written)], Shown("CT", HERE, (), PRINT)) == ("A", "")


def test_two_sources_with_one_title_are_told_apart_and_the_narrower_goes_first():
    both = [Sender("A", "STORESCP"), Sender("B", "STORESCP", "10.1.0.0/16"), Sender("C", "STORESCP", HERE)]
    assert [identify(both, Shown("STORESCP", at))[0] for at in ("192.0.2.1", "10.1.9.9", HERE)] == ["A", "B", "C"]


def test_what_could_be_two_sources_is_neither():
    both = [Sender("A", "CT", "10.1.0.0/16"), Sender("B", "CT", "10.1.0.0/16")]
    assert "could be two sources" in identify(both, Shown("CT", HERE))[1]


@pytest.mark.parametrize("text", ["10.1.2.3/24", "10.1.2", "clinic.example", "10.1.2.3-9"])
def test_what_is_no_network_is_said(text):
    assert senders.why_no_network(text)


CLIENTS = [
    Sender("A", account="api-general"),
    Sender("B", account="api-clinic", network="10.1.0.0/16", certificate="clinic.example"),
    Sender("C", certificate=PRINT),
]


@pytest.mark.parametrize(
    ("shown", "source"),
    [
        (Shown("", "192.0.2.1", account="api-general"), "A"),
        (Shown("", HERE, ("clinic.example",), "cd" * 32, "api-clinic"), "B"),
        (Shown("", HERE, (), PRINT), "C"),
        (Shown("", HERE, (), PRINT, "api-general"), "A"),
    ],
)
def test_a_client_is_known_by_its_account_or_else_by_its_certificate(shown, source):
    assert identify_client(CLIENTS, shown) == (source, "")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (Shown("", HERE), "Somebody without an account is no client of an active source."),
        (Shown("", HERE, (), "cd" * 32), "is no client of an active source by its account or its certificate."),
        (Shown("", HERE, account="api-General"), "'api-General' is no client of an active source."),
        (Shown("", "192.0.2.1", account="api-clinic"), "'api-clinic' called from 192.0.2.1, which is not its address"),
        (Shown("", HERE, account="api-clinic"), "'api-clinic' showed no certificate, and must show one."),
        (Shown("", HERE, ("other.example",), "cd" * 32, "api-clinic"), "the certificate of other.example"),
    ],
)
def test_what_does_not_fit_of_a_client_is_said(shown, why):
    source, said = identify_client(CLIENTS, shown)
    assert (source, why in said) == ("", True), said


def test_an_account_of_two_sources_is_neither():
    both = [Sender("A", account="api"), Sender("B", account="api")]
    assert "could be two sources" in identify_client(both, Shown("", HERE, account="api"))[1]
