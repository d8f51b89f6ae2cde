"""The database's clock: two machines with different ones agree by it on when a lease ends."""

from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper, Q, Value
from django.db.models.functions import Now


def later(seconds: int) -> ExpressionWrapper:
    """The database's time `seconds` from now."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def unleased() -> Q:
    """Rows that nobody is at work on: never taken, given back, or held by somebody whose lease has run out."""
    return Q(lease_until=None) | Q(lease_until__lte=Now())
