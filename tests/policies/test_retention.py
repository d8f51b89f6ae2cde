from datetime import date

import pytest

from policies import retention
from tests import make


@pytest.mark.parametrize(
    ("start", "period", "end"),
    [
        (date(2024, 2, 29), "P1Y", date(2025, 2, 28)),
        (date(2026, 1, 31), "P1M", date(2026, 2, 28)),
        (date(2026, 11, 24), "P90D", date(2027, 2, 22)),
        (date(2026, 11, 24), "P1Y2M1W", date(2028, 1, 31)),
    ],
)
def test_a_period_ends_on_a_day_that_exists(start, period, end):
    assert retention.until(start, period) == end


@pytest.mark.django_db
def test_the_first_rule_by_priority_that_fits_is_proposed():
    here = make.source("Here")
    make.rule(name="Everything", period="P1Y", priority=900)
    make.rule(name="MR of Here", period="P5Y", priority=10, source=here, modality="MR")
    make.rule(name="CT to read", period="P10Y", priority=20, modality="CT", intent="read")

    assert retention.proposed(source=here, modalities=["MR"], intent="read").name == "MR of Here"
    assert retention.proposed(source=here, modalities=["CT", "SR"], intent="read").name == "CT to read"
    assert retention.proposed(source=here, modalities=["CT"], intent="reference").name == "Everything"


@pytest.mark.django_db
def test_without_a_rule_that_fits_none_is_proposed():
    make.rule(name="Only US", modality="US")

    assert retention.proposed(source=make.source(), modalities=["CT"], intent="read") is None
