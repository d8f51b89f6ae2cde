"""A belt for each module: its tests leave it in order, or say what is not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.wire.conftest import Portal
from tests.wire.faults.belt import Belt


@pytest.fixture(scope="module")
def new_belt(tmp_path_factory, _databases, _static) -> Iterator[Callable[..., Belt]]:
    """`new_belt(IMGSHARE_...=...)`: door and intake on a database and folder of their own, with these settings."""
    with ExitStack() as at_the_end:

        def make(**env: object) -> Belt:
            folder = tmp_path_factory.mktemp("belt")
            url = at_the_end.enter_context(_databases.fresh(folder))
            belt = Belt(Portal(folder, database_url=url, static=_static, **env))
            at_the_end.callback(belt.end)
            return belt

        yield make


@pytest.fixture(scope="module")
def belt(new_belt) -> Belt:
    return new_belt()
