"""Real servers and SDKs, each started once, or skipped with what is not installed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from moa_server.providers import Transport
from tests.real.programmes import Sdks
from tests.real.programmes import sdks as running_sdks

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave all of it to `make check-long`, with time for programmes that start slowly."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def sdks() -> Iterator[Sdks]:
    with running_sdks() as sdks:
        yield sdks


@pytest.fixture
async def http() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport
