"""The managers' pages that look at studies too."""

from reconciliation.destinations_admin import Destinations
from reconciliation.matching_admin import MatchingPolicies
from reconciliation.ordering_admin import CancellableOrders, ProcedureRules
from reconciliation.quality_admin import QualityRules

__all__ = ["CancellableOrders", "Destinations", "MatchingPolicies", "ProcedureRules", "QualityRules"]
