"""The managers' pages that look at studies too."""

from reconciliation.ordering_admin import CancellableOrders, ProcedureRules

__all__ = ["CancellableOrders", "ProcedureRules"]
