"""Callers that leave: who no longer wants the answer pays for nothing more, who was cut off finds it again."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from moa import AsyncClient
from tests.house.configurations import council
from tests.house.gates import Gate, held
from tests.house.servers import Server, starting
from tests.upstream import Silence, UpstreamThread

PLAIN = """
import sys, moa
moa.Client(sys.argv[1]).query("Why?", mixture="alone", request_id=sys.argv[2])
"""
IN_COROUTINE = """
import asyncio, sys, moa

async def main():
    await moa.AsyncClient(sys.argv[1]).query("Why?", mixture="alone", request_id=sys.argv[2])

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server(shared_upstream: UpstreamThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that lets runs go on for ten minutes when nobody watches them."""
    with starting(tmp_path_factory.mktemp("house")) as start:
        yield start(council(shared_upstream.endpoint, limits={"abandon_grace": "600s"}))


def asking(script: str, server: Server, request_id: str = "") -> subprocess.Popen[str]:
    """A programme that asks, and neither closes its client nor handles anything."""
    command = [sys.executable, "-c", script, server.target, request_id]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


async def test_a_cancelled_query_ends_its_calls_at_once(server: Server, house: UpstreamThread) -> None:
    house.script("one", Silence())
    async with AsyncClient(server.target) as client:
        query = asyncio.create_task(client.query("Why?", mixture="alone"))
        await asyncio.to_thread(house.wait_for, lambda: house.upstream.open_calls)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        await asyncio.to_thread(house.wait_for, lambda: not house.upstream.open_calls)


@pytest.mark.parametrize("script", [PLAIN, IN_COROUTINE], ids=["sync", "async"])
def test_an_interrupted_programme_ends_its_calls_at_once(server: Server, house: UpstreamThread, script: str) -> None:
    house.script("one", Silence())
    with asking(script, server) as programme:
        house.wait_for(lambda: house.upstream.open_calls)
        programme.send_signal(signal.SIGINT)
        _, said = programme.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    assert "never retrieved" not in said
    assert "destroyed" not in said
    house.wait_for(lambda: not house.upstream.open_calls)


async def test_a_programme_that_was_killed_finds_its_run_again(server: Server, house: UpstreamThread) -> None:
    gate = Gate()
    house.script("one", held("a proposal", gate))
    with asking(PLAIN, server, "mine") as programme:
        await asyncio.to_thread(house.wait_for, lambda: house.upstream.open_calls)
        programme.kill()
    async with AsyncClient(server.target) as client:
        again = asyncio.create_task(client.query("Why?", mixture="alone", request_id="mine"))
        gate.open()
        assert (await again).answer.text == "the answer"
    assert len(house.upstream.calls) == 2
