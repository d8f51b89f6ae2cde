"""Who looks at the pages."""

import pytest
from django.test import Client

from tests import make
from tests.reconciliation.views.browsing import signed_in


@pytest.fixture
def desk() -> Client:
    return signed_in(make.user("desk"))


@pytest.fixture
def releaser() -> Client:
    return signed_in(make.user("releaser"))
