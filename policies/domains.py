"""Identifier domains: under whatever name an issuer arrives, which assigning authority it is, and what it is worth."""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.models import AssigningAuthority

OID = "urn:oid:"


@dataclass(frozen=True)
class Domains:
    """The domains as they are now. Load them once for a piece of work, not for longer: managers change them."""

    names: Mapping[str, str]  # namespace, universal ID or alias in small letters, to the namespace ID
    universal: Mapping[str, str]  # namespace ID to its universal ID, "" where we know none
    local: frozenset[str]  # those whose identifiers name our own patients
    trusted: frozenset[str]  # those whose identifiers may support a match without a person

    def canonical(self, namespace: str, universal_id: str = "") -> str:
        """The namespace ID of an issuer as HL7 CX.4 or DICOM gives it; one that is not known comes back as it is.

        A universal ID says more than a namespace: two hospitals may both call theirs "MRN".
        """
        namespace, universal_id = _parts(namespace, universal_id)
        if known := self.names.get(_plain(universal_id)):
            return known
        known = self.names.get(_plain(namespace))
        if known and not (universal_id and self.universal[known]):
            return known
        return universal_id if known else namespace or universal_id


def _parts(namespace: str, universal_id: str) -> tuple[str, str]:
    """Some systems write all of CX.4 into Issuer of Patient ID: `NAMESPACE&1.2.3&ISO`."""
    first, _, rest = namespace.strip().partition("&")
    return first.strip(), universal_id.strip() or rest.partition("&")[0].strip()


def _plain(name: str) -> str:
    return name.casefold().removeprefix(OID)


def known() -> Domains:
    """The domains as they are now, by one query."""
    columns = ("namespace_id", "universal_id", "local", "trusted", "aliases__name")
    names, universal, marked = {}, {}, {"local": set(), "trusted": set()}
    for namespace, universal_id, local, trusted, alias in AssigningAuthority.objects.values_list(*columns):
        universal[namespace] = universal_id
        names |= {_plain(name): namespace for name in (alias, universal_id, namespace) if name}
        for mark, given in (("local", local), ("trusted", trusted)):
            if given:
                marked[mark].add(namespace)
    return Domains(names, universal, frozenset(marked["local"]), frozenset(marked["trusted"]))
