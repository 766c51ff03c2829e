"""Servers that stop for a while and go on as if nothing had been: what becomes of their runs, and of their callers."""

import asyncio

from tests.house.surviving.fleet import Fleet, freeze, thaw
from tests.house.surviving.frozen import Attachments, attached_to_all
from tests.house.surviving.watcher import Watcher, check_whole, kept
from tests.upstream import Cut, Silence, Speech

ANSWER = Speech("the answer of them all")
LONGEST_S = 45.0
"""Well below the minute after which the transport alone noticed it."""


async def test_an_owner_that_wakes_after_its_time_is_refused_and_cancels_its_calls(postgres_fleet: Fleet) -> None:
    fleet = postgres_fleet
    for name in ("a", "b", "c"):
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("boss", Cut(Speech(tokens=60, token_s=0.05), 10, by="silence"), ANSWER)
    await fleet.start()
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel", detached=True)) as caller:
        await caller.seen("answer_delta", 3)
        zombie = await fleet.owner()
        (other,) = (server for server in fleet.servers if server is not zombie)
        freeze(zombie)
        elsewhere = await fleet.client(other)
        async with Watcher(elsewhere.watch(caller.run_id)) as second:
            end = await second.end()
        assert await caller.end() == end, "the caller of the one that sleeps is moved over while it does"
        thaw(zombie)
        assert end.run_succeeded.answer.text == ANSWER.text
        zombie.wait_for_log("run.lost")
        await fleet.upstream.wait_for(lambda: fleet.upstream.calls_of("boss")[0].aborted is not None)
        whole = await kept(client, caller.run_id)
        check_whole(caller.events, whole)
        check_whole(second.events, whole)
        assert len(fleet.upstream.calls) == 5


async def test_a_query_to_a_frozen_server_is_answered_by_another(postgres_fleet: Fleet) -> None:
    fleet = postgres_fleet
    fleet.upstream.script("boss", Silence(), ANSWER)
    await fleet.start()
    client = await attached_to_all(fleet)
    query = asyncio.create_task(client.query("hello", mixture="alone"))
    await fleet.upstream.wait_for(lambda: fleet.upstream.open_calls)
    zombie = await fleet.owner()
    freeze(zombie)
    async with asyncio.timeout(LONGEST_S):
        assert (await query).answer.text == ANSWER.text
    thaw(zombie)


async def test_fifty_callers_stay_with_a_server_that_is_busy_and_leave_a_frozen_one_one_by_one(
    sqlite_fleet: Fleet,
) -> None:
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Silence())
    (server,) = await fleet.start(1, limits={"heartbeat": "2s"})
    async with Attachments(server.target) as callers:
        watching = [await callers.enter(f"hello {number}", "alone") for number in range(50)]
        for one in watching:
            await one.seen("agent_started")
        freeze(server)
        await asyncio.sleep(2.5)
        thaw(server)
        await asyncio.sleep(1.5)
        assert callers.left_at == []
        freeze(server)
        left_at = await callers.have_left(50)
        thaw(server)
        assert left_at[49] - left_at[0] > 0.3
