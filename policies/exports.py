"""Long exports: many lines say why, very many take a permission of their own and raise the alarm of mass viewing.

It is a permission of Django and no power of a grant: it is about no study, source or destination, by which grants are
limited. The administrator gives it to a group, for a time, beside the power to read the ledger.
"""

from django.conf import settings

from policies import audit
from policies.models import User
from policies.problems import Denied, Invalid

PERMISSION = "policies.export_large"


def require(by: User, rows: int, *, reason: str, of: str) -> None:
    """Let `by` export so many `rows` of a list, or refuse; a large export is an alert of the ledger either way.

    `rows` may be counted no further than one over the limit.
    """
    if rows > settings.EXPORT_LARGE and not by.has_perm(PERMISSION):
        _alarm(by, rows, of=of, reason=reason, refused=True)
        raise Denied(
            f"This export has more than {settings.EXPORT_LARGE} lines. Narrow it by day, or ask the administrator "
            "for the permission to export very many lines."
        )
    if rows > settings.EXPORT_REASON and not reason.strip():
        raise Invalid(f"An export of more than {settings.EXPORT_REASON} lines needs a reason: say what it is for.")
    if rows > settings.EXPORT_LARGE:
        _alarm(by, rows, of=of, reason=reason, refused=False)


def counted(rows) -> int:
    """How many, no further than the limits ask for."""
    return rows.order_by()[: max(settings.EXPORT_REASON, settings.EXPORT_LARGE) + 1].count()


def _alarm(by: User, rows: int, *, of: str, reason: str, refused: bool) -> None:
    detail = {"at least": rows, "refused": "yes" if refused else "no"}
    audit.record(by, "large export", of, key=of, reason=reason, detail=detail)
