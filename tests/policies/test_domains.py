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
    assert domains.canonical(*given) == "GH"


@pytest.mark.parametrize("given", [("ELSEWHERE",), ("", "9.9.9"), ("",)])
def test_an_unknown_issuer_comes_back_as_it_is(given):
    assert domains.canonical(*given) == "".join(given)


def test_the_same_namespace_with_another_oid_is_another_domain():
    assert domains.canonical("GH", "7.7.7") != "GH"


def test_an_alias_counts_from_the_moment_in_which_it_is_entered():
    assert domains.canonical("GEN") == "GEN"
    domains.AssigningAuthority.objects.get(namespace_id="GH").aliases.create(name="GEN")

    assert domains.canonical("GEN") == "GH"


def test_trust_and_locality_are_asked_under_any_name():
    assert (domains.is_trusted("general"), domains.is_local("general")) == (True, False)
    assert (domains.is_trusted("LOCAL"), domains.is_local("LOCAL")) == (False, True)
    assert not domains.is_trusted("ELSEWHERE")
