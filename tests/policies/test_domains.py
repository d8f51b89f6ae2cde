import pytest

from policies import domains
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def authorities():
    make.authority("GH", "General Hospital", "GENERAL", universal_id="1.2.3", universal_id_type="ISO")
    make.authority("LOCAL", local=True, trusted=False)


@pytest.mark.parametrize(
    "given",
    [("GH",), ("gh",), ("General Hospital",), (" GENERAL ",), ("", "1.2.3"), ("", "urn:oid:1.2.3"), ("GH&1.2.3&ISO",)],
)
def test_an_issuer_is_known_under_each_of_its_names(given):
    assert domains.known().canonical(*given) == "GH"


@pytest.mark.parametrize("given", [("ELSEWHERE",), ("", "9.9.9"), ("",)])
def test_an_unknown_issuer_comes_back_as_it_is(given):
    assert domains.known().canonical(*given) == "".join(given)


def test_the_same_namespace_with_another_oid_is_another_domain():
    assert domains.known().canonical("GH", "7.7.7") != "GH"


def test_an_alias_counts_from_the_moment_in_which_it_is_entered():
    assert domains.known().canonical("GEN") == "GEN"
    domains.AssigningAuthority.objects.get(namespace_id="GH").aliases.create(name="GEN")

    assert domains.known().canonical("GEN") == "GH"


def test_trust_and_locality_are_asked_under_any_name():
    known = domains.known()
    general, local, elsewhere = map(known.canonical, ("general", "LOCAL", "ELSEWHERE"))

    assert (general in known.trusted, general in known.local) == (True, False)
    assert (local in known.trusted, local in known.local) == (False, True)
    assert elsewhere not in known.trusted
