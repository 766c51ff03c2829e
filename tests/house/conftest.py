"""A scripted upstream, servers on it, and clients of either kind."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moa import AsyncClient, Client
from tests.client.either import Either
from tests.house.configurations import council
from tests.house.servers import Server, Start, starting
from tests.upstream import Speech, UpstreamThread


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as start:
        yield start


@contextmanager
def _scripted() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        _script(upstream)
        yield upstream


def _script(upstream: UpstreamThread) -> None:
    upstream.script("*", Speech("a proposal"))
    upstream.script("editor", Speech("the answer"))


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with _scripted() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[UpstreamThread]:
    with _scripted() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def shared_server(shared_upstream: UpstreamThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a module, since starting one takes a second or two."""
    with starting(tmp_path_factory.mktemp("house")) as start:
        yield start(council(shared_upstream.endpoint))


@pytest.fixture
def house(shared_upstream: UpstreamThread) -> UpstreamThread:
    """The shared server's upstream, its ledger and scripts as new."""
    shared_upstream.begin_anew()
    _script(shared_upstream)
    return shared_upstream


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, shared_server: Server) -> AsyncIterator[Either]:
    if request.param == "sync":
        with Client(shared_server.target, timeout=20) as client:
            yield Either(client)
    else:
        async with AsyncClient(shared_server.target, timeout=20) as client:
            yield Either(client)
