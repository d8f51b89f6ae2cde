"""Identifier domains: under which names the assigning authorities that we know arrive, and which of them are ours."""

from typing import NamedTuple

from policies.models import AssigningAuthority


class Domains(NamedTuple):
    """All of them, read at once. `names` are folded; `local` are canonical namespaces."""

    names: dict[str, str]
    local: frozenset[str]

    def canonical(self, namespace: str, universal_id: str = "") -> str:
        """The namespace as we write it; a domain that we do not know keeps its own name, or else its universal ID."""
        for name in (namespace, universal_id):
            if name and (known := self.names.get(name.casefold())):
                return known
        return namespace or universal_id


def load() -> Domains:
    names, local = {}, set()
    columns = ("namespace_id", "universal_id", "local", "aliases__name")
    for namespace, universal_id, ours, alias in AssigningAuthority.objects.order_by().values_list(*columns):
        names |= {name.casefold(): namespace for name in (namespace, universal_id, alias) if name}
        if ours:
            local.add(namespace)
    return Domains(names, frozenset(local))


def canonical(namespace: str, universal_id: str = "") -> str:
    """See Domains.canonical; for whoever asks once."""
    return load().canonical(namespace, universal_id)
