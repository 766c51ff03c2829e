"""Many callers at the same moment."""

import asyncio

from moa import AsyncClient
from tests.house.gates import Gate, held
from tests.house.servers import Server
from tests.upstream import UpstreamThread

RUNS = 300


async def test_three_hundred_runs_that_are_open_at_once_are_all_answered(
    shared_server: Server, house: UpstreamThread
) -> None:
    gate = Gate()
    house.script("one", held("a proposal", gate))
    async with AsyncClient(shared_server.target, timeout=50) as client:
        asked = [asyncio.create_task(client.query(f"Why {n}?", mixture="alone")) for n in range(RUNS)]
        await asyncio.to_thread(house.wait_for, lambda: len(house.upstream.open_calls) == RUNS, 40)
        gate.open()
        answers = [(await one).answer for one in asked]
    assert {(answer.text, answer.degraded) for answer in answers} == {("the answer", False)}
    assert len({call.body["messages"][0]["content"] for call in house.upstream.calls_of("one")}) == RUNS
    assert len(house.upstream.calls) == 2 * RUNS
