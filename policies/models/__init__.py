"""What must hold: people, partners, grants, rules, and the ledger of what was done."""

from policies.models.coercion import CoercionRule
from policies.models.ledger import LedgerHead, LedgerLine
from policies.models.partners import (
    LOOPBACK,
    MOST_ASSOCIATIONS,
    AssigningAuthority,
    AuthorityAlias,
    Category,
    Destination,
    Source,
    a_variable,
    a_web_address,
    an_ae_title,
)
from policies.models.people import Grant, Power, User
from policies.models.policy import (
    Intent,
    MatchingPolicy,
    MatchingWeight,
    Procedure,
    ProcedureRule,
    Reason,
    RetentionRule,
    iso_period,
)
from policies.models.quality import QualityRule

__all__ = [
    "LOOPBACK",
    "MOST_ASSOCIATIONS",
    "AssigningAuthority",
    "AuthorityAlias",
    "Category",
    "CoercionRule",
    "Destination",
    "Grant",
    "Intent",
    "LedgerHead",
    "LedgerLine",
    "MatchingPolicy",
    "MatchingWeight",
    "Power",
    "Procedure",
    "ProcedureRule",
    "QualityRule",
    "Reason",
    "RetentionRule",
    "Source",
    "User",
    "a_variable",
    "a_web_address",
    "an_ae_title",
    "iso_period",
]
