"""The managers' pages that look at studies too."""

from reconciliation.coercion_admin import CoercionRules
from reconciliation.matching_admin import MatchingPolicies
from reconciliation.ordering_admin import CancellableOrders, ProcedureRules
from reconciliation.quality_admin import QualityRules

__all__ = ["CancellableOrders", "CoercionRules", "MatchingPolicies", "ProcedureRules", "QualityRules"]
