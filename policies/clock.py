"""The database's clock: two machines with different ones agree by it on when a lease ends."""

from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.functions import Now


def later(seconds: int) -> ExpressionWrapper:
    """The database's time `seconds` from now."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())
