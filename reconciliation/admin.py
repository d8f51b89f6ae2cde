"""The managers' pages that look at studies too."""

from reconciliation import whatif  # noqa: F401 - tells the pages of rules what a change would do
from reconciliation.coercion_admin import CoercionRules
from reconciliation.destinations_admin import Destinations
from reconciliation.matching_admin import MatchingPolicies
from reconciliation.ordering_admin import CancellableOrders, ProcedureRules
from reconciliation.quality_admin import QualityRules

__all__ = ["CancellableOrders", "CoercionRules", "Destinations", "MatchingPolicies", "ProcedureRules", "QualityRules"]
