"""A fake moa, and one client of either kind in front of it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from moa.testing import FakeMoa
from tests.client.either import Either


@pytest.fixture
def fake() -> Iterator[FakeMoa]:
    with FakeMoa() as fake:
        yield fake


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, fake: FakeMoa) -> AsyncIterator[Either]:
    if request.param == "sync":
        with fake.client(timeout=20, token="secret") as client:
            yield Either(client)
    else:
        async with fake.async_client(timeout=20, token="secret") as client:
            yield Either(client)
