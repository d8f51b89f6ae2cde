import pytest

from policies.rules import senders
from policies.rules.senders import Sender, Shown, identify

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
