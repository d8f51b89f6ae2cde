"""What must hold: people, partners, grants, rules, and the ledger of what was done."""

from policies.models.coercion import CoercionRule
from policies.models.consent import Basis, ConsentRule, Direction, Evidence, Purpose
from policies.models.ledger import AuditMessage, LedgerAnchor, LedgerHead, LedgerLine
from policies.models.organisations import Organisation
from policies.models.partners import (
    LOOPBACK,
    MOST_ASSOCIATIONS,
    AssigningAuthority,
    AuthorityAlias,
    Category,
    Destination,
    Intent,
    Source,
    SourceSystem,
    StowClient,
    a_person,
    a_variable,
    a_web_address,
    an_ae_title,
)
from policies.models.people import Grant, Power, SecondPerson, User
from policies.models.policy import (
    MatchingPolicy,
    MatchingWeight,
    Procedure,
    ProcedureRule,
    Reason,
    RetentionRule,
    iso_period,
)
from policies.models.quality import QualityRule
from policies.models.versions import PolicyDraft, PolicyVersion

__all__ = [
    "LOOPBACK",
    "MOST_ASSOCIATIONS",
    "AssigningAuthority",
    "AuditMessage",
    "AuthorityAlias",
    "Basis",
    "Category",
    "CoercionRule",
    "ConsentRule",
    "Destination",
    "Direction",
    "Evidence",
    "Grant",
    "Intent",
    "LedgerAnchor",
    "LedgerHead",
    "LedgerLine",
    "MatchingPolicy",
    "MatchingWeight",
    "Organisation",
    "PolicyDraft",
    "PolicyVersion",
    "Power",
    "Procedure",
    "ProcedureRule",
    "Purpose",
    "QualityRule",
    "Reason",
    "RetentionRule",
    "SecondPerson",
    "Source",
    "SourceSystem",
    "StowClient",
    "User",
    "a_person",
    "a_variable",
    "a_web_address",
    "an_ae_title",
    "iso_period",
]
