"""What the transport leaves behind when it is closed: nothing."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable

import pytest

from moa_server.domain.errors import ModelUnreachable
from moa_server.providers import Transport
from tests.providers.asker import Asker
from tests.upstream import Silence, Speech, Stage, Upstream


async def complete_but_open(stage: Stage) -> None:
    """Give an answer whose end of the body does not come."""
    await Speech("said").recite(stage)
    stage.send(stage.events.closing("stop", None, done=True))
    await stage.silence()


async def answered(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", complete_but_open)
    assert (await asker.ask()).text == "said"


async def given_up(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Silence())
    asking = asyncio.create_task(asker.ask())
    await upstream.wait_for(lambda: upstream.open_calls)
    asking.cancel()
    await asyncio.wait([asking])


async def refused(asker: Asker, _: Upstream) -> None:
    with pytest.raises(ModelUnreachable):
        await Asker(asker.dialect, "http://127.0.0.1:1", asker.http).ask()


@pytest.mark.parametrize("way", [answered, given_up, refused])
def test_no_connection_outlives_it(dialect: str, way: Callable[[Asker, Upstream], Awaitable[None]]) -> None:
    async def asked() -> None:
        async with Upstream() as upstream, Transport() as http:
            await way(Asker(dialect, upstream.endpoint, http), upstream)

    gc.collect()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(asked())
        gc.collect()
    assert [str(warning.message) for warning in heard] == []
