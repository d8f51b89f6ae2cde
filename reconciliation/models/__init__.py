"""Outside studies and what was decided about them."""

from reconciliation.models.approvals import Approval
from reconciliation.models.consents import Consent, ConsentEvidence
from reconciliation.models.decided import Decided
from reconciliation.models.decisions import Finding, Lookout, Mapping, Proposal, StudyKey
from reconciliation.models.deliveries import Commitment, DeliveredInstance, Delivery
from reconciliation.models.emergencies import EmergencyAccess
from reconciliation.models.expiry import Deletion, DeletionProof, LegalHold
from reconciliation.models.letters import Letter
from reconciliation.models.notes import RejectionNote
from reconciliation.models.studies import Instance, Series, Study, Submission, Unreadable

__all__ = [
    "Approval",
    "Commitment",
    "Consent",
    "ConsentEvidence",
    "Decided",
    "Deletion",
    "DeletionProof",
    "DeliveredInstance",
    "Delivery",
    "EmergencyAccess",
    "Finding",
    "Instance",
    "LegalHold",
    "Letter",
    "Lookout",
    "Mapping",
    "Proposal",
    "RejectionNote",
    "Series",
    "Study",
    "StudyKey",
    "Submission",
    "Unreadable",
]
