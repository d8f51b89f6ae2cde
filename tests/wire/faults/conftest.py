"""A belt for each module: its tests leave it in order, or say what is not."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.wire.conftest import Portal
from tests.wire.faults.belt import Belt


@pytest.fixture(scope="module")
def new_belt(tmp_path_factory, _databases, _static) -> Iterator[Callable[..., Belt]]:
    """`new_belt(disk, IMGSHARE_...=...)`: door and intake of their own with these settings; bytes go to that disk."""
    with ExitStack() as at_the_end:

        def make(disk: Path | None = None, **env: object) -> Belt:
            folder = tmp_path_factory.mktemp("belt")
            url = at_the_end.enter_context(_databases.fresh(folder))
            portal = Portal((disk or folder) / "portal", database_url=url, static=_static, **env)
            belt = Belt(portal, folder)
            at_the_end.callback(belt.end)
            return belt

        yield make


@pytest.fixture(scope="module")
def belt(new_belt) -> Belt:
    return new_belt()
