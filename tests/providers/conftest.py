"""A scripted upstream, the one transport, and somebody who asks."""

from collections.abc import AsyncIterator

import pytest

from moa_server.providers import Transport
from moa_server.providers.dialects import DIALECTS
from tests.providers.asker import Asker
from tests.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as scripted:
        yield scripted


@pytest.fixture
async def http() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def asker(dialect: str, upstream: Upstream, http: Transport) -> Asker:
    """Asks in each dialect."""
    return Asker(dialect, upstream.endpoint, http)


@pytest.fixture
def openai(upstream: Upstream, http: Transport) -> Asker:
    return Asker("openai", upstream.endpoint, http)
