"""Outside studies and what was decided about them."""

from reconciliation.models.decisions import Consent, Finding, Lookout, Mapping, Proposal, StudyKey
from reconciliation.models.deliveries import Commitment, DeliveredInstance, Delivery
from reconciliation.models.letters import Letter
from reconciliation.models.studies import Instance, Series, Study, Submission, Unreadable

__all__ = [
    "Commitment",
    "Consent",
    "DeliveredInstance",
    "Delivery",
    "Finding",
    "Instance",
    "Letter",
    "Lookout",
    "Mapping",
    "Proposal",
    "Series",
    "Study",
    "StudyKey",
    "Submission",
    "Unreadable",
]
