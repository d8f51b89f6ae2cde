"""Outside studies and what was decided about them."""

from reconciliation.models.approvals import Approval
from reconciliation.models.decisions import Consent, Finding, Lookout, Mapping, Proposal, StudyKey
from reconciliation.models.deliveries import Commitment, DeliveredInstance, Delivery
from reconciliation.models.emergencies import EmergencyAccess
from reconciliation.models.studies import Instance, Series, Study, Submission, Unreadable

__all__ = [
    "Approval",
    "Commitment",
    "Consent",
    "DeliveredInstance",
    "Delivery",
    "EmergencyAccess",
    "Finding",
    "Instance",
    "Lookout",
    "Mapping",
    "Proposal",
    "Series",
    "Study",
    "StudyKey",
    "Submission",
    "Unreadable",
]
